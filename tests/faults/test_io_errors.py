"""A system call of the store fails, once or for ever, at every place on a message's way.

Nothing is acknowledged after it until the store has proved itself; the alarm is up meanwhile; it goes on without a
restart when the fault passes, and loses nothing if the agent is killed while it lasts.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from end_to_end.lab import Bench, until
from faults.ability import need
from faults.answers import CALLS, answers, failed_files
from faults.outcomes_file import ENUMERATED, Outcomes
from faults.scale import share
from faults.scene import Scene, scene
from faults.tracer import Fault, places, threads, traced

pytestmark = [pytest.mark.broker, pytest.mark.slow]

ONCE = "a system call of the store fails once"
EVER = "a system call of the store fails from then on"
CHECKPOINT = "the database cannot be synced, its log can"
FAILING = ("pwrite64", "fdatasync", "fsync", "openat", "ftruncate", "rename")
ERRORS = {"openat": ("EMFILE", "ENOMEM", "EIO", "ENOSPC"), "rename": ("EIO", "ENOSPC"), "ftruncate": ("EIO",)}
USUAL = ("EIO", "ENOSPC")
SAID = "Nothing is acknowledged until storage works again"
EVERY = 10  # writes: one in so many fails for ever, and each of the other calls


@contextmanager
def laboratory(folder: Path, defect: str = "hurried") -> Iterator[Scene]:
    """The analyser sends one message at a time."""
    with scene(folder, Bench("gen1", "lis02_generic"), defect=defect, samples=("worked_example",)) as s:
        yield s


def points(s: Scene, log: Path, *, ever: bool) -> list[Fault]:
    """Every call of the store's thread in a run without a fault, each with one of its errors."""
    assert s.agent.process is not None
    alive = threads(s.agent.process.pid)
    with traced(s.agent.process.pid, calls=CALLS, log=log):
        s.round(1)
    taken = [answer for answer in answers(log) if answer.taken]
    assert len(taken) >= 5, "the log does not show the answers"
    assert all(answer.synced for answer in taken)
    found = []
    for place in places(log, alive):
        if place.call in FAILING and not (ever and place.call == "pwrite64" and place.number % EVERY):
            kinds = ERRORS.get(place.call, USUAL)
            found.append(Fault(place.call, f"error={kinds[place.number % len(kinds)]}", place.number, ever))
    return sorted(set(found), key=str)


@pytest.mark.timeout(1800)
def test_a_call_that_fails_once_costs_no_result_and_no_restart(tmp_path: Path, outcomes: Outcomes) -> None:
    need("strace")
    with laboratory(tmp_path) as s:
        found = points(s, tmp_path / "calls", ever=False)
        chosen = share(found)
        came = [fault for fault in chosen if failed_once(s, fault, tmp_path / "log")]
        verdict = s.verdict()
    assert len(came) >= len(chosen) // 2, f"{len(came)} of {len(chosen)} faults came"
    outcomes.verdict(ONCE, ENUMERATED, len(came), verdict, points=len(found))


@pytest.mark.timeout(1800)
def test_calls_that_fail_from_then_on_cost_no_result(tmp_path: Path, outcomes: Outcomes) -> None:
    need("strace")
    with laboratory(tmp_path) as s:
        found = points(s, tmp_path / "calls", ever=True)
        chosen = share(found)
        came = [f for n, f in enumerate(chosen) if failed_for_ever(s, f, tmp_path / "log", killed=n % 2 == 0)]
        verdict = s.verdict()
    assert len(came) >= len(chosen) // 2, f"{len(came)} of {len(chosen)} faults came"
    outcomes.verdict(EVER, ENUMERATED, len(came), verdict, points=len(found))


def test_a_database_that_cannot_be_synced_is_said_although_its_log_can(tmp_path: Path, outcomes: Outcomes) -> None:
    need("strace")
    with laboratory(tmp_path) as s:
        assert said_of_the_database(s)
        s.analyser.finish()
        s.drained()
        until(lambda: not s.alarmed("storage"), 60, "the alarm goes")
        outcomes.verdict(CHECKPOINT, ENUMERATED, 1, s.verdict())


def test_sqlite_alone_says_nothing_of_it(tmp_path: Path, outcomes: Outcomes) -> None:
    need("strace")
    with laboratory(tmp_path, "leave-the-log") as s:
        assert not said_of_the_database(s)
    outcomes.control(CHECKPOINT, "the log not looked at", "nothing said in 3 messages")


def said_of_the_database(s: Scene) -> bool:
    """Whether the alarm comes within three messages while no sync of the database itself succeeds."""
    assert s.agent.process is not None
    fails = Fault("fdatasync", "error=EIO", ever=True)
    with traced(s.agent.process.pid, fails, files=[s.agent.data_dir / "agent.db"]):
        for _ in range(3):
            s.analyser.begin(1)
            until(lambda: s.alarmed("storage") or s.all_filed(), 60, "the alarm, or the message is filed")
            if s.alarmed("storage"):
                return True
    return False


def test_the_same_count_finds_what_an_agent_loses_that_overlooks_the_error(tmp_path: Path, outcomes: Outcomes) -> None:
    need("strace")
    with laboratory(tmp_path, "overlook-errors") as s:
        assert s.agent.process is not None
        with traced(
            s.agent.process.pid, Fault("fdatasync", "error=EIO", 2, ever=True), calls=CALLS, log=tmp_path / "log"
        ):
            s.analyser.begin(1)
            s.analyser.finish()
            s.agent.kill()
        s.agent.start()
        s.drained()
        verdict = s.verdict()
    lost = len(verdict.of("lost"))
    assert lost > 0, verdict.table()
    assert any(answer.taken and not answer.synced for answer in answers(tmp_path / "log"))
    for name in (ONCE, EVER):
        outcomes.control(name, "the store's errors overlooked", f"{lost} of {verdict.acknowledged} lost")


def failed_once(s: Scene, fault: Fault, log: Path) -> bool:
    """One run; whether the call came, and failed."""
    assert s.agent.process is not None
    before = s.agent.log.read_text(encoding="utf-8").count(SAID)
    with traced(s.agent.process.pid, fault, calls=CALLS, log=log):
        s.analyser.begin(1)
        until(s.all_filed, 60, f"all is filed after {fault}")
    s.drained()
    files = failed_files(log)
    every_answer_is_true(log, fault)
    if fault.call == "pwrite64" and "agent.db-wal" in files:  # in a COMMIT, not in the checkpoint after one
        assert s.agent.log.read_text(encoding="utf-8").count(SAID) > before, f"nothing was said of {fault}"
    return bool(files)


def failed_for_ever(s: Scene, fault: Fault, log: Path, *, killed: bool) -> bool:
    """One run; whether the call came, and failed."""
    process = s.agent.process
    assert process is not None
    with traced(process.pid, fault, calls=CALLS, log=log):
        s.analyser.begin(1)
        until(lambda: s.alarmed("storage") or s.all_filed(), 60, f"the alarm, or all is filed, after {fault}")
        if killed:
            s.agent.kill()
    if killed:
        s.agent.start()
    s.analyser.finish()
    s.drained()
    until(lambda: not s.alarmed("storage"), 60, f"the alarm goes after {fault}")
    every_answer_is_true(log, fault)
    return bool(failed_files(log))


def every_answer_is_true(log: Path, fault: Fault) -> None:
    early = [answer for answer in answers(log) if answer.taken and not answer.synced]
    assert not early, f"acknowledged without a sync that succeeded: {fault}"
