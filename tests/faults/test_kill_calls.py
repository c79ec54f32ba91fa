"""The agent is killed before every single system call on a result's way.

The way: received, stored, acknowledged, published, marked. The calls are counted in a run without a kill; then a run
for each. Every run must end with all of it filed once, and the store that the dead agent left must be whole.
"""

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from end_to_end.lab import Bench, until
from faults.ability import need
from faults.outcomes_file import ENUMERATED, Outcomes
from faults.scale import FULL, share
from faults.scene import Scene, scene
from faults.standby import NONE
from faults.switch import SerialSwitch
from faults.tracer import Place, kill_at, places, threads, traced
from faults.verified import verify

pytestmark = [pytest.mark.broker, pytest.mark.slow]

CALLS = (
    *("pwrite64", "fdatasync", "fsync", "ftruncate", "openat", "unlink", "rename"),
    *("sendto", "sendmsg", "write", "writev"),
)
# Between the answer of the management system and its mark; a call later than that is said to be missed.
MARKED_S = 0.5 if FULL else 0.15
SMALL = ("worked_example",)


@dataclass(frozen=True)
class Way:
    """One way for a few messages.

    ``prepare`` comes before the calls count, ``go`` when they do, ``died`` after a kill, ``back`` when it runs again.
    """

    scene: Scene
    go: Callable[[], None]
    prepare: Callable[[], None] = lambda: None
    died: Callable[[], None] = lambda: None
    back: Callable[[], None] = lambda: None

    def finish(self) -> None:
        self.scene.analyser.finish()
        self.scene.drained()


@contextmanager
def over_tcp(folder: Path, defect: str = NONE) -> Iterator[Way]:
    with scene(folder, Bench("gen1", "lis02_generic"), defect=defect, samples=SMALL) as s:
        yield Way(s, lambda: s.analyser.begin(3))


@contextmanager
def over_a_serial_line(folder: Path, defect: str = NONE) -> Iterator[Way]:
    with SerialSwitch() as cable:
        bench = Bench("gen1", "lis02_generic", transport=f"serial://{cable.path}?baudrate=9600")
        with scene(folder, bench, defect=defect, to=f"tcp://127.0.0.1:{cable.port}", samples=SMALL) as s:
            s.agent.listening = {bench.id}
            yield Way(s, lambda: s.analyser.begin(1), died=cable.off, back=cable.on)


@contextmanager
def after_the_broker_was_away(folder: Path, defect: str = NONE) -> Iterator[Way]:
    with scene(folder, Bench("gen1", "lis02_generic"), defect=defect, samples=SMALL) as s:

        def prepare() -> None:
            s.switch.off()
            s.analyser.begin(3)
            s.analyser.finish()
            until(lambda: s.agent.ask("status")["messages"].get("queued", 0) >= 3, what="all three wait")

        yield Way(s, s.switch.on, prepare, s.switch.on)


Opened = Callable[..., AbstractContextManager[Way]]
WAYS: dict[str, Opened] = {
    "agent killed at a system call, TCP": over_tcp,
    "agent killed at a system call, serial": over_a_serial_line,
    "agent killed at a system call, broker back after an outage": after_the_broker_was_away,
}

EARLY = ("acknowledge-early", "ACK before COMMIT", 2, "pwrite64", 1)
CONTROLS = dict(zip(WAYS, (EARLY, EARLY, ("file-unanswered", "filed without an answer", 0, "sendto", 4)), strict=True))


@pytest.mark.parametrize("name", WAYS)
@pytest.mark.timeout(1800)
def test_nothing_acknowledged_is_lost_or_doubled_whichever_call_the_agent_dies_at(
    tmp_path: Path, name: str, outcomes: Outcomes
) -> None:
    need("strace")
    with WAYS[name](tmp_path) as way:
        found = counted(way, tmp_path / "calls")
        chosen = share(found)
        died = [place for place in chosen if killed(way, place)]
        verdict = way.scene.verdict()
    missed = len(chosen) - len(died)
    assert missed <= len(chosen) // 4 + 2, f"{missed} of {len(chosen)} calls did not come"
    note = f"{missed} calls came no more in their run" if missed else ""
    outcomes.verdict(name, ENUMERATED, len(died), verdict, points=len(found), note=note)


@pytest.mark.every(3)
@pytest.mark.parametrize("name", WAYS)
def test_the_same_count_finds_what_an_agent_without_the_protection_loses(
    tmp_path: Path, name: str, outcomes: Outcomes
) -> None:
    need("strace")
    defect, switched_off, thread, call, first = CONTROLS[name]
    with WAYS[name](tmp_path, defect) as way:
        for number in range(first, first + 20):
            killed(way, Place(thread, call, number))
            verdict = way.scene.verdict()
            if lost := len(verdict.of("lost")):
                break
    assert lost > 0, verdict.table()
    outcomes.control(name, switched_off, f"{lost} of {verdict.acknowledged} lost after {number - first + 1} kills")


def counted(way: Way, log: Path) -> list[Place]:
    """Every call of a run in which nothing is killed."""
    agent = way.scene.agent
    assert agent.process is not None
    way.prepare()
    alive = threads(agent.process.pid)
    with traced(agent.process.pid, calls=CALLS, log=log):
        way.go()
        until(way.scene.all_filed, what="all is filed")
        time.sleep(MARKED_S)
    way.finish()
    return places(log, alive)


def killed(way: Way, place: Place) -> bool:
    """One run; whether the agent came to that call and died there. All is filed afterwards."""
    agent = way.scene.agent
    way.prepare()
    process = agent.process
    assert process is not None
    with traced(threads(process.pid)[place.thread], kill_at(place), whole=False):
        way.go()
        until(lambda: process.poll() is not None or way.scene.all_filed(), what="killed, or all is filed")
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(MARKED_S)
    died = process.poll() is not None
    if died:
        agent.ended()
        verify(agent.data_dir)
        way.died()
        agent.start()
        way.back()
    way.finish()
    return died
