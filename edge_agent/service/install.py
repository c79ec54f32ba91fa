"""Makes the agent a service of this system, and takes that back.

Promised: each step is said in one sentence and may be done again; a configuration that is there is never written, and
neither it nor the data directory nor the user they belong to is ever removed. Under another root only files are written
and no command runs. Where a package of the system brought the unit, only user and configuration are made: the rest is
the package's. Not promised: that the service runs afterwards; a person writes the configuration and starts it.
"""

import os
import pwd
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from edge_agent.configuration.place import make_folder, place
from edge_agent.errors import AgentError
from edge_agent.service.unit import NAME, Places, config_text, modules_text, unit_text

BOOTED = Path("/run/systemd/system")  # there while systemd runs the system (sd_booted(3))
_HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108  # what the unit hides from the service
_USER = ("useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/var/lib/edge-agent")


class Installer:
    """``alien`` is another system's root: files only."""

    def __init__(self, places: Places, python: Path, *, alien: bool) -> None:
        self._places = places
        self._python = python
        self._alien = alien

    def install(self) -> Iterator[str]:
        """Sentences, each after its step was done. Raises AgentError at the step that cannot be."""
        self._may_go_on()
        self._refuse_hidden()
        if not self._alien:
            yield _make_user()
        packaged = self._places.packaged.exists()
        if packaged:
            yield f"{self._places.packaged} is a package's and stays as it is."
        else:
            yield _write(self._places.unit, unit_text(self._python))
            yield _write(self._places.modules, modules_text())
        if self._places.config.exists():
            yield f"{self._places.config} is there and stays as it is."
        elif self._alien:  # the group that will read it is not known here
            yield _write(self._places.config, config_text())
        else:
            place(self._places.config, config_text())
            yield f"Wrote {self._places.config}."
        if not packaged:
            yield from self._manager(("daemon-reload",), ("enable", NAME))
        yield f"Next: `edge-agent init`, or edit {self._places.config}; `edge-agent check`; `systemctl start {NAME}`."

    def remove(self) -> Iterator[str]:
        """Sentences, each after its step was done."""
        self._may_go_on()
        if self._places.packaged.exists() and not self._places.unit.exists():
            raise AgentError(
                "A package of the system has made this service.",
                code="service-package",
                action="Remove it with `apt-get remove ivd-edge-agent`; configuration and data stay.",
            )
        if self._places.unit.exists():
            yield from self._manager(("disable", "--now", NAME))
        yield _delete(self._places.unit)
        yield _delete(self._places.modules)
        yield from self._manager(("daemon-reload",))
        yield f"{self._places.config.parent}, {self._places.data} and the user {NAME}, whose they are, stay."

    def _may_go_on(self) -> None:
        if not self._alien and os.geteuid() != 0:
            raise AgentError(
                "Only root can change the services of this system.",
                code="permission",
                action="Run it with sudo, or with --root DIR to write the files elsewhere.",
            )

    def _refuse_hidden(self) -> None:
        """The interpreter and what its links lead to."""
        for path in {self._python, self._python.resolve()}:
            if any(path.is_relative_to(folder) for folder in _HIDDEN):
                raise AgentError(
                    f"The service could not start {path}: the unit hides home and temporary directories from it.",
                    code="service-place",
                    action="Install the agent in a virtual environment such as /opt/edge-agent, and run this there.",
                )

    def _manager(self, *requests: Sequence[str]) -> Iterator[str]:
        if self._alien:
            return
        if not BOOTED.is_dir():
            words = " and ".join(f"`systemctl {' '.join(r)}`" for r in requests)
            yield f"systemd does not run here: {words} left out."
            return
        for request in requests:
            _command("systemctl", *request)
            yield f"Done: systemctl {' '.join(request)}."


def _make_user() -> str:
    try:
        pwd.getpwnam(NAME)
    except KeyError:
        _command(*_USER, "--shell", "/usr/sbin/nologin", NAME)
        return f"Made the system user {NAME}."
    return f"The user {NAME} is there."


def _write(path: Path, text: str) -> str:
    """Whole or not at all: aside, then in its place."""
    try:
        if path.exists() and path.read_text(encoding="utf-8") == text:
            return f"{path} is up to date."
        make_folder(path.parent)
        aside = path.with_name(f".{path.name}.new")
        aside.write_text(text, encoding="utf-8")
        aside.chmod(0o644)
        aside.replace(path)
    except (OSError, UnicodeDecodeError) as error:
        raise _failed(f"{path} cannot be written", error) from error
    return f"Wrote {path}."


def _delete(path: Path) -> str:
    try:
        path.unlink()
    except FileNotFoundError:
        return f"{path} is not there."
    except OSError as error:
        raise _failed(f"{path} cannot be removed", error) from error
    return f"Removed {path}."


def _command(*words: str) -> None:
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except OSError as error:
        raise _failed(f"`{words[0]}` cannot be run", error) from error
    if done.returncode:
        said = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise _step(f"`{' '.join(words)}` failed: {said.rstrip('.')}.")


def _failed(what: str, error: Exception) -> AgentError:
    why = os.strerror(error.errno or 0) if isinstance(error, OSError) else "it is not text"
    return _step(f"{what}: {why}.")


def _step(sentence: str) -> AgentError:
    return AgentError(
        sentence, code="service-step", action="Put that right and run it again; steps already done are kept."
    )
