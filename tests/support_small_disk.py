"""A real file system of a few megabytes, and something that fills it. Needs root and loop devices; says so without."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

MB = 1024 * 1024


@contextmanager
def small_disk(folder: Path, mb: int = 24, *options: str) -> Iterator[Path]:
    """An ext4 of so many MB, mounted. ``options``: of mkfs.ext4."""
    if os.geteuid() != 0 or not Path("/dev/loop-control").exists():
        pytest.skip("SKIPPED: a small file system needs root and loop devices")
    image, point = folder / "image", folder / "disk"
    point.mkdir()
    with image.open("wb") as file:
        file.truncate(mb * MB)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", *options, image], check=True)
    if subprocess.run(["mount", "-o", "loop", image, point], check=False).returncode:
        pytest.skip("SKIPPED: no loop mount here")
    try:
        yield point
    finally:
        if point.is_mount():
            subprocess.run(["umount", point], check=True)


def fill(path: Path) -> None:
    """Take every block that is left."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        for size in (MB, 64 * 1024, 4096):
            try:
                while True:
                    os.write(fd, b"\xaa" * size)
            except OSError:
                continue
    finally:
        os.fsync(fd)
        os.close(fd)
