"""`selftest` as a person types it: a verdict, an exit status, and nothing left behind."""

import json
import signal
import subprocess
from pathlib import Path

import pytest
from end_to_end.lab import until
from selftest_helpers import ROOT, configured, script, selftest, words

pytestmark = pytest.mark.slow

FOLDER = Path("data/selftest")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return configured(tmp_path)


def left(config: Path) -> list[str]:
    return sorted(path.name for path in (config.parent / "data").iterdir())


def test_it_passes_here_and_leaves_nothing(config: Path) -> None:
    output = config.parent / "verdict.txt"
    done = selftest(config, "--rounds", "4", "--seed", "11", "--json", "--output", str(output))
    assert done.returncode == 0, done.stdout + done.stderr
    facts = json.loads(done.stdout)
    assert (facts["passed"], facts["kills"], facts["seed"], facts["rounds"]) == (True, 4, 11, 4)
    assert [facts[kind] for kind in ("lost", "altered", "doubled", "misplaced")] == [0, 0, 0, 0]
    assert facts["acknowledged_frames"] >= 4
    assert facts["settings"] == {"journal_mode": "wal", "synchronous": "2", "locking_mode": "exclusive"}
    assert [control["found"] for control in facts["controls"]] == [True] * 4
    assert left(config) == []
    text = output.read_text(encoding="utf-8")
    assert facts["sha256"] in text
    assert not any(word in text + done.stdout for word in ("hush", "broker.example", "secret"))


# The self-test with a program that loses, or with a comparison that is handed no fault.
WITH = """
import sys
from pathlib import Path
from edge_agent.clock import SystemClock
from edge_agent.configuration.file import load
from edge_agent.selftest import controls
from edge_agent.selftest.receiving import Receiving, reader
from edge_agent.selftest.run import SelfTest
config, what, rounds = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
settings = load(config)
make = None
if what == "hasty":
    made = reader(settings)
    make = lambda place: Receiving(place, made, controls.HastyConnection)
else:
    controls.flip = lambda folder, life: None
statement = SelfTest(config, settings, SystemClock(), lambda *told: None, make).run(rounds, 5)
print(statement.text())
sys.exit(0 if statement.passed else 1)
"""


def test_an_agent_that_acknowledges_before_it_stores_fails_and_its_store_is_kept(config: Path) -> None:
    done = script(WITH, str(config), "hasty", "30")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "VERDICT    FAILED\n" in done.stdout
    assert " lost." in done.stdout
    assert (config.parent / FOLDER / "store-1" / "agent.db").exists()
    assert f"{config.parent / FOLDER}: keep it" in " ".join(done.stdout.split())


def test_a_fault_made_on_purpose_that_is_not_found_fails(config: Path) -> None:
    done = script(WITH, str(config), "blind", "2")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "FAILED: this test proves nothing" in done.stdout
    assert "one bit of a stored frame changed: not found" in done.stdout


def interrupted(config: Path, number: int) -> int:
    """Started, and sent the signal when it is under way."""
    process = subprocess.Popen(
        words(config, "--rounds", "1000"), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        until((config.parent / FOLDER / "store-1").exists, 60, "the rounds began")
        process.send_signal(number)
        return process.wait(30)
    finally:
        process.kill()
        process.wait()


def test_ctrl_c_leaves_nothing(config: Path) -> None:
    assert interrupted(config, signal.SIGINT) == 1
    assert left(config) == []


def test_what_a_killed_one_left_is_removed_by_the_next_and_its_own_stays_if_wanted(config: Path) -> None:
    interrupted(config, signal.SIGKILL)
    (config.parent / FOLDER / "left-over").touch()
    done = selftest(config, "--rounds", "1", "--keep")
    assert done.returncode == 0, done.stdout + done.stderr
    assert left(config) == ["selftest"]
    assert not (config.parent / FOLDER / "left-over").exists()
    assert (config.parent / FOLDER).stat().st_mode & 0o777 == 0o700


def test_a_verdict_that_cannot_be_filed_is_said_at_once(config: Path) -> None:
    done = selftest(config, "--output", str(config))
    assert (done.returncode, done.stdout) == (1, "")
    assert "edge-agent.toml exists" in done.stderr
    assert "[selftest-place]" in done.stderr
