"""A support bundle: what helps to find a fault, and nothing of a patient.

Promised: only what ``redaction`` lets through is in it, whatever state the store is in; it is listed before it is
written; its mode is 0600. Without a running agent what the store knows is left out, and the bundle says so. Not
promised: that a line of our own log names no patient; that is the log's promise (``logs.py``).
"""

import importlib.metadata
import io
import json
import os
import platform
import shutil
import sqlite3
import subprocess
import tarfile
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from edge_agent.certificate_file import UnreadableCertificateError, certificates
from edge_agent.clock import Clock
from edge_agent.configuration.file import resolve
from edge_agent.control import follow
from edge_agent.errors import AgentError
from edge_agent.settings import Settings
from edge_agent.support import redaction
from edge_agent.times import rfc3339
from edge_agent.version import __version__

Plain = dict[str, Any]

CONTENTS: Mapping[str, str] = {
    "about.json": "versions of the agent, Python, SQLite, packages and this system; the state of the service",
    "configuration.json": "the configuration; passwords, users, files and patterns only as set or not set",
    "certificates.json": "whose the configured certificates are and from when to when they hold",
    "directory.json": "size, mode and owner of the agent's own files, room on the disk",
    "status.json": "links, alarms by code, counts",
    "store.json": "counts by analyser, state and code; schema; profiles by hash",
    "waiting.json": "what is not filed or held: message ids, states, codes, times of attempts",
    "audit.json": "number, time and kind of the newest audit entries",
    "shapes.json": "how the newest transmissions were built: record types and lengths of fields, no content",
    "log.txt": "the newest lines of the agent's own log",
}
_PACKAGES = ("click", "paho-mqtt", "pydantic", "pyserial", "sqlite-utils", "hl7apy")
_OF_THE_UNIT = ("ActiveState", "SubState", "Result", "NRestarts", "ExecMainStatus", "UnitFileState")
_FILES = ("agent.db", "agent.db-wal", "agent.db-shm", "agent.lock", "agent.witness", "identity.json", "reserve.bin")
_LOG_LINES = 5000
_PATIENCE_S = 20


@dataclass(frozen=True, slots=True)
class Bundle:
    file: Path
    size: int
    remark: str


class Bundling:
    def __init__(self, config: Path, settings: Settings, clock: Clock, log: Path | None = None) -> None:
        """``log``: a file with the agent's log; None takes the service's journal."""
        self._config = config
        self._settings = settings
        self._clock = clock
        self._log = log
        self._data_dir = resolve(config, settings.agent.data_dir)

    def write(self, dest: Path) -> Bundle:
        """``dest``: a folder or a new file's name. Raises AgentError."""
        now = self._clock.now()
        name = f"edge-agent-support-{self._settings.agent.gateway}-{now:%Y%m%dT%H%M%SZ}"
        target = _target(dest, name)
        files, remark = self._files(now)
        aside = target.with_name(f".{target.name}.partial")
        try:
            with open(os.open(aside, os.O_CREAT | os.O_TRUNC | os.O_RDWR, 0o600), "wb") as out:
                _pack(out, name, files, now)
            aside.rename(target)
        except OSError as error:
            raise _refused(f"{target}: {os.strerror(error.errno or 0)}") from error
        finally:
            aside.unlink(missing_ok=True)
        return Bundle(target, target.stat().st_size, remark)

    def _files(self, now: datetime) -> tuple[dict[str, bytes], str]:
        facts: dict[str, Any] = {
            "about.json": self._about(now),
            "configuration.json": redaction.configuration(self._settings),
            "certificates.json": dict(self._certificates()),
            "directory.json": self._directory(),
        }
        remark = ""
        try:
            for part in follow(self._data_dir, "support"):
                if isinstance(part, Mapping) and part["name"] in CONTENTS:
                    facts[part["name"]] = part["facts"]
        except AgentError as error:
            remark = f"Without what only a running agent knows [{error.code}]."
            facts["about.json"]["agent_said"] = redaction.name(error.code)
        files = {name: json.dumps(found, indent=1, ensure_ascii=False).encode() for name, found in facts.items()}
        return {**files, "log.txt": "\n".join(redaction.log_lines(self._log_tail())).encode()}, remark

    def _about(self, now: datetime) -> Plain:
        return {
            "made": rfc3339(now),
            "agent": __version__,
            "python": platform.python_version(),
            "sqlite": sqlite3.sqlite_version,
            "packages": {name: _version(name) for name in _PACKAGES},
            "system": {"kernel": platform.release(), "machine": platform.machine(), "libc": platform.libc_ver()},
            "unit": dict(_unit()),
        }

    def _certificates(self) -> Iterator[tuple[str, list[Plain]]]:
        for key in ("ca_file", "cert_file"):
            name = getattr(self._settings.mqtt, key)
            if name:
                yield key, _certificate_facts(resolve(self._config, name))

    def _directory(self) -> Plain:
        try:
            room = shutil.disk_usage(self._data_dir)
            files = {name: _stat(self._data_dir / name) for name in _FILES if (self._data_dir / name).exists()}
            known = {analyser.id for analyser in self._settings.analyser}
            pins = [redaction.word(p.stem, known) for p in sorted((self._data_dir / "profiles").glob("*.json"))]
            mode = oct(self._data_dir.stat().st_mode & 0o7777)
        except OSError as error:
            return {"error": os.strerror(error.errno or 0)}
        return {"mode": mode, "files": files, "pins": pins, "free": room.free, "total": room.total}

    def _log_tail(self) -> list[str]:
        if self._log is None:
            words = ("journalctl", "-u", "edge-agent", "-n", str(_LOG_LINES), "-o", "cat", "--no-pager")
            return _said(*words).splitlines()
        try:
            with self._log.open(encoding="utf-8", errors="backslashreplace") as file:
                return list(deque(file, _LOG_LINES))
        except OSError as error:
            raise _refused(f"the log {self._log} cannot be read: {os.strerror(error.errno or 0)}") from error


def _pack(out: io.BufferedWriter, folder: str, files: Mapping[str, bytes], now: datetime) -> None:
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(f"{folder}/{name}")
            info.size, info.mode, info.mtime = len(content), 0o600, int(now.timestamp())
            tar.addfile(info, io.BytesIO(content))


def _target(dest: Path, name: str) -> Path:
    try:
        target = dest / f"{name}.tar.gz" if dest.is_dir() else dest
        if target.exists():
            raise _refused(f"{target} exists")
    except OSError as error:
        raise _refused(f"{dest}: {os.strerror(error.errno or 0)}") from error
    return target


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _unit() -> Iterator[tuple[str, str]]:
    for line in _said("systemctl", "show", "edge-agent", f"--property={','.join(_OF_THE_UNIT)}").splitlines():
        key, _, value = line.partition("=")
        if key in _OF_THE_UNIT:
            yield key, value


def _said(*words: str) -> str:
    """What a command of the system prints; nothing where there is no such command."""
    try:
        done = subprocess.run(words, capture_output=True, check=False, timeout=_PATIENCE_S)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("utf-8", errors="backslashreplace")


def _certificate_facts(path: Path) -> list[Plain]:
    """None for a file that cannot be read."""
    try:
        found = certificates(path.read_text(encoding="ascii"))
    except (OSError, UnicodeError, UnreadableCertificateError):
        return []
    return [{"cn": c.name, "from": rfc3339(c.not_before), "to": rfc3339(c.not_after)} for c in found]


def _stat(path: Path) -> Plain:
    found = path.stat()
    return {"bytes": found.st_size, "mode": oct(found.st_mode & 0o7777), "owner": found.st_uid}


def _refused(why: str) -> AgentError:
    return AgentError(
        f"The bundle was not written: {why}.", code="bundle", action="Name another file or folder, or another log."
    )
