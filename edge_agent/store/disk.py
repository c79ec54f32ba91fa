"""Room on the disk: a mark below which new work is refused, and a reserve of real blocks for the emergency.

Promised: ``disk_low`` says so before SQLite fails; when it fails all the same, giving up the reserve lets what is
stored be sent and marked. Not promised: room for new results; those are refused (NAK) and stay with the analyser.
"""

import os
from pathlib import Path

from edge_agent.store.directory import RESERVE, sync_directory

MB = 1024 * 1024


class Disk:
    """The file system the data directory lies on."""

    def __init__(self, data_dir: Path, *, reserve_mb: int, low_water_mb: int) -> None:
        self._data_dir = data_dir
        self._reserve = data_dir / RESERVE
        self.limit(reserve_mb=reserve_mb, low_water_mb=low_water_mb)

    def limit(self, *, reserve_mb: int, low_water_mb: int) -> None:
        """From now on. A larger reserve is taken at the next ``restore``, a smaller one once it was given up."""
        self._reserve_bytes = reserve_mb * MB
        self._low_water_bytes = low_water_mb * MB

    def free_bytes(self) -> int:
        """What this process may still use; nothing where the directory is gone, as after its disk was unmounted."""
        try:
            found = os.statvfs(self._data_dir)
        except OSError:
            return 0
        return found.f_bavail * found.f_frsize

    def low(self) -> bool:
        return self.free_bytes() < self._low_water_bytes or not self.has_reserve()

    def has_reserve(self) -> bool:
        try:
            return self._reserve.stat().st_size >= self._reserve_bytes
        except OSError:
            return self._reserve_bytes == 0

    def release(self) -> bool:
        """Give the reserve's blocks back to the file system. Whether there were any."""
        try:
            self._reserve.unlink()
        except FileNotFoundError:
            return False
        sync_directory(self._data_dir)
        return True

    def restore(self) -> bool:
        """Take the reserve again, as long as the low-water mark stays free besides. Whether it is there now."""
        if self.has_reserve():
            return True
        if self.free_bytes() < self._low_water_bytes + self._reserve_bytes:
            return False
        try:
            self._allocate()
        except OSError:
            self._reserve.with_suffix(".new").unlink(missing_ok=True)
            return False
        return True

    def _allocate(self) -> None:
        """Real blocks: a file with a hole gives nothing back when it is deleted."""
        aside = self._reserve.with_suffix(".new")
        fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            if self._reserve_bytes:
                os.posix_fallocate(fd, 0, self._reserve_bytes)
            os.fsync(fd)
        finally:
            os.close(fd)
        aside.rename(self._reserve)
        sync_directory(self._data_dir)
