"""A disk that loses its power: ext4 in a file that lies on an XFS, copied by reflink at any instant.

A copy holds what the inner file system had handed to its disk by then, and nothing that was only in the kernel's
memory. Mounting it replays the journal, as after a power failure. Not shown by it: a disk that forgets what it reported
as synced, and a sector that was half written.
"""

import contextlib
import fcntl
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FICLONE = 0x40049409  # ioctl_ficlone(2)
MB = 1024 * 1024


class CrashDisk:
    """``point``: where the disk is mounted. ``images``: the folder of copies."""

    def __init__(self, folder: Path, image: Path) -> None:
        self._folder = folder
        self._image = image
        self._made = 0
        self.point = folder / "disk"
        self._copy_point = folder / "copy"
        for point in (self.point, self._copy_point):
            point.mkdir(exist_ok=True)
        _mount(image, self.point)

    def cut(self) -> Path:
        """What would be left if the power went now. The caller removes it."""
        self._made += 1
        image = self._image.with_name(f"cut-{self._made}")
        with self._image.open("rb") as source, image.open("wb") as target:
            fcntl.ioctl(target, _FICLONE, source.fileno())
        return image

    @contextmanager
    def mounted(self, image: Path) -> Iterator[Path]:
        """To be looked at only: what is written there need not survive anything, so nothing is flushed."""
        _mount(image, self._copy_point, ",nobarrier")
        try:
            yield self._copy_point
        finally:
            _unmount(self._copy_point)

    def becomes(self, image: Path) -> None:
        """Nobody uses the disk any more: the power is back."""
        _unmount(self.point)
        self._image.unlink()
        self._image = image
        _mount(image, self.point)

    def close(self) -> None:
        _unmount(self.point)


@contextmanager
def crash_disk(folder: Path, megabytes: int = 96) -> Iterator[CrashDisk]:
    """Needs root, loop devices and XFS (``need("reflink")``)."""
    outer, place = folder / "outer", folder / "images"
    place.mkdir(parents=True)
    with outer.open("wb") as file:
        file.truncate(2048 * MB)
    subprocess.run(["mkfs.xfs", "-q", "-K", "-m", "reflink=1", outer], check=True)
    _mount(outer, place)
    try:
        image = place / "image"
        with image.open("wb") as file:
            file.truncate(megabytes * MB)
        subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", "-E", "nodiscard", image], check=True)
        disk = CrashDisk(folder, image)
        try:
            yield disk
        finally:
            disk.close()
    finally:
        _unmount(place)
        outer.unlink()


def _mount(image: Path, point: Path, more: str = "") -> None:
    subprocess.run(["mount", "-o", f"loop,noatime{more}", image, point], check=True, capture_output=True)


def _unmount(point: Path) -> None:
    """Somebody may look at every new mount for a moment, and so keep it busy."""
    for _ in range(100):
        done = subprocess.run(["umount", point], check=False, capture_output=True, text=True)
        if not done.returncode or not os.path.ismount(point):
            return
        time.sleep(0.05)
    with contextlib.suppress(subprocess.CalledProcessError):
        subprocess.run(["umount", "-l", point], check=True, capture_output=True)
    raise AssertionError(done.stderr)
