"""Puts a configuration file in its place.

Promised: whole or not at all, on the disk when ``place`` returns; a file that is there is never overwritten unless
asked for, not even one that appears meanwhile, and is then kept beside the new one as ``.bak``; the service can read
it: 0640 for the group ``edge-agent``, 0644 where there is no such group or it is not ours to give (passwords and keys
are in files of their own). Not promised: that its content is correct.
"""

import grp
import os
from pathlib import Path

from edge_agent.control import GROUP
from edge_agent.errors import AgentError
from edge_agent.store.directory import sync_directory


def place(path: Path, text: str, *, force: bool = False) -> Path | None:
    """Write ``text``; returns where the former file is kept, if there was one. Raises AgentError."""
    path = path.resolve()
    aside = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        make_folder(path.parent)
        try:
            _write(aside, text)
            return _exchange(aside, path) if force else _put(aside, path)
        finally:
            aside.unlink(missing_ok=True)
    except FileExistsError:
        raise there_already(path) from None
    except OSError as error:
        raise AgentError(
            f"{path} cannot be written: {os.strerror(error.errno or 0)}.",
            code="config-place",
            action="Run it as root, or write elsewhere with --config FILE.",
        ) from error


def make_folder(folder: Path) -> None:
    """The service's user reads here, whatever root's umask is."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir()
        folder.chmod(0o755)


def there_already(path: Path) -> AgentError:
    return AgentError(
        f"{path} is there already.",
        code="config-there",
        action="Edit it, or write another with --config FILE; --force writes it anew and keeps this one as .bak.",
    )


def _write(aside: Path, text: str) -> None:
    aside.unlink(missing_ok=True)  # of a process that died and had our number
    with open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fchmod(file.fileno(), 0o640 if _for_the_group(file.fileno()) else 0o644)
        os.fsync(file.fileno())


def _for_the_group(file: int) -> bool:
    try:
        os.fchown(file, -1, grp.getgrnam(GROUP).gr_gid)
    except (KeyError, PermissionError):
        return False
    return True


def _put(aside: Path, path: Path) -> Path | None:
    os.link(aside, path)  # unlike a rename it fails where something is
    sync_directory(path.parent)
    return None


def _exchange(aside: Path, path: Path) -> Path | None:
    kept = path.with_name(f"{path.name}.bak")
    was_there = path.exists()
    if was_there:
        kept.unlink(missing_ok=True)
        os.link(path, kept)
    aside.replace(path)
    sync_directory(path.parent)
    return kept if was_there else None
