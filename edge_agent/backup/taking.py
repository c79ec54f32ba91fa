"""Making a backup, as the command does: receive it from the running agent, or copy the store where none runs.

Promised: the file appears under its name only whole, synced and read again against its manifest; its mode is 0600;
older backups go only after that. Not promised: a copy elsewhere; a backup on the same disk dies with it.
"""

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from edge_agent.backup import archive
from edge_agent.backup.archive import Manifest, Member
from edge_agent.backup.contents import Contents, contents
from edge_agent.backup.room import refuse_full
from edge_agent.clock import Clock
from edge_agent.configuration.file import resolve
from edge_agent.control import ask, follow
from edge_agent.errors import AgentError, NotRunningError
from edge_agent.owner import as_owner
from edge_agent.settings import Settings
from edge_agent.store import backup
from edge_agent.store.directory import forget_unfinished, sync_directory
from edge_agent.store.errors import BackupError
from edge_agent.store.store import Store

Told = Callable[[str, int, int], None]  # step, done, of

_SLICE = 4 * 1024 * 1024
_ROUNDING = 64 * 1024  # of the tar's headers and the small files


@dataclass(frozen=True, slots=True)
class Taken:
    file: Path
    manifest: Manifest
    removed: tuple[Path, ...] = ()
    remark: str = ""


class Taking:
    def __init__(self, config: Path, settings: Settings, dest: Path, clock: Clock, told: Told) -> None:
        """``dest``: a folder, or the name of a new file. Raises AgentError when it cannot be that."""
        self._config = config
        self._settings = settings
        self._data_dir = resolve(config, settings.agent.data_dir)
        self._clock = clock
        self._told = told
        try:
            self._folder = dest if dest.is_dir() else dest.parent
            self._name = None if dest.is_dir() else dest.name
            self._refuse(dest)
        except OSError as error:
            raise _dest(f"{dest}: {os.strerror(error.errno or 0)}", "Name another folder.") from error

    def _refuse(self, dest: Path) -> None:
        if self._name and dest.exists():
            raise _dest(f"{dest} exists", "Name a new file, or the folder it shall lie in.")
        if not self._folder.is_dir():
            raise _dest(f"{self._folder} is not a folder", "Make it, or name another.")
        if self._folder.resolve().is_relative_to(self._data_dir.resolve()):
            raise _dest(
                f"{self._folder} lies in the data directory",
                "Name a folder elsewhere, best on another disk or machine.",
            )

    def take(self, keep: int | None = None) -> Taken:
        """Raises AgentError; then there is no file, and no older one was removed."""
        try:
            taken = self._taken()
        except OSError as error:
            raise _dest(f"{self._folder}: {os.strerror(error.errno or 0)}", "Name another folder.") from error
        removed = tuple(self._older(taken.file, keep)) if keep else ()
        for file in removed:
            file.unlink()
        return Taken(taken.file, taken.manifest, removed, taken.remark)

    def _taken(self) -> Taken:
        try:
            return self._online()
        except NotRunningError:
            return self._offline()

    def _online(self) -> Taken:
        with contextlib.closing(_Parts(follow(self._data_dir, "backup"), self._told)) as parts:
            refuse_full(self._folder, parts.size() + _ROUNDING)
            manifest = parts.manifest()
            file = self._write(manifest, parts.members(manifest))
        digest = manifest.files[archive.DATABASE].sha256
        try:
            ask(self._data_dir, "backup-done", database=digest, file=str(file.resolve()))
        except AgentError as error:
            return Taken(file, manifest, remark=f"The agent could not write it to its audit trail: {error.sentence}")
        return Taken(file, manifest)

    def _offline(self) -> Taken:
        if not (self._data_dir / archive.DATABASE).exists():
            raise _dest(f"there is no database in {self._data_dir}", "Name the right configuration with --config.")
        with as_owner(self._data_dir):
            limits = self._settings.store
            store = Store.open(
                self._data_dir, self._clock, reserve_mb=limits.reserve_mb, low_water_mb=limits.low_water_mb
            )
            try:
                return self._of_store(store)
            finally:
                with _as_root():
                    forget_unfinished(self._data_dir)
                store.close()

    def _of_store(self, store: Store) -> Taken:
        size = backup.size(store)
        refuse_full(self._data_dir, size)
        made = self._copied(store)
        with _as_root():
            refuse_full(self._folder, size + _ROUNDING)
            file = self._write(made.manifest, archive.sources(made.manifest, made.places))
        facts = {"who": str(os.getuid()), "database": made.manifest.files[archive.DATABASE].sha256}
        backup.note(store, str(file.resolve()), made.manifest.made, {**facts, "identity": made.manifest.identity})
        if store.former is None:
            return Taken(file, made.manifest)
        return Taken(
            file, made.manifest, remark="This store was restored, copied or begun anew since the agent last ran."
        )

    def _copied(self, store: Store) -> Contents:
        folder, at = backup.begin(self._data_dir), self._clock.now()
        backup.copy(store, folder, lambda: None, lambda done, of: self._told("copying", done, of))
        self._told("checking", 0, 0)
        facts = backup.examine(folder, self._clock)
        with _as_root():  # the configuration may be root's alone
            return contents(folder, facts, self._config, self._settings, at, online=False)

    def _write(self, manifest: Manifest, members: Iterator[Member]) -> Path:
        """Aside, synced, read again, and only then under its name."""
        target = self._folder / (self._name or archive.file_name(manifest.gateway, manifest.made))
        aside = target.with_name(f".{target.name}.partial")
        for left in self._folder.glob(".*.tar.partial"):
            if archive.of_gateway(left.name[1:].removesuffix(".partial"), manifest.gateway):
                left.unlink()  # of a command that was killed
        try:
            with open(os.open(aside, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600), "wb") as file:
                archive.write(file, manifest, _in_slices(members, file))
                file.flush()
                os.fsync(file.fileno())
            self._told("reading again", 0, 0)
            if archive.verified(aside) != manifest:
                raise BackupError("what was written reads back as something else")
            if target.exists():
                raise _dest(f"{target} exists", "Try again.")
            aside.rename(target)
        finally:
            aside.unlink(missing_ok=True)
        sync_directory(self._folder)
        return target

    def _older(self, newest: Path, keep: int) -> Iterator[Path]:
        """Of this gateway, in this folder, beyond the newest ``keep``; names sort by their time."""
        gateway = self._settings.agent.gateway
        names = sorted((p.name for p in self._folder.iterdir() if archive.of_gateway(p.name, gateway)), reverse=True)
        yield from (self._folder / name for name in names[keep:] if name != newest.name)


class _Parts:
    """What the agent sends, in its order."""

    def __init__(self, parts: Iterator[Any], told: Told) -> None:
        self._parts = parts
        self._told = told
        self._next: Any = None

    def close(self) -> None:
        close = getattr(self._parts, "close", None)
        if close is not None:
            close()

    def size(self) -> int:
        return int(self._named("size")["size"])

    def manifest(self) -> Manifest:
        return Manifest.model_validate(self._named("manifest")["manifest"])

    def members(self, manifest: Manifest) -> Iterator[Member]:
        sent = 0
        name = self._named("file")["file"]
        for _ in manifest.files:
            facts = manifest.files[name]
            content = self._content()
            yield Member(name, facts.size, content)
            for _rest in content:  # nothing, unless the file was longer than said
                raise BackupError("the agent sent more than it said")
            sent += facts.size
            self._told("sending", sent, manifest.bytes)
            name = self._next["file"] if self._next else ""

    def _content(self) -> Iterator[bytes]:
        self._next = None
        for part in self._parts:
            if not isinstance(part, bytes):
                self._next = part
                return
            yield part

    def _named(self, key: str) -> Any:
        for part in self._parts:
            if not isinstance(part, bytes) and key in part:
                return part
            if not isinstance(part, bytes) and "step" in part:
                self._told(part["step"], part["done"], part["of"])
        raise BackupError("the agent stopped")


def _in_slices(members: Iterable[Member], file: IO[bytes]) -> Iterator[Member]:
    """Sync now and then: all at once would hold up the agent's commits where it is on the same disk."""
    for member in members:
        yield Member(member.name, member.size, _synced(member.content, file))


def _synced(content: Iterable[bytes], file: IO[bytes]) -> Iterator[bytes]:
    waiting = 0
    for block in content:
        yield block
        waiting += len(block)
        if waiting >= _SLICE:
            file.flush()
            os.fdatasync(file.fileno())
            waiting = 0


@contextlib.contextmanager
def _as_root() -> Iterator[None]:
    """The person again, for a while, inside ``as_owner``."""
    uid, gid = os.geteuid(), os.getegid()
    os.seteuid(os.getuid())
    os.setegid(os.getgid())
    try:
        yield
    finally:
        os.setegid(gid)
        os.seteuid(uid)


def _dest(what: str, action: str) -> AgentError:
    return AgentError(f"The backup cannot be written: {what}.", code="backup-place", action=action)
