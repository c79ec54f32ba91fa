"""A restore or a backup is killed: the store is the old one or the restored one, whole, and nothing goes out twice."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from end_to_end.lab import ROOT
from faults.damaged_store import Base, content_of, goes_on, judged, opened
from faults.outcomes_file import ENUMERATED, RANDOM, Outcome, Outcomes
from faults.scale import chance, many, share

sys.path.insert(0, str(Path(__file__).parents[1] / "edge_agent" / "store"))  # store_faults lies beside its tests

from store_faults import in_child  # after the path above

from edge_agent.backup import archive, restoring
from edge_agent.backup.restoring import Restoring
from edge_agent.backup.taking import Taking
from edge_agent.clock import SystemClock
from edge_agent.configuration.file import load
from edge_agent.errors import AgentError
from edge_agent.settings import Settings
from simulators.central_ledger import Filing

pytestmark = [pytest.mark.broker, pytest.mark.slow]

RESTORE, BACKUP = "restore killed at each step", "backup killed at random moments"


class Place:
    """A configuration and its data directory, with a backup of how things stood."""

    def __init__(self, folder: Path, base: Base) -> None:
        folder.mkdir()
        self.config = folder / "edge-agent.toml"
        self.config.write_bytes(base.config.read_bytes())
        self.data_dir = base.copy(folder / "data", folded=True)
        goes_on(self.data_dir, base, deliver=False)

    @property
    def settings(self) -> Settings:
        return load(self.config)

    def backed_up(self, dest: Path) -> Path:
        return Taking(self.config, self.settings, dest, SystemClock(), lambda *_: None).take().file

    def restore(self, file: Path) -> None:
        Restoring(self.config, self.settings, SystemClock()).restore(file, replace=True)


def die_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As kill -9 before the n-th thing of a restore that a disk or a directory is told."""
    seen = 0

    def counted(real):
        def call(*words):
            nonlocal seen
            seen += 1
            if seen == step:
                os._exit(9)
            return real(*words)

        return call

    for module, names in ((restoring, ("sync_directory", "exchange")), (os, ("fsync", "rename")), (Path, ("rename",))):
        for name in names:
            monkeypatch.setattr(module, name, counted(getattr(module, name)))


def steps(place: Place, file: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    for step in range(1, 200):
        if in_child(lambda step=step: (die_at(step, monkeypatch), place.restore(file))) == 0:
            return step - 1
    raise AssertionError("a restore has no end")


def test_a_restore_killed_anywhere_leaves_a_whole_store_and_nothing_is_filed_twice(
    tmp_path: Path, base: Base, outcomes: Outcomes, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = Place(tmp_path / "counted", base)
    waiting, file = content_of_store(counted.data_dir), counted.backed_up(tmp_path)
    points = range(1, steps(counted, file, monkeypatch) + 1)
    tried = share(points)
    faults = {"lost": 0, "doubled": 0, "altered": 0, "misattributed": 0}
    owed = 0
    for step in tried:
        place = Place(tmp_path / str(step), base)
        place.restore(file)
        more = goes_on(place.data_dir, base)  # everything is filed after the backup was made
        filed = content_of_store(place.data_dir)
        in_child(lambda place=place, step=step: (die_at(step, monkeypatch), place.restore(file)))
        assert content_of_store(place.data_dir) in (filed, waiting), f"killed at step {step}"
        place.restore(file)
        more += again(place, base, more)
        verdict = judged(base, more)
        owed += verdict.acknowledged
        faults = {kind: n + len(verdict.of(kind)) for kind, n in faults.items()}
        assert verdict.flawless, f"killed at step {step}: {verdict.table()}"
        assert verdict.retries.total(), "what the backup had not filed goes out again, with its id"
    outcomes.add(Outcome(RESTORE, ENUMERATED, len(tried), len(points), owed, **faults))


def content_of_store(data_dir: Path) -> dict[str, list[tuple[object, ...]]]:
    """Looked at in a copy, so that no start has taken place; without the audit trail, which tells of each look."""
    seen = data_dir.with_name(f"seen-{random.randrange(10**9)}")
    subprocess.run(["cp", "-a", data_dir, seen], check=True)
    store = opened(seen)
    content = content_of(store)
    store.close()
    return {table: rows for table, rows in content.items() if table != "audit"}


def again(place: Place, base: Base, more: list[Filing]) -> list[Filing]:
    store = opened(place.data_dir)
    assert store.former is not None
    assert store.former.reason == "a backup was restored"
    store.close()
    return goes_on(place.data_dir, base, more)


def test_without_the_exchange_of_names_a_kill_leaves_no_store(
    tmp_path: Path, base: Base, outcomes: Outcomes, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(tmp_path / "place", base)
    file = place.backed_up(tmp_path)

    def in_two_steps(one: Path, other: Path) -> None:
        other.rename(other.with_name("moved"))
        os._exit(9)

    monkeypatch.setattr(restoring, "exchange", in_two_steps)
    in_child(lambda: place.restore(file))
    assert not place.data_dir.exists()
    outcomes.control(RESTORE, "exchange of names", "the data directory is gone, and an agent would begin anew")


@pytest.mark.every(2)
def test_a_backup_killed_at_any_moment_leaves_a_whole_file_or_none_and_the_store_as_it_was(
    tmp_path: Path, base: Base, outcomes: Outcomes
) -> None:
    kills, moments = many(sample=3, full=100), chance(BACKUP)
    place = Place(tmp_path / "place", base)
    content, out = content_of_store(place.data_dir), tmp_path / "out"
    out.mkdir()
    words = [sys.executable, "-m", "edge_agent", "backup", str(out), "--config", str(place.config)]
    began = time.monotonic()
    subprocess.run(words, cwd=ROOT, check=True, capture_output=True)
    long = time.monotonic() - began
    for _ in range(kills):
        process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(moments.uniform(0.3, 1.0) * long)
        process.kill()
        process.wait(20)
        for file in out.glob("*.tar"):
            archive.verified(file)
        assert content_of_store(place.data_dir) == content
    place.backed_up(tmp_path)  # elsewhere: a name says the second
    outcomes.add(Outcome(BACKUP, RANDOM, kills, note="each file under a backup's name was whole"))
    half = out / "half.tar"
    half.write_bytes(next(out.glob("*.tar")).read_bytes()[:200_000])
    with pytest.raises(AgentError):
        archive.verified(half)
    outcomes.control(BACKUP, "file written under its own name", "a half one is refused by `restore --check`")
