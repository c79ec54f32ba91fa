"""Every sync of the disk takes 0.2, 2 or 20 seconds: an ACK comes after the sync and in time, or none comes."""

from pathlib import Path

import pytest
from end_to_end.lab import Bench, until
from faults.ability import need
from faults.answers import CALLS, Answer, answers
from faults.outcomes_file import ENUMERATED, Outcomes
from faults.scale import FULL, turn
from faults.scene import Scene, scene
from faults.tracer import Fault, traced

pytestmark = [pytest.mark.broker, pytest.mark.slow]

SLOW = "each sync of the disk takes 0.2, 2 or 20 s"
DELAYS_S = (0.2, 2.0, 20.0)
REPLY_S = 15.0  # LIS01-A2 §6.5.2.2: then the sender has given up


def test_an_answer_comes_after_the_sync_and_in_time_or_not_at_all(tmp_path: Path, outcomes: Outcomes) -> None:
    need("strace")
    delays = DELAYS_S if FULL or turn() == 0 else DELAYS_S[:2]  # a round of 20 s takes half a minute
    with scene(tmp_path, Bench("gen1", "lis02_generic"), samples=("worked_example",)) as s:
        slowest = [held_up(s, delay, tmp_path / f"log-{delay}") for delay in delays]
        verdict = s.verdict()
    note = f"answers to frames after at most {max(slowest):.1f} s; none before its sync"
    outcomes.verdict(SLOW, ENUMERATED, len(delays), verdict, points=len(DELAYS_S), note=note)


def test_the_same_look_at_the_answers_finds_an_early_one(tmp_path: Path, outcomes: Outcomes) -> None:
    need("strace")
    with scene(tmp_path, Bench("gen1", "lis02_generic"), defect="acknowledge-early", samples=("worked_example",)) as s:
        found = slowed(s, 2.0, tmp_path / "log")
    early = [answer for answer in found if answer.taken and answer.after_s < 2.0]
    assert early
    outcomes.control(SLOW, "ACK before COMMIT", f"{len(early)} of {len(found)} early")


def held_up(s: Scene, delay: float, log: Path) -> float:
    """One round; after how many seconds the slowest answer came."""
    found = slowed(s, delay, log)
    s.analyser.finish()
    s.drained()
    taken = [answer for answer in found if answer.taken]
    assert taken or delay > REPLY_S
    assert all(answer.after_s >= delay and answer.synced for answer in taken), "acknowledged before it was stored"
    assert all(answer.after_s < REPLY_S for answer in found), "answered when the sender had given up"
    return max((answer.after_s for answer in found), default=0.0)


def slowed(s: Scene, delay: float, log: Path) -> list[Answer]:
    """The answers of a message's first frames, or what comes of the first one where nobody waits so long."""
    assert s.agent.process is not None
    slow = Fault("fdatasync", f"delay_enter={int(delay * 1e6)}", ever=True)
    with traced(s.agent.process.pid, slow, calls=CALLS, log=log):
        s.analyser.begin(1)
        if delay > REPLY_S:
            until(lambda: s.alarmed("storage"), 60, "the alarm of a disk that does not answer")
            until(lambda: "(DELAYED)" in log.read_text(encoding="utf-8"), 60, "the first sync has ended")
        else:
            until(lambda: len(answers(log)) >= 3, 60, "three frames are answered")
    return answers(log)
