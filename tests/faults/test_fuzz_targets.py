"""Whatever comes from outside, every reader answers with what it declares, soon, and without growing."""

import gc
import resource
from collections.abc import Callable, Collection
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from faults.fuzz.shapes import inputs
from faults.fuzz.table import TARGETS
from faults.fuzz.target import HangError, Run, Target, in_time
from faults.outcomes_file import RANDOM, Outcome, Outcomes
from faults.scale import many, seed
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st

from drivers import profile
from drivers.protocols.lis01_dialect import Dialect
from drivers.protocols.lis02 import Record
from edge_agent import hl7_check, logs, pins, questions, settlement
from edge_agent.backup import archive
from edge_agent.configuration import file as configuration
from edge_agent.probe import hearing
from edge_agent.publisher import answers, gate, namesake, reconcile
from edge_agent.store import identity, wal
from edge_agent.transport import port_url

SCENARIO = "fuzzed input of every reader"
GROWTH_MB = 150

_runs: dict[str, int] = {}
_found: list[str] = []


@pytest.fixture(scope="module", autouse=True)
def all_characters() -> None:
    """Hypothesis lists them at its first text: where nothing is kept of an earlier run, in 180 MB."""

    @settings(max_examples=1, database=None, deadline=None)
    @given(st.text())
    def once(_: str) -> None:
        pass

    once()


PORTION = 1_000  # examples; what Hypothesis remembers of more takes hundreds of megabytes, and a second to go through


def fuzz(target: Target, folder: Path, examples: int, phases: Collection[Phase] = tuple(Phase)) -> int:
    """How many inputs were tried; fails with the smallest one that was not dealt with."""
    with ExitStack() as stack:
        run = target.make(folder, stack)
        for known in target.seeds():
            run(known)
        portions = range(0, examples, PORTION)
        return sum(portion(target, run, min(PORTION, examples - at), seed() + at, phases) for at in portions)


def portion(target: Target, run: Run, examples: int, number: int, phases: Collection[Phase]) -> int:
    tried = 0

    @seeded(number)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=phases,
    )
    @given(inputs(target))
    def each(data: bytes) -> None:
        nonlocal tried
        tried += 1
        with in_time():
            run(data)

    each()
    del each
    gc.collect()
    return tried


@pytest.mark.filterwarnings("ignore:Generating overly large repr")  # of what was found: it is to be shown all the same
@pytest.mark.parametrize("name", TARGETS)
def test_whatever_it_is_given_it_answers_with_what_it_declares(
    name: str, tmp_path: Path, outcomes: Outcomes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("CRITICAL")  # what is refused is logged, and that is thousands of lines
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    _runs[name] = fuzz(TARGETS[name], tmp_path, many(TARGETS[name].examples, 10_000))
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
    assert grown < GROWTH_MB, f"it took {grown} MB more"
    note = f"{len(_runs)} readers; no exception but the declared ones, no input that takes more than a second"
    outcomes.add(Outcome(SCENARIO, RANDOM, sum(_runs.values()), note=note))


class Planted(Exception):  # noqa: N818  # no reader declares it
    pass


def raises(*_: object, **__: object) -> Any:
    raise Planted


# Where each reader's work is done: a defect planted there must be found.
DEFECTS: dict[str, tuple[object, str, Callable[..., Any]]] = {
    "link": (Dialect, "verifies", lambda *_: True),  # takes frames whose sum is wrong
    "records": (Record, "repeats", raises),
    "report": (Record, "get", raises),
    "pipeline": (settlement, "_state", raises),
    "hearing": (hearing, "kind_of", raises),
    "acknowledgement": (
        answers,
        "on_answer",
        lambda *_: answers.Answer.FILED,
    ),  # closes a message whatever was answered
    "state": (gate, "isfinite", lambda _: True),  # believes a birth at the end of all time
    "retained": (namesake.json, "loads", raises),
    "reconcile": (reconcile, "_portions", raises),
    "control": (questions, "_queue", raises),
    "hl7-file": (hl7_check, "_problems", raises),
    "configuration": (configuration, "sentence", raises),
    "profile": (profile, "complaints", raises),
    "pin": (pins, "_damaged", raises),
    "identity": (identity, "read_witness", raises),
    "backup": (archive, "_check", raises),
    "log-of-store": (wal, "_was_synced", raises),
    "url": (port_url, "_unknown", raises),
    "log-line": (logs._OneLine, "format", lambda _self, record: record.getMessage()),  # control characters as they are
}


@pytest.mark.parametrize("name", TARGETS)
def test_a_defect_that_is_planted_in_it_is_found(
    name: str, tmp_path: Path, outcomes: Outcomes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("CRITICAL")
    monkeypatch.setattr(*DEFECTS[name])
    with pytest.raises((Planted, AssertionError)):
        fuzz(TARGETS[name], tmp_path, 500, (Phase.generate,))
    _found.append(name)
    if len(_found) == len(DEFECTS):
        outcomes.control(SCENARIO, "a defect planted in each reader", f"{len(_found)} of {len(DEFECTS)} found")


def endless() -> None:
    while True:
        pass


def test_an_input_that_never_ends_is_found() -> None:
    with pytest.raises(HangError), in_time(0.2):
        endless()
