"""What is said of the disk, from a /sys written by hand and from flushes of a real one."""

import os
from pathlib import Path

import pytest

from edge_agent.selftest.medium import Device, Spread, devices, flushes, mount
from edge_agent.store.directory import MOUNTS


class Kernel:
    """A /sys/dev/block with links into a /sys/devices, as the kernel lays them out."""

    def __init__(self, root: Path) -> None:
        self.devices = root / "devices"
        self.block = root / "dev" / "block"
        self.block.mkdir(parents=True)

    def disk(self, name: str, **facts: str) -> Path:
        place = self.devices / name
        (place / "queue").mkdir(parents=True)
        for fact, value in facts.items():
            path = place / ("device/model" if fact == "model" else f"queue/{fact}")
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"{value}\n", encoding="ascii")
        return place

    def lies_on(self, place: Path, folder: Path) -> None:
        """The data directory's device number names this one."""
        number = folder.stat().st_dev
        (self.block / f"{os.major(number)}:{os.minor(number)}").symlink_to(place)


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    return Kernel(tmp_path)


def test_the_disk_of_a_partition_is_named(kernel: Kernel, tmp_path: Path) -> None:
    disk = kernel.disk("sda", model="ACME 870", rotational="0", write_cache="write back", fua="1")
    (disk / "sda2").mkdir()
    kernel.lies_on(disk / "sda2", tmp_path)
    [found] = devices(tmp_path, "/dev/sda2", kernel.block)
    assert found == Device("sda", "ACME 870", False, "write back", True)
    assert found.text == (
        "sda (ACME 870), no turning disk, has a write cache; each commit is passed on to it as a flush, FUA"
    )
    assert not found.virtual


def test_the_disks_of_a_raid_are_named(kernel: Kernel, tmp_path: Path) -> None:
    raid = kernel.disk("md0")
    (raid / "slaves").mkdir()
    for name in ("sda", "sdb"):
        disk = kernel.disk(name, rotational="1", write_cache="write through", fua="0")
        (disk / f"{name}1").mkdir()
        (raid / "slaves" / f"{name}1").symlink_to(disk / f"{name}1")
    kernel.lies_on(raid, tmp_path)
    found = devices(tmp_path, "/dev/md0", kernel.block)
    assert [device.name for device in found] == ["sda", "sdb"]
    assert found[0].text == "sda, turning disk, says it has no write cache to be flushed, no FUA"


def test_what_is_not_known_is_said_to_be_unknown(kernel: Kernel, tmp_path: Path) -> None:
    assert devices(tmp_path, "overlay", kernel.block) == []
    kernel.lies_on(kernel.disk("sdx"), tmp_path)
    [found] = devices(tmp_path, "/dev/sdx", kernel.block)
    assert found.text == "sdx, kind unknown, whether it has a write cache is unknown"


@pytest.mark.parametrize(("name", "model"), [("vda", ""), ("sda", "QEMU HARDDISK"), ("loop3", "")])
def test_a_virtual_disk_is_recognised(name: str, model: str) -> None:
    assert Device(name, model, True, "write back", False).virtual


def test_flushes_are_measured_and_leave_nothing(tmp_path: Path) -> None:
    assert len(flushes(tmp_path, count=5)) == 5
    assert len(flushes(tmp_path, count=5, limit_s=0.0)) == 1
    assert list(tmp_path.iterdir()) == []


def test_the_spread_of_a_hundred() -> None:
    spread = Spread.of([n / 1000 for n in range(100, 0, -1)])
    assert (spread.count, spread.p50, spread.p99, spread.most) == (100, 0.051, 0.1, 0.1)
    assert spread.text == "median 51 ms, 99 % within 100 ms, longest 100 ms"
    assert Spread.of([]).most == 0.0


def test_the_file_system_is_the_one_it_lies_on(tmp_path: Path) -> None:
    found = mount(tmp_path)
    points = {line.split()[4] for line in MOUNTS.read_text("utf-8").splitlines()}
    if "/" in points:  # a chroot may lie on no mount that it sees
        assert found.kind
        assert "rw" in found.options.split(",")
    else:
        assert found.kind == ""
