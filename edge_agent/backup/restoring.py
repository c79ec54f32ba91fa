"""Putting a backup back: the whole data directory at once, or not at all.

Promised: everything is read and checked beside the data directory before that is touched; it then takes the present
one's place by one exchange of names (renameat2(2), RENAME_EXCHANGE), so that at no moment a half directory, or none,
could be taken for a store; the present one is kept whole under another name and never deleted. Both are locked
meanwhile. The restored store takes a new identity at its first start (``store/identity.py``): ids are not given out
twice, what it holds keeps its ids and bytes. Not promised: results that came after the backup; the analysers have to
send them again, and the alarm ``store-restored`` says since when.
"""

import ctypes
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from edge_agent.backup import archive
from edge_agent.backup.archive import Manifest
from edge_agent.backup.room import refuse_full
from edge_agent.clock import Clock
from edge_agent.configuration.file import resolve
from edge_agent.errors import AgentError
from edge_agent.owner import as_owner, give
from edge_agent.settings import Settings
from edge_agent.store import backup
from edge_agent.store.directory import DATABASE, LOCK, RESTORED, DirectoryLock, sync_directory
from edge_agent.store.errors import OpenError, StorageFailedError

_EXCHANGE, _HERE = 2, -100  # RENAME_EXCHANGE, AT_FDCWD
_PROFILES = "profiles/"
# What the agent makes again by itself; a directory with nothing else in it holds nothing.
_NOTHING = {LOCK, "reserve.bin", "profiles"}


@dataclass(frozen=True, slots=True)
class Present:
    """What is in the data directory now. ``facts`` is None where the database cannot be read."""

    facts: backup.Facts | None
    why: str = ""

    @property
    def sentence(self) -> str:
        if self.facts is None:
            return f"The present database cannot be read: {self.why}"
        facts = self.facts
        unread = f", {facts.unconverted} transmissions not read yet" if facts.unconverted else ""
        return (
            f"The present store {facts.identity} has {facts.unfiled} messages that are not filed, "
            f"{facts.held + facts.failed} results held or failed{unread}."
        )


@dataclass(frozen=True, slots=True)
class Restored:
    manifest: Manifest
    data_dir: Path
    aside: Path | None  # where the former directory is now
    former: Present | None  # and what is in it


class Restoring:
    def __init__(self, config: Path, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        # Where it really is: of a link only the link would change places, and the results lie on another disk then.
        self._data_dir = resolve(config, settings.agent.data_dir).resolve()
        self._staging = self._data_dir.with_name(f"{self._data_dir.name}.restoring")

    def check(self, file: Path) -> Manifest:
        """Read all of it. Raises AgentError when it is damaged or of another gateway."""
        manifest = archive.verified(file)
        agent = self._settings.agent
        if (manifest.site, manifest.gateway) != (agent.site, agent.gateway):
            raise AgentError(
                f"This backup is of the gateway {manifest.gateway} at {manifest.site}; "
                f"the configuration is of {agent.gateway} at {agent.site}.",
                code="backup-other-gateway",
                action="Name the configuration of that gateway with --config; one is in the backup, under config/.",
            )
        return manifest

    def present(self) -> Present | None:
        """None where the directory is absent or holds nothing. Raises StoreLockedError while an agent runs there."""
        if not self._data_dir.exists() or _holds_nothing(self._data_dir):
            return None
        if not (self._data_dir / DATABASE).exists():
            return Present(None, "there is none among the files.")
        with as_owner(self._data_dir):
            lock = DirectoryLock(self._data_dir)
            try:
                return Present(backup.peek(self._data_dir, self._clock))
            except (OpenError, StorageFailedError) as error:
                return Present(None, error.sentence)
            finally:
                lock.release()

    def restore(self, file: Path, *, replace: bool) -> Restored:
        """Raises AgentError; the data directory is then what it was."""
        manifest = self.check(file)
        try:
            present = self._may_go(replace=replace)
            refuse_full(_that_exists(self._data_dir.parent), manifest.bytes)
            locks = [self._lock_present()]
            try:
                locks.append(self._stage(file))
                aside = self._put_in_place()
            finally:
                for lock in locks:
                    lock.release()
        except OSError as error:
            raise _failed(os.strerror(error.errno or 0)) from error
        finally:
            shutil.rmtree(self._staging, ignore_errors=True)  # under this name there is never anything but a copy
        return Restored(manifest, self._data_dir, aside, present)

    def _may_go(self, *, replace: bool) -> Present | None:
        present = self.present()
        if present is not None and not replace:
            raise AgentError(
                f"There is a store in {self._data_dir} already. {present.sentence}",
                code="restore-present",
                action="To put the backup in its place say --replace; the present one is moved aside, not deleted.",
            )
        if os.path.ismount(self._data_dir):
            raise _failed(f"{self._data_dir} is the root of a disk, which cannot be exchanged")
        return present

    def _lock_present(self) -> DirectoryLock:
        """Also of an empty one: an agent that started now would begin a store in it."""
        if not self._data_dir.exists():
            self._data_dir.mkdir(mode=0o700, parents=True)
            give(self._data_dir)
        with as_owner(self._data_dir):
            return DirectoryLock(self._data_dir)

    def _stage(self, file: Path) -> DirectoryLock:
        """Everything in a directory beside, checked and synced; what an interrupted restore left there goes."""
        shutil.rmtree(self._staging, ignore_errors=True)
        self._staging.mkdir(mode=0o700)
        shutil.copystat(self._data_dir, self._staging)
        found = self._data_dir.stat()
        if os.geteuid() == 0:
            os.chown(self._staging, found.st_uid, found.st_gid)
        archive.verified(file, self._taking())
        with as_owner(self._staging):
            lock = DirectoryLock(self._staging)
            backup.examine(self._staging, self._clock, keep=True)
            marker = self._staging / RESTORED
            marker.touch(mode=0o600)
            sync_directory(self._staging)
        return lock

    def _taking(self) -> archive.Take:
        def take(name: str, content: Iterable[bytes]) -> None:
            if name != DATABASE and not name.startswith(_PROFILES):
                for _ in content:
                    pass
                return
            try:
                self._write(self._staging / name, content)
            except OSError as error:  # ours, and not to be taken for the backup's
                raise _failed(os.strerror(error.errno or 0)) from error

        return take

    def _write(self, target: Path, content: Iterable[bytes]) -> None:
        with as_owner(self._staging):
            _make_folders(target.parent)
            fd = os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with open(fd, "wb") as out:
            out.writelines(content)
            out.flush()
            os.fsync(fd)
        sync_directory(target.parent)

    def _put_in_place(self) -> Path | None:
        aside = self._data_dir.with_name(f"{self._data_dir.name}.before-{self._clock.now():%Y%m%dT%H%M%S%fZ}")
        # First the copy takes the name the present directory is to have: after the exchange nothing is left to do, and
        # what an interrupted restore left under the staging name may be deleted without a look.
        self._staging.rename(aside)
        try:
            exchange(aside, self._data_dir)  # from here on the restored store is the store
        except OSError:
            aside.rename(self._staging)
            raise
        sync_directory(self._data_dir.parent)
        if _holds_nothing(aside):
            shutil.rmtree(aside)
            return None
        return aside


def _make_folders(folder: Path) -> None:
    """For the owner alone, each of them, and their names durable."""
    if not folder.is_dir():
        _make_folders(folder.parent)
        folder.mkdir(mode=0o700)
        sync_directory(folder.parent)


def _that_exists(folder: Path) -> Path:
    """It, or the nearest above it: that is where it will be made."""
    return folder if folder.exists() else _that_exists(folder.parent)


def _holds_nothing(data_dir: Path) -> bool:
    return not {p.name for p in data_dir.iterdir()} - _NOTHING


def exchange(one: Path, other: Path) -> None:
    """Two directories take each other's name, at once. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _failed(why: str) -> AgentError:
    return AgentError(
        f"The backup was not restored: {why}.",
        code="restore-failed",
        action="Nothing was changed; run it as root, with the data directory on a local disk and not the root of one.",
    )
