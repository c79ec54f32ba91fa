"""A random walk through everything that can go wrong at once, against the one rule that matters.

Analysers, gateway, broker, management system, power, disk and clock, in one thread and in virtual time. After every
step nothing is doubled, altered, or on another specimen. At the end, when all is mended, everything acknowledged is
filed.
"""

from collections.abc import Callable
from datetime import timedelta

import hypothesis.strategies as st
import pytest
from faults.defective import acknowledge_early
from faults.outcomes_file import RANDOM, Outcome, Outcomes
from faults.scale import FULL, many, seed
from faults.simulation.inline_store import AtCommit
from faults.simulation.laboratory import DEVICES, Laboratory
from hypothesis import HealthCheck, Phase, settings
from hypothesis import seed as seeded
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from edge_agent.intake import Intake
from edge_agent.store.conversion import Conversion
from simulators.oracle import Verdict

ANALYSERS = st.sampled_from(sorted(DEVICES))
FEW = st.integers(1, 4)
SHORT = st.sampled_from([0.001, 0.003, 0.01, 0.03, 0.1, 1.0])
WALK = "everything at once, in virtual time"
RUNS, STEPS = many(sample=25, full=2000), 100 if FULL else 50


class Walk(RuleBasedStateMachine):
    """``total`` adds up what all walks of a run found."""

    total = Verdict()
    walks = deaths = 0

    @initialize(number=st.integers(0, 2**32))
    def a_laboratory(self, number: int) -> None:
        self.lab = Laboratory(number)
        self.lab.management.say(online=True)

    @rule(analyser=ANALYSERS, count=FEW, seconds=SHORT)
    def results_are_ready(self, analyser: str, count: int, seconds: float) -> None:
        for _ in range(count):
            self.lab.analysers[analyser].measure()
        self.lab.wait(seconds)

    @rule(analyser=ANALYSERS)
    def somebody_sends_the_last_ones_again(self, analyser: str) -> None:
        self.lab.analysers[analyser].send_again()

    @rule(seconds=SHORT)
    def a_moment_passes(self, seconds: float) -> None:
        self.lab.wait(seconds)

    @rule(seconds=st.sampled_from([5.0, 20.0, 90.0, 700.0, 4000.0]))
    def time_passes(self, seconds: float) -> None:
        self.lab.wait(seconds)

    @rule(analyser=ANALYSERS)
    def a_line_is_cut(self, analyser: str) -> None:
        self.lab.analysers[analyser].hang_up()

    @rule(analyser=ANALYSERS, count=FEW)
    def answers_get_lost(self, analyser: str, count: int) -> None:
        if (line := self.lab.analysers[analyser].line) is not None:
            line.deaf += count

    @rule(analyser=ANALYSERS, faults=st.lists(st.sampled_from(["flip", "drop", "twice"]), min_size=1, max_size=4))
    def a_line_is_noisy(self, analyser: str, faults: list[str]) -> None:
        self.lab.analysers[analyser].noise.faults.extend(faults)

    @rule()
    def the_power_goes(self) -> None:
        self.lab.power_cut()

    @rule()
    def the_service_is_restarted(self) -> None:
        self.lab.restart()

    @rule(fault=st.sampled_from(AtCommit), count=FEW)
    def the_disk_fails(self, fault: AtCommit, count: int) -> None:
        self.lab.disk_faults(fault, count)

    @rule(low=st.booleans())
    def the_disk_is_nearly_full(self, low: bool) -> None:
        self.lab.disk.low = low

    @rule(forgets=st.booleans())
    def the_broker_goes(self, forgets: bool) -> None:
        self.lab.broker.stop(forgets=forgets)

    @rule()
    def the_broker_comes(self) -> None:
        self.lab.broker.up, self.lab.broker.frozen = True, False

    @rule()
    def the_broker_freezes(self) -> None:
        self.lab.broker.frozen = True

    @rule()
    def the_connection_drops(self) -> None:
        self.lab.broker.drop()

    @rule(count=FEW)
    def pubacks_get_lost(self, count: int) -> None:
        self.lab.broker.pubacks_lost += count

    @rule(forbidden=st.booleans())
    def the_access_list_changes(self, forbidden: bool) -> None:
        self.lab.broker.forbidden = forbidden

    @rule(online=st.booleans())
    def the_management_system_comes_or_goes(self, online: bool) -> None:
        self.lab.management.say(online=online)

    @rule(moods=st.lists(st.sampled_from(["lost", "late", "twice", "AE", "AR", "CA"]), min_size=1, max_size=6))
    def the_management_system_answers_badly(self, moods: list[str]) -> None:
        self.lab.management.moods.extend(moods)

    @rule(hours=st.sampled_from([-24, -1, 1, 24]))
    def the_clock_jumps(self, hours: int) -> None:
        self.lab.clock_jumps(timedelta(hours=hours))

    @invariant()
    def nothing_is_doubled_altered_or_misplaced(self) -> None:
        if hasattr(self, "lab"):
            self.lab.look()

    def teardown(self) -> None:
        if not hasattr(self, "lab"):
            return
        verdict = self.lab.end()
        self.lab.close()
        faults = [fault for fault in verdict.faults if fault.kind != "out_of_order"]
        assert not faults, f"laboratory {self.lab.seed}\n{verdict.table()}"
        cls = type(self)
        cls.total.owed.update(verdict.owed)
        cls.total.filed.update(verdict.filed)
        cls.walks += 1
        cls.deaths += self.lab.deaths


def walk(machine: type[Walk], runs: int) -> None:
    limits = settings(
        max_examples=runs,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink] if FULL else [Phase.generate],
        print_blob=True,
    )
    run_state_machine_as_test(seeded(seed())(machine), settings=limits)


def test_whatever_goes_wrong_what_was_acknowledged_is_filed_once_and_unaltered(outcomes: Outcomes) -> None:
    class Sound(Walk):
        total = Verdict()

    walk(Sound, RUNS)
    note = f"{Sound.walks} walks of up to {STEPS} steps; the gateway lost its power {Sound.deaths} times"
    outcomes.add(Outcome(WALK, RANDOM, Sound.walks, acknowledged=Sound.total.acknowledged, note=note))


def test_the_count_finds_a_gateway_that_recognises_nothing(outcomes: Outcomes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Conversion, "lookup", lambda self, analyser, keys: {})
    verdict = a_day_with(lambda lab: lab.analysers["gen1"].send_again())
    doubled = len(verdict.of("doubled"))
    assert doubled, verdict.table()
    outcomes.control(WALK, "identities not looked up", f"{doubled} of {verdict.acknowledged} doubled")


def test_the_count_finds_a_gateway_that_acknowledges_before_it_stores(
    outcomes: Outcomes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Intake, "keep", Intake.keep)  # put back afterwards
    acknowledge_early()
    verdict = a_day_with(lambda lab: lab.power_cut())
    lost = len(verdict.of("lost"))
    assert lost, verdict.table()
    outcomes.control(WALK, "ACK before COMMIT", f"{lost} of {verdict.acknowledged} lost")


def a_day_with(what_happens: Callable[[Laboratory], None]) -> Verdict:
    """Results come, it happens, more results come."""
    lab = Laboratory(seed())
    lab.management.say(online=True)
    for _ in range(3):
        lab.analysers["gen1"].measure()
    lab.until(lambda: lab.analysers["gen1"].idle)
    what_happens(lab)
    lab.analysers["gen1"].measure()
    verdict = lab.end()
    lab.close()
    return verdict
