"""What the data directory lies on: file system, device, its write cache, and how long a flush takes.

Promised: what is said was read from the kernel or measured just now; what cannot be known is said to be unknown. Not
promised: that a device does what it says. Whether a flush reaches the medium is known after a power cut, not before;
a flush that takes no time at all is the one lie that shows.
"""

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_agent.store.directory import MOUNTS, Mount, mount_of

SYS = Path("/sys/dev/block")
COUNT, LIMIT_S = 300, 10.0
_BLOCK = 4096
_VIRTUAL_NAMES = ("vd", "xvd", "loop", "nbd", "zram")
_VIRTUAL_MODELS = ("qemu", "vbox", "vmware", "virtual", "msft")


@dataclass(frozen=True, slots=True)
class Device:
    name: str
    model: str  # "" where it says none
    rotational: bool | None
    write_cache: str  # "write back", "write through", "" = unknown
    fua: bool | None  # takes a write that goes past the cache

    @property
    def virtual(self) -> bool:
        model = self.model.lower()
        return self.name.startswith(_VIRTUAL_NAMES) or any(word in model for word in _VIRTUAL_MODELS)

    @property
    def text(self) -> str:
        kind = {True: "turning disk", False: "no turning disk", None: "kind unknown"}[self.rotational]
        if self.virtual:
            kind = "virtual disk"
        named = f"{self.name} ({self.model})" if self.model else self.name
        cache = {
            "write back": "has a write cache; each commit is passed on to it as a flush",
            "write through": "says it has no write cache to be flushed",
        }.get(self.write_cache, "whether it has a write cache is unknown")
        fua = {True: ", FUA", False: ", no FUA", None: ""}[self.fua]
        return f"{named}, {kind}, {cache}{fua}"


def mount(data_dir: Path) -> Mount:
    try:
        return mount_of(data_dir.resolve(), MOUNTS.read_text())
    except OSError:
        return Mount("", "", "")


def devices(data_dir: Path, source: str, sys_block: Path = SYS) -> list[Device]:
    """The physical ones; several under a RAID. Empty where the kernel names none."""
    number = data_dir.stat().st_dev
    if not (sys_block / _name(number)).exists():  # btrfs and overlays have numbers of their own
        try:
            number = os.stat(source).st_rdev
        except OSError:
            return []
    place = sys_block / _name(number)
    return [_device(found) for found in _physical(place.resolve())] if place.exists() else []


def _name(number: int) -> str:
    return f"{os.major(number)}:{os.minor(number)}"


def _physical(place: Path) -> Iterator[Path]:
    """The disk a partition is on; the disks a device-mapper or RAID device is made of."""
    disk = place if (place / "queue").is_dir() else place.parent
    slaves = sorted((disk / "slaves").glob("*"))
    if not slaves:
        yield disk
    for slave in slaves:
        yield from _physical(slave.resolve())


def _device(place: Path) -> Device:
    rotational, fua = _read(place / "queue/rotational"), _read(place / "queue/fua")
    return Device(
        place.name,
        _read(place / "device/model"),
        rotational == "1" if rotational else None,
        _read(place / "queue/write_cache"),
        fua == "1" if fua else None,
    )


def _read(path: Path) -> str:
    try:
        return path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def flushes(folder: Path, count: int = COUNT, limit_s: float = LIMIT_S) -> list[float]:
    """Seconds of each fsync after a block was appended, as SQLite appends to its log; at least one."""
    path = folder / "flushes"
    took: list[float] = []
    end = time.monotonic() + limit_s
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        while len(took) < count and (not took or time.monotonic() < end):
            os.write(fd, b"\xa5" * _BLOCK)
            began = time.perf_counter()
            os.fsync(fd)
            took.append(time.perf_counter() - began)
    finally:
        os.close(fd)
        path.unlink()
    return took


@dataclass(frozen=True, slots=True)
class Spread:
    """Seconds."""

    count: int
    p50: float
    p99: float
    most: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Spread":
        ordered = sorted(seconds) or [0.0]
        return cls(len(seconds), ordered[len(ordered) // 2], ordered[len(ordered) * 99 // 100], ordered[-1])

    @property
    def text(self) -> str:
        shown = (f"{seconds * 1000:.3g} ms" for seconds in (self.p50, self.p99, self.most))
        return "median {}, 99 % within {}, longest {}".format(*shown)
