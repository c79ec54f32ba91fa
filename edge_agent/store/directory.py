"""The data directory: whose it is, what it lies on, which files are in it.

Promised: while a ``DirectoryLock`` is held no second agent gets past it, and it is taken before the database is
touched. Not promised: protection from programs that do not ask for the lock; SQLite's own exclusive lock meets those.

Nothing here or elsewhere in this process opens, hashes or copies the database, its ``-wal`` or ``-shm`` by path while
it is open: closing any descriptor of the file drops SQLite's POSIX locks on it (POSIX fcntl, "all locks ... removed").
"""

import fcntl
import os
import pwd
import shutil
from dataclasses import dataclass
from pathlib import Path

from edge_agent.store.errors import (
    ForeignDirectoryError,
    StoreCorruptError,
    StoreLockedError,
    UnsafeFilesystemError,
)

DATABASE = "agent.db"
LOCK = "agent.lock"
RESERVE = "reserve.bin"
UNFINISHED = "backup.partial"  # a backup's copy while it is made and sent
RESTORED = "restored"  # there until the first start on a backup that was put back
SALVAGED = "salvaged"  # there until the first start after a salvage; since when results may be missing, microseconds
SALVAGING = "salvaging"  # there while a damaged store is salvaged; names the folder its files went to

MOUNTS = Path("/proc/self/mountinfo")
_FORGETFUL = frozenset(
    {"tmpfs", "devtmpfs", "ramfs", "nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs"}
)
_UNORDERED = frozenset({"data=writeback", "nobarrier", "barrier=0"})


def prepare(data_dir: Path) -> None:
    """Make the directory, for its owner alone, and make its name durable. Others never get in; a group may."""
    if not data_dir.is_dir():
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        sync_directory(data_dir.parent)
    data_dir.chmod(data_dir.stat().st_mode & 0o750)


def refuse_root(data_dir: Path) -> None:
    """Root may write everywhere, and what it wrote keeps the owner from starting. Raises ForeignDirectoryError."""
    uid = data_dir.stat().st_uid
    if os.geteuid() != 0 or uid == 0:
        return
    try:
        raise ForeignDirectoryError(pwd.getpwuid(uid).pw_name)
    except KeyError:
        raise ForeignDirectoryError(f"#{uid}") from None


def sync_directory(directory: Path) -> None:
    """A new or renamed file survives a power failure only once its directory was synced."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def database_files(data_dir: Path) -> tuple[Path, Path, Path]:
    """The database, its write-ahead log and its shared memory: one unit, never to be taken apart."""
    return data_dir / DATABASE, data_dir / f"{DATABASE}-wal", data_dir / f"{DATABASE}-shm"


def put_back(data_dir: Path) -> None:
    """Undo what a crash during ``Database.close_untouched`` left."""
    database = database_files(data_dir)[0]
    hidden = hidden_name(database)
    if hidden.exists() and not database.exists():
        hidden.rename(database)


def refuse_half_salvaged(data_dir: Path) -> None:
    """What is or is not there is then no store. Raises StoreCorruptError."""
    if (data_dir / SALVAGING).exists():
        raise StoreCorruptError("its salvage was interrupted")


def hidden_name(database: Path) -> Path:
    return database.with_name(f"{database.name}.closing")


def forget_unfinished(data_dir: Path) -> None:
    """Take away the copy of a backup that was interrupted."""
    shutil.rmtree(data_dir / UNFINISHED, ignore_errors=True)


class DirectoryLock:
    """``flock`` on ``agent.lock``, kept until ``release`` or the end of the process."""

    def __init__(self, data_dir: Path) -> None:
        """Raises StoreLockedError when another agent holds it."""
        self._fd = os.open(data_dir / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._fd)
            raise StoreLockedError("an edge agent runs there already") from error

    def release(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def refuse_unsafe(data_dir: Path, mounts: str | None = None) -> None:
    """Raises UnsafeFilesystemError for memory, network and unordered file systems. Silent where it cannot tell."""
    try:
        table = mounts if mounts is not None else MOUNTS.read_text()
    except OSError:
        return
    mount = mount_of(data_dir.resolve(), table)
    kind, options = mount.kind, mount.options
    if kind in _FORGETFUL or kind.startswith("fuse."):
        raise UnsafeFilesystemError(kind)
    unordered = sorted(_UNORDERED & set(options.split(",")))
    if unordered:
        raise UnsafeFilesystemError(f"{kind} mounted with {unordered[0]}")


@dataclass(frozen=True, slots=True)
class Mount:
    kind: str  # "ext4"
    options: str  # of the mount and of the file system, separated by commas
    source: str  # "/dev/sda2"


def mount_of(path: Path, table: str) -> Mount:
    """The deepest mount that holds ``path`` (proc(5), mountinfo)."""
    best, found = -1, Mount("", "", "")
    for line in table.splitlines():
        before, _, after = line.partition(" - ")
        point = Path(before.split()[4].encode().decode("unicode_escape"))
        if len(point.parts) >= best and path.is_relative_to(point):
            best = len(point.parts)
            kind, source, options = after.split(" ")[:3]
            found = Mount(kind, f"{before.split()[5]},{options}", source)
    return found
