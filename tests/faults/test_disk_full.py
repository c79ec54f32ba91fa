"""The data directory's disk fills up, goes away or takes no more: analysers are asked to wait, nothing is lost."""

import contextlib
import fcntl
import os
import resource
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from end_to_end.lab import AgentProcess, Bench, running_broker, started, until
from faults.ability import need
from faults.outcomes_file import ENUMERATED, RANDOM, Outcomes
from faults.scale import FULL, many, seed, turn
from faults.traffic import Traffic, count
from support_broker import Broker
from support_small_disk import MB, fill, small_disk

from edge_agent.clock import SystemClock
from edge_agent.errors import AgentError
from edge_agent.store.errors import StorageFailedError
from edge_agent.store.rows import Chunk, ChunkKind, Source
from edge_agent.store.store import Store
from simulators.central import Central, CentralOptions

pytestmark = [pytest.mark.broker, pytest.mark.slow]

CYCLES, WAYS = "disk filled to the last block and freed again", "disk or its directory takes nothing any more"
LIMITS = "[store]\nreserve_mb = 4\nlow_water_mb = 8"
QUICK = "ack_timeout_s = 2\nretry_max_s = 2\nunfiled = 64"
SIZE_MB = 32
LONG_MB = 512  # what a hundred cycles leave has to fit beside the mark
FRAME = Chunk(ChunkKind.FRAME, b"\x021H|\\^&\r\x03E5\r\n", b"H|\\^&\r", 1, last=True)
_SHUTDOWN, _AT_ONCE = 0x8004587D, 2  # EXT4_IOC_SHUTDOWN, with the journal not flushed


@dataclass
class Lab:
    """An agent whose data directory is alone on a disk of 32 MB, analysers that send, a management system."""

    broker: Broker
    agent: AgentProcess
    benches: list[Bench]
    central: Central
    disk: Path

    @property
    def filed(self) -> int:
        return self.central.ledger.totals()["filed_results"]

    def goes_on(self, why: str) -> None:
        before = self.filed
        until(lambda: self.filed > before, 60, f"results come again: {why}")

    def free(self) -> int:
        found = os.statvfs(self.disk)
        return found.f_bavail * found.f_frsize

    def remount(self) -> None:
        """As after a machine came back: the disk checked and mounted, the agent started."""
        if self.disk.is_mount():
            subprocess.run(["umount", self.disk], check=True)
        image = self.disk.with_name("image")
        until(lambda: not attached(image), 20, "the image is free")
        subprocess.run(["e2fsck", "-p", "-f", image], check=False, capture_output=True)
        subprocess.run(["mount", "-o", "loop", image, self.disk], check=True)
        self.agent.start()


def attached(image: Path) -> bool:
    return bool(subprocess.run(["losetup", "-j", image], capture_output=True, text=True, check=True).stdout)


@contextmanager
def laboratory(tmp_path: Path) -> Iterator[Lab]:
    need("loop")
    benches = [Bench("gen1", "lis02_generic"), Bench("xn1", "sysmex_xn")]
    folder = tmp_path / "agent"
    folder.mkdir()
    size = LONG_MB if FULL else SIZE_MB
    with running_broker(tmp_path / "broker") as broker, small_disk(tmp_path, size, "-N", "128") as disk:
        agent = AgentProcess(folder, broker.url, benches, QUICK, LIMITS)
        agent.data_dir.symlink_to(disk / "data")
        (disk / "data").mkdir(mode=0o700)
        with Central(CentralOptions(broker.url, validate="none")) as central, started(agent):
            yield Lab(broker, agent, benches, central, disk)


@pytest.mark.every(2)
def test_on_a_disk_that_fills_up_analysers_wait_in_time_and_what_is_stored_drains(
    tmp_path: Path, outcomes: Outcomes
) -> None:
    cycles, drained = many(sample=1, full=100), 0
    with laboratory(tmp_path) as lab, Traffic(lab.benches, seed(), rate=8) as traffic:
        lab.goes_on("the first ones")
        for _ in range(cycles):
            drained += fill_and_free(lab)
        traffic.stop()
        verdict = count(traffic, lab.agent, lab.central)
    note = f"{drained} messages filed while not one block was free; analysers were asked to wait before that"
    outcomes.verdict(CYCLES, RANDOM, cycles, verdict, note=note)


def fill_and_free(lab: Lab) -> int:
    """How many messages were filed while the disk was full."""
    lab.central.go_offline()
    until(lambda: unfiled(lab.agent) > 5, 60, "something waits")
    ballast = lab.disk / "ballast"
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, lab.free() - 6 * MB)  # below the mark of 8 MB
    until(lambda: "disk-low" in alarms(lab.agent), 30, "analysers are asked to wait")
    assert lab.free() > 2 * MB, "asked to wait before the disk was full"
    waiting = unfiled(lab.agent)
    fill(lab.disk / "rest")
    lab.central.go_online()
    until(lambda: unfiled(lab.agent) == 0, 60, "what is stored drains from a full disk")
    assert lab.free() < 5 * MB  # nothing but the reserve was given up
    for file in (ballast, lab.disk / "rest"):
        file.unlink()
    until(lambda: alarms(lab.agent).isdisjoint({"disk-low", "storage"}), 30, "there is room again")
    lab.goes_on("without a restart")
    return waiting


def unfiled(agent: AgentProcess) -> int:
    """-1 while the agent cannot tell."""
    try:
        messages = agent.ask("status")["messages"]
    except AgentError:
        return -1
    return sum(count for state, count in messages.items() if state in ("queued", "at-broker"))


def alarms(agent: AgentProcess) -> set[str]:
    """Where nothing can be stored, status says only that."""
    try:
        return agent.alarms()
    except AgentError as error:
        return {error.code}


# ways a disk takes nothing


def no_inodes(lab: Lab) -> None:
    """Files that are open go on; a new one cannot be made."""
    made = []
    with contextlib.suppress(OSError):
        while True:
            made.append(lab.disk / f"file-{len(made)}")
            made[-1].touch()
    lab.goes_on("with no inode left")
    for path in made:
        path.unlink(missing_ok=True)


def read_only(lab: Lab) -> None:
    """The kernel made it read-only after an error, as it does on a failing card; somebody repairs it."""
    device = Path(subprocess.run(["findmnt", "-no", "SOURCE", lab.disk], capture_output=True, text=True).stdout.strip())
    subprocess.run(["mount", "-o", "remount,errors=remount-ro", lab.disk], check=True)
    (Path("/sys/fs/ext4") / device.name / "trigger_fs_error").write_text("1")
    refuses(lab)
    lab.agent.kill()
    lab.remount()


def unplugged(lab: Lab) -> None:
    """Every access fails from now on, and what was not synced is gone."""
    shut_down(lab.disk)
    refuses(lab)
    lab.agent.kill()
    lab.remount()


def shut_down(disk: Path) -> None:
    fd = os.open(disk, os.O_RDONLY)
    fcntl.ioctl(fd, _SHUTDOWN, struct.pack("I", _AT_ONCE))
    os.close(fd)


def unmounted(lab: Lab) -> None:
    """Lazily: the agent keeps the files it has open, takes nothing new and begins nothing where its directory was."""
    subprocess.run(["umount", "-l", lab.disk], check=True)
    until(lambda: "disk-low" in lab.agent.tail(), 30, "analysers are asked to wait")
    assert lab.agent.process is not None
    assert lab.agent.process.poll() is None
    assert list(lab.disk.iterdir()) == []
    lab.agent.kill()
    lab.remount()


def immutable(lab: Lab) -> None:
    """Nobody may write any more; then everybody may again."""
    files = [path for path in (lab.disk / "data").iterdir() if path.is_file()]
    subprocess.run(["chattr", "+i", *files, lab.disk / "data"], check=True)
    refuses(lab)
    subprocess.run(["chattr", "-i", *files, lab.disk / "data"], check=True)


def unwritable_directory(lab: Lab) -> None:
    """Not a file can be made, renamed or deleted in it; the open ones go on."""
    subprocess.run(["chattr", "+i", lab.disk / "data"], check=True)
    lab.goes_on("with a directory nobody may change")
    subprocess.run(["chattr", "-i", lab.disk / "data"], check=True)


def no_descriptors(lab: Lab) -> None:
    """Not one more file or connection can be opened."""
    assert lab.agent.process is not None
    pid = lab.agent.process.pid
    _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    usual = resource.prlimit(pid, resource.RLIMIT_NOFILE, (1, hard))
    time.sleep(1.0)  # what comes in this second meets it
    resource.prlimit(pid, resource.RLIMIT_NOFILE, usual)


POINTS: list[Callable[[Lab], None]] = [
    *(no_inodes, read_only, unplugged, unmounted, immutable, unwritable_directory, no_descriptors)
]


def refuses(lab: Lab) -> None:
    until(lambda: "storage" in alarms(lab.agent), 30, "that nothing can be stored is said")


def test_a_disk_that_takes_nothing_costs_nothing(tmp_path: Path, outcomes: Outcomes) -> None:
    ways = POINTS if FULL else [POINTS[turn() % len(POINTS)]]
    with laboratory(tmp_path) as lab, Traffic(lab.benches, seed(), rate=8) as traffic:
        lab.goes_on("the first ones")
        for way in ways:
            way(lab)
            assert nothing_in_memory(lab), "no database anywhere but in the data directory"
            lab.goes_on(f"after {way.__name__}")
        traffic.stop()
        verdict = count(traffic, lab.agent, lab.central)
    note = ", ".join(way.__name__.replace("_", " ") for way in ways)
    outcomes.verdict(WAYS, ENUMERATED, len(ways), verdict, points=len(POINTS), note=note)


@pytest.mark.every(2)
def test_who_acknowledges_before_the_commit_loses_what_comes_after_the_disk_went(
    tmp_path: Path, outcomes: Outcomes
) -> None:
    need("loop")
    with small_disk(tmp_path, SIZE_MB) as disk:
        store = Store.open(disk / "data", SystemClock(), reserve_mb=0, low_water_mb=0)
        number = store.open_transmission(Source("gen1", "", "lis02_generic", 1, "", "production"))
        told, early = 0, 0
        for count in range(100):
            early += 1
            with contextlib.suppress(StorageFailedError):
                told += store.append(number, [FRAME]).chunks
            if count == 50:
                shut_down(disk)
        with contextlib.suppress(StorageFailedError, OSError):
            store.close()
        subprocess.run(["umount", disk], check=True)
        subprocess.run(["mount", "-o", "loop", tmp_path / "image", disk], check=True)
        store = Store.open(disk / "data", SystemClock(), reserve_mb=0, low_water_mb=0)
        kept = len(store.transmission(number).chunks)
        store.close()
    assert told <= kept < early
    outcomes.control(WAYS, "ACK before COMMIT", f"{early - kept} of {early} frames lost")


def nothing_in_memory(lab: Lab) -> bool:
    """Every database the agent has open lies on its disk."""
    assert lab.agent.process is not None
    links = [os.readlink(fd) for fd in Path(f"/proc/{lab.agent.process.pid}/fd").iterdir()]
    databases = [link for link in links if ".db" in link]
    assert databases
    return all(link.startswith(f"{lab.disk}/data/agent.db") for link in databases)


@pytest.mark.every(2)
def test_without_mark_and_reserve_a_full_disk_fails_a_commit_and_nothing_can_be_marked(
    tmp_path: Path, outcomes: Outcomes
) -> None:
    need("loop")
    with small_disk(tmp_path, SIZE_MB) as disk:
        store = Store.open(disk / "data", SystemClock(), reserve_mb=0, low_water_mb=0)
        number = store.open_transmission(Source("gen1", "", "lis02_generic", 1, "", "production"))
        fill(disk / "ballast")
        with pytest.raises(StorageFailedError):
            until_it_fails(store, number)
        outcomes.control(CYCLES, "low-water mark", "nobody was asked to wait before a COMMIT failed")
        store.database.close()
        fill(disk / "more")
        with pytest.raises(StorageFailedError):
            mark_many(store)
        outcomes.control(CYCLES, "reserve", "on the full disk nothing more could be marked as filed")
        with contextlib.suppress(StorageFailedError):
            store.close()


def until_it_fails(store: Store, number: int) -> None:
    while True:
        assert not store.disk_low()
        store.append(number, [Chunk(ChunkKind.FRAME, b"\x02" + b"x" * 60_000, b"x" * 60_000)])


def mark_many(store: Store) -> None:
    store.reopen()
    for _ in range(300):
        store.audit("filed", {})
