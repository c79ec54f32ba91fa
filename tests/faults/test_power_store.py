"""The power goes while the store works: what was acknowledged by then is on the disk, byte for byte."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import pytest
from end_to_end.lab import ROOT, until
from faults import busy_store
from faults.ability import library, need
from faults.crash_disk import CrashDisk, crash_disk
from faults.outcomes_file import RANDOM, Outcome, Outcomes
from faults.scale import FULL, chance, seed
from faults.verified import opened

from edge_agent.store.errors import OpenError
from edge_agent.store.store import Store

pytestmark = pytest.mark.slow

CUT = "power cut while the store works"
IMAGES = 5_000 if FULL else 16
LIFE = 40  # images of one data directory; then it begins anew, so that each stays quick to look at


@dataclass
class Told:
    """What the world was told so far."""

    received: list[tuple[int, int, int]] = field(default_factory=list)  # link, number, transmission
    filed: list[str] = field(default_factory=list)
    saved: int = 0

    @property
    def count(self) -> int:
        return len(self.received) + len(self.filed) + (self.saved > 0)

    def hear(self, line: str) -> None:
        kind, *words = line.split()
        if kind == "received":
            link, number, transmission = map(int, words)
            self.received.append((link, number, transmission))
        elif kind == "filed":
            self.filed.append(words[0])
        else:
            self.saved = int(words[0])


class BusyStore:
    """The process, and what it said. ``told`` at an instant is what it had said by then."""

    def __init__(self, folder: Path, number: int, protection: str, more: Mapping[str, str]) -> None:
        self.seed = seed() + number
        self._told = Told()
        self._lock = threading.Lock()
        self._errors = folder / "errors"
        folder.mkdir()
        env = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", **more}
        command = [sys.executable, "-W", "error", busy_store.__file__, str(folder), str(self.seed), protection]
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=errors, text=True)
        self._thread = threading.Thread(target=self._hear, name="told")
        self._thread.start()

    def _hear(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.endswith("\n"):
                with self._lock:
                    self._told.hear(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait(20)
        self._thread.join(20)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def told(self) -> Told:
        assert self._process.poll() is None, self._errors.read_text(encoding="utf-8")
        with self._lock:
            return Told(list(self._told.received), list(self._told.filed), self._told.saved)


@dataclass
class Findings:
    images: int = 0
    acknowledged: int = 0  # of all images
    lost: int = 0
    altered: int = 0
    refused: int = 0  # images with a store the agent would not open


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CrashDisk]:
    need("reflink", "eatmydata")
    with crash_disk(tmp_path_factory.mktemp("power")) as made:
        yield made


@pytest.mark.timeout(3600)
def test_what_was_acknowledged_is_there_after_a_power_cut(disk: CrashDisk, outcomes: Outcomes) -> None:
    found = Findings()
    while found.images < IMAGES:
        cut_again_and_again(disk, found, f"life-{found.images}", min(LIFE, IMAGES - found.images))
    print(f"\n{CUT}: {found}")
    outcomes.add(Outcome(CUT, RANDOM, found.images, 0, found.acknowledged, found.lost, 0, found.altered, note=NOTE))
    assert (found.lost, found.altered, found.refused) == (0, 0, 0)


NOTE = (
    "acknowledged is counted anew for each image; with checkpoints, purging, backups and saved profiles under way; "
    "quick check and audit chain of each image"
)
MISSING = {
    "synchronous=NORMAL": ("normal", ""),
    "eatmydata": ("full", "libeatmydata.so"),
    "ACK before COMMIT": ("early", ""),
}


@pytest.mark.parametrize("what", MISSING)
def test_the_same_count_finds_what_a_store_without_the_protection_loses(
    disk: CrashDisk, what: str, outcomes: Outcomes
) -> None:
    protection, preloaded = MISSING[what]
    more = {"LD_PRELOAD": str(library(preloaded))} if preloaded else {}
    found = Findings()
    cut_again_and_again(disk, found, what.replace(" ", "-"), 12, protection, more, patient=False)
    outcomes.control(CUT, what, f"{found.lost} of {found.acknowledged} lost in {found.images} images")
    assert found.lost > 0, found


def cut_again_and_again(
    disk: CrashDisk,
    found: Findings,
    name: str,
    images: int,
    protection: str = "full",
    more: Mapping[str, str] | None = None,
    *,
    patient: bool = True,
) -> None:
    """The acknowledgements of a store at work, held against copies of its disk at random moments.

    ``patient``: also when something is lost.
    """
    moments = chance(f"{CUT} {name}")
    folder = disk.point / name
    with BusyStore(folder, found.images, protection, more or {}) as busy:
        until(lambda: len(busy.told().received) > 20, what="the store is at work")
        for _ in range(images):
            time.sleep(moments.uniform(0.0, 0.08))
            told = busy.told()
            image = disk.cut()
            look_at(disk, image, folder.name, busy.seed, told, found)
            image.unlink()
            if found.lost and not patient:
                break
    shutil.rmtree(folder)


def look_at(disk: CrashDisk, image: Path, name: str, seed_: int, told: Told, found: Findings) -> None:
    found.images += 1
    found.acknowledged += told.count
    with disk.mounted(image) as point:
        try:
            with opened(point / name / busy_store.DATA) as store:
                compare(store, seed_, told, found)
        except (OpenError, AssertionError):
            found.refused += 1
            found.lost += told.count
            return
        path = point / name / busy_store.PROFILE
        profile = path.read_text(encoding="utf-8") if path.exists() else ""
    if not profile:
        found.lost += told.saved > 0
        return
    number = int(profile.split()[0])
    found.lost += number < told.saved
    found.altered += profile != busy_store.saved(seed_, number)


def compare(store: Store, seed_: int, told: Told, found: Findings) -> None:
    purged = set(transmissions_purged(store))
    there: dict[int, list[bytes]] = {}
    for transmission, raw in store.database.rows("SELECT transmission, raw FROM chunk ORDER BY transmission, position"):
        there.setdefault(transmission, []).append(raw)
    for link, number, transmission in told.received:
        if transmission not in purged:
            whole = [busy_store.raw(text) for text in busy_store.texts(seed_, link, number)]
            kept = there.get(transmission, [])
            found.lost += kept != whole and kept == whole[: len(kept)]
            found.altered += kept != whole[: len(kept)]
    still = {row[0]: row[1] for row in store.database.rows("SELECT id, state FROM outbox")}
    found.lost += sum(still.get(message, "filed") != "filed" for message in told.filed)


def transmissions_purged(store: Store) -> Iterator[int]:
    """The audit chain names them."""
    for (facts,) in store.database.rows("SELECT facts FROM audit WHERE kind = 'purged'"):
        yield from map(int, json.loads(facts)["transmissions"].split())
