"""The machine's clock is set while analysers send: nothing is lost, doubled, misordered or removed, no timer stands."""

import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from end_to_end.lab import Bench, until
from faults.ability import need
from faults.broker_lab import PATIENCE_S, BrokerLab, broker_lab
from faults.clocked import ClockedAgent
from faults.outcomes_file import ENUMERATED, RANDOM, Outcomes
from faults.scale import FULL, chance, many, turn
from faults.traffic import Traffic

from simulators.central_desk import Script
from simulators.oracle import Verdict, compare

pytestmark = [pytest.mark.broker, pytest.mark.slow]

BERLIN = ZoneInfo("Europe/Berlin")
TEN_YEARS = timedelta(days=3650)
JUMPS, STARTS, AGAIN = (
    "clock set while analysers send",
    "clock found wrong at a start",
    "sent again after a clock was set",
)
# Moments in UTC, shortly before something happens.
MOMENTS = {
    "1970, no battery": datetime(1970, 1, 1, 0, 2, tzinfo=UTC),
    "ten years ahead": datetime.now(UTC) + TEN_YEARS,
    "an hour back": datetime.now(UTC) - timedelta(hours=1),
    "Berlin, 02:59:58 CEST, then 02:00 again": datetime(2025, 10, 26, 0, 59, 58, tzinfo=UTC),
    "Berlin, 02:59:58 for the second time": datetime(2025, 10, 26, 1, 59, 58, tzinfo=UTC),
    "Berlin, 01:59:58 CET, then 03:00": datetime(2025, 3, 30, 0, 59, 58, tzinfo=UTC),
    "Berlin, the end of the year": datetime(2025, 12, 31, 22, 59, 58, tzinfo=UTC),
    "the end of the year in UTC": datetime(2025, 12, 31, 23, 59, 58, tzinfo=UTC),
    "29 February": datetime(2028, 2, 28, 23, 59, 58, tzinfo=UTC),
    "2038, 32 bits are over": datetime(2038, 1, 19, 3, 14, 6, tzinfo=UTC),
}


def benches() -> list[Bench]:
    berlin = 'timezone = "Europe/Berlin"'
    return [Bench("gen1", "lis02_generic", more=berlin), Bench("xn1", "sysmex_xn", more=berlin)]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerLab]:
    need("faketime")
    with broker_lab(tmp_path_factory.mktemp("clock"), program=ClockedAgent, benches=benches()) as lab:
        yield lab


def agent(lab: BrokerLab) -> ClockedAgent:
    assert isinstance(lab.agent, ClockedAgent)
    return lab.agent


def any_jump(draw: random.Random) -> timedelta:
    """How far ahead the clock is set: jitter, an hour, a day, years either way, 1970."""
    return draw.choice(
        [
            timedelta(milliseconds=draw.randrange(-500, 501)),
            timedelta(hours=-1),
            timedelta(hours=24),
            TEN_YEARS,
            datetime(1970, 1, 1, tzinfo=UTC) - datetime.now(UTC),
            timedelta(seconds=draw.randrange(-40_000_000, 40_000_000)),
            timedelta(),
        ]
    )


def some_silence(draw: random.Random) -> Script:
    """A quarter of all answers is missing, so that waiting times matter."""
    return lambda msh10: "none" if draw.random() < 0.25 else None


def nothing_was_removed(lab: BrokerLab) -> None:
    filed = {filing.msh10 for filing in lab.filings() if filing.filed}
    assert lab.agent.ask("status")["messages"]["filed"] == len(filed)


@pytest.mark.every(3)
def test_a_clock_that_is_set_again_and_again(lab: BrokerLab, outcomes: Outcomes) -> None:
    draw, jumps = chance(JUMPS), many(sample=6, full=200)
    lab.central.set_script(some_silence(draw))

    def work() -> None:
        for _ in range(jumps):
            agent(lab).set(any_jump(draw))
            time.sleep(draw.uniform(0.0, 0.5))
            lab.something_filed()

    try:
        verdict = lab.judged(JUMPS, work)
    finally:
        lab.central.set_script(None)
    nothing_was_removed(lab)
    outcomes.verdict(JUMPS, RANDOM, jumps, verdict)


@pytest.mark.every(3)
def test_a_clock_that_is_set_keeps_the_processor_idle(lab: BrokerLab) -> None:
    """A timer that waits for a wall clock that went back, or is due for ever, spins or never comes."""
    before = agent(lab).cpu_s()
    for jump in (TEN_YEARS, timedelta(days=-20_000), timedelta(hours=-1), timedelta()):
        agent(lab).set(jump)
        time.sleep(0.3)
    assert agent(lab).cpu_s() - before < 0.6


@pytest.mark.every(3)
def test_a_clock_that_was_moved_or_cannot_be_is_said(lab: BrokerLab) -> None:
    agent(lab).set_to(datetime(1970, 1, 1, 0, 2, tzinfo=UTC))
    lab.comes("clock-wrong")
    assert "clock" in lab.agent.alarms()
    agent(lab).set(timedelta())
    lab.goes("clock-wrong")


def test_an_analyser_whose_clock_differs_is_said_until_it_is_set(lab: BrokerLab) -> None:
    with lab.traffic("drift", clock=lambda: datetime.now(BERLIN) + timedelta(minutes=10)):
        lab.comes("drift")
    with lab.traffic("no drift", clock=lambda: datetime.now(BERLIN)):
        lab.goes("drift")
    until(lab.agent.nothing_waits, PATIENCE_S, "everything is filed")


@pytest.mark.every(3)
def test_a_clock_that_is_found_wrong_at_a_start(lab: BrokerLab, outcomes: Outcomes) -> None:
    """Also the first thing an agent does at its start is to look for what is old."""
    points = [*MOMENTS] if FULL else [*MOMENTS][turn() // 3 % 3 :: 3]  # in one turn of three, a third of them

    def work() -> None:
        for point in points:
            lab.agent.kill()
            agent(lab).set_to(MOMENTS[point])
            lab.agent.start()
            happened = MOMENTS[point] + timedelta(seconds=3)
            until(lambda happened=happened: agent(lab).now() > happened, 10, "what was to happen did")
            lab.something_filed()
        agent(lab).set(timedelta())

    verdict = lab.judged(STARTS, work)
    nothing_was_removed(lab)
    outcomes.verdict(STARTS, ENUMERATED, len(points), verdict, points=len(MOMENTS))


@pytest.mark.every(3)
def test_the_same_count_finds_what_is_removed_by_the_wall_clock(
    tmp_path_factory: pytest.TempPathFactory, outcomes: Outcomes
) -> None:
    need("faketime")
    folder = tmp_path_factory.mktemp("wall")
    with broker_lab(folder, program=ClockedAgent, benches=benches(), defect="age-by-the-wall") as lab:
        lab.judged(STARTS, lambda: None)
        filed = lab.agent.ask("status")["messages"]["filed"]
        lab.agent.stop()
        agent(lab).set(TEN_YEARS)
        lab.agent.start()
        until(lambda: lab.agent.ask("status")["messages"]["filed"] == 0, PATIENCE_S, "all of it is removed")
    outcomes.control(STARTS, "age by the wall clock", f"{filed} of {filed} filed messages removed")


@pytest.mark.every(3)
def test_the_same_count_finds_what_waits_for_the_wall_clock(
    tmp_path_factory: pytest.TempPathFactory, outcomes: Outcomes
) -> None:
    need("faketime")
    folder = tmp_path_factory.mktemp("timers")
    with broker_lab(folder, program=ClockedAgent, benches=benches(), defect="timers-by-the-wall") as lab:
        lab.central.set_script(lambda msh10: "none")

        def work() -> None:
            known = lab.central.ledger.totals()["deliveries"]
            lab.central.wait_until(lambda totals: totals["deliveries"] >= known + 8, PATIENCE_S)
            agent(lab).set(timedelta(hours=-1))
            lab.central.set_script(None)
            time.sleep(3.0)  # three times as long as an answer is waited for

        with lab.traffic(JUMPS) as traffic:
            work()
            traffic.stop()
        verdict = compare(traffic.rows, lab.filings())
    waiting = len(verdict.of("unfiled")) + len(verdict.of("lost"))
    assert waiting > 0, verdict.table()
    outcomes.control(JUMPS, "timers on the wall clock", f"{waiting} of {verdict.acknowledged} not filed")


def sent_again(lab: BrokerLab, jumps: int) -> Verdict:
    """Analysers send all of it once more, the clock having been set in between: only the first sending may be filed."""
    draw, rows = chance(AGAIN), []
    known = {filing.msh10 for filing in lab.filings()}
    for _ in range(jumps):
        number = draw.randrange(1, 10**9)
        for _ in ("first", "again"):
            with Traffic(lab.benches, number, rate=0, count=2) as traffic:
                traffic.join()
            until(lab.agent.nothing_waits, PATIENCE_S, "all is filed, or recognised")
            agent(lab).set(any_jump(draw))
        rows += traffic.rows
    agent(lab).set(timedelta())
    return compare(rows, [f for f in lab.filings() if f.msh10 not in known])


@pytest.mark.every(3)
def test_results_that_are_sent_again_after_the_clock_was_set(lab: BrokerLab, outcomes: Outcomes) -> None:
    jumps = many(sample=2, full=50)
    outcomes.verdict(AGAIN, RANDOM, jumps, sent_again(lab, jumps))


@pytest.mark.every(3)
def test_the_same_count_finds_what_is_not_recognised(
    tmp_path_factory: pytest.TempPathFactory, outcomes: Outcomes
) -> None:
    need("faketime")
    folder = tmp_path_factory.mktemp("forgets")
    with broker_lab(folder, program=ClockedAgent, benches=benches(), defect="forget-identities") as lab:
        verdict = sent_again(lab, 1)
    found = len(verdict.of("doubled"))
    assert found > 0, verdict.table()
    outcomes.control(AGAIN, "repeats not recognised", f"{found} of {verdict.acknowledged} doubled")
