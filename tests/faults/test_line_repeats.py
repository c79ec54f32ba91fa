"""What an analyser sends again, and what only looks like it: every ACK lost once, a message three times, a rerun.

In this process, with a line that takes no time. The expectation is typed out in ``three_patients``.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
from end_to_end.bad_input_cases import END, ENQ, EOT, HEADER, order, patient, result
from faults.in_process import ANALYSER, SILENT_S, Desk, desk
from faults.outcomes_file import ENUMERATED, Outcomes
from faults.scale import share
from faults.three_patients import LAST, Sheet, wire

from drivers.protocols.lis01_numbers import Numbers
from drivers.protocols.lis01_records import RecordEnds
from edge_agent.store.conversion import Conversion
from simulators.analyser_ledger import Row
from simulators.oracle import Verdict, compare

LOST_ACK = "each ACK of three patients' message lost once, then the frame again or everything again"
SENT_AGAIN = "three patients' message sent three times, within the hour and after a day"
NO_EOT = "L acknowledged and no EOT: line lost, silence, next ENQ, killed"
HOUR_S, DAY_S = 600.0, 86_400.0
Script = Sequence[bytes | float]


def whole(records: Sequence[str]) -> tuple[bytes, ...]:
    return (ENQ, *wire(records), EOT)


def after_a_lost_answer(sheet: Sheet, lost: int, *, again: bool) -> Iterator[bytes | float]:
    """The answer to ENQ (0) or to a frame does not arrive. The sender waits 15 s (LIS01-A2 §6.5.2.2)."""
    pieces = (ENQ, *wire(sheet.whole()))
    yield from pieces[: lost + 1]
    yield 15.0
    if again:  # what many analysers do instead of giving up
        yield from pieces[lost:]
        yield EOT
    else:
        yield EOT
        yield from (*pieces, EOT)


def all_lost_once(lab: Desk, chosen: Sequence[tuple[int, bool]]) -> Verdict:
    sheets = [Sheet(number) for number, _ in enumerate(chosen, start=1)]
    for sheet, (lost, again) in zip(sheets, chosen, strict=True):
        answers = lab.hear(*after_a_lost_answer(sheet, lost, again=again))
        assert answers == b"\x06" * len(answers)  # nothing was refused
    lab.convert()
    return compare([row for sheet in sheets for row in sheet.rows(ANALYSER)], lab.filings())


EVERY_ANSWER = [(lost, again) for lost in range(LAST + 1) for again in (False, True)]


def test_a_lost_answer_costs_nothing_and_doubles_nothing(outcomes: Outcomes) -> None:
    chosen = share(EVERY_ANSWER)
    with desk() as lab:
        verdict = all_lost_once(lab, chosen)
        assert lab.broken() == []
    outcomes.verdict(LOST_ACK, ENUMERATED, len(chosen), verdict, points=len(EVERY_ANSWER))


def test_control_frames_sent_again_and_taken_for_new_are_found(
    monkeypatch: pytest.MonkeyPatch, outcomes: Outcomes
) -> None:
    judge = Numbers.judge

    def believe(self: Numbers, piece: object) -> object:
        return type(judge(self, piece)).NEW  # type: ignore[arg-type]

    monkeypatch.setattr(Numbers, "judge", believe)
    monkeypatch.setattr("drivers.protocols.lis01.REPEAT", None)
    with desk() as lab:
        verdict = all_lost_once(lab, [(5, True), (9, True), (20, True)])
    doubled = len(verdict.of("doubled"))
    assert doubled > 0
    outcomes.control(LOST_ACK, "repeated frames taken for new", f"{doubled} of {verdict.acknowledged} doubled")


def three_times(lab: Desk) -> Verdict:
    sheets = [Sheet(1), Sheet(2)]
    for pause in (0.0, HOUR_S, DAY_S):
        lab.time.passed += pause
        for sheet in sheets:
            assert lab.hear(*whole(sheet.whole())) == b"\x06" * (LAST + 1)
        lab.convert()
    return compare([row for sheet in sheets for row in sheet.rows(ANALYSER)], lab.filings())


def test_a_message_sent_three_times_goes_out_once(outcomes: Outcomes) -> None:
    with desk() as lab:
        outcomes.verdict(SENT_AGAIN, ENUMERATED, 2, three_times(lab))


def test_control_without_identities_it_is_doubled(monkeypatch: pytest.MonkeyPatch, outcomes: Outcomes) -> None:
    monkeypatch.setattr(Conversion, "lookup", lambda self, analyser, keys: {})
    with desk() as lab:
        doubled = len(three_times(lab).of("doubled"))
    assert doubled == 32
    outcomes.control(SENT_AGAIN, "de-duplication off", "32 doubled of 16")


def endings() -> list[tuple[str, Script, bool]]:
    other = whole([HEADER, patient(2), order("NEXT"), result("1.5"), END])
    return [("link", (), False), ("silence", (SILENT_S,), False), ("ENQ", other, False), ("killed", (), True)]


def without_eot(lab: Desk) -> None:
    for number, (_, behind, killed) in enumerate(endings(), start=1):
        lab.hear(*whole(Sheet(number).whole())[:-1], *behind, killed=killed)
        lab.convert()


def test_what_ended_with_an_acknowledged_terminator_is_whole_without_its_eot(outcomes: Outcomes) -> None:
    with desk() as lab:
        without_eot(lab)
        assert lab.broken() == []
        assert lab.alarms.active() == []
        rows = [row for number in range(1, 5) for row in Sheet(number).rows(ANALYSER)]
        following = replace(rows[0], specimen="NEXT", patient="CANARY-7741", value="1.5", time="20260301115500")
        outcomes.verdict(NO_EOT, ENUMERATED, 4, compare([*rows, following], lab.filings()))


def test_control_a_terminator_that_nobody_sees_is_found(monkeypatch: pytest.MonkeyPatch, outcomes: Outcomes) -> None:
    monkeypatch.setattr(RecordEnds, "add", lambda self, text, *, whole: False)
    with desk() as lab:
        without_eot(lab)
        broken = len(lab.broken())
    assert broken > 0
    outcomes.control(NO_EOT, "L not looked for", f"{broken} of 5 transmissions said to be broken off")


def _row(specimen: str, value: str, time: str) -> Row:
    first = Sheet(1).rows(ANALYSER)[0]
    return replace(first, specimen=specimen, patient="CANARY-7741", value=value, time=time)


def test_two_patients_under_the_same_header_and_numbers_are_two() -> None:
    """Control ids and sequence numbers begin anew after a restart of the analyser: they identify nothing."""
    with desk() as lab:
        for specimen in ("S1", "S2"):
            lab.hear(*whole([HEADER, patient(), order(specimen), result("5.1"), END]))
        lab.convert()
        rows = [_row(specimen, "5.1", "20260301115500") for specimen in ("S1", "S2")]
        assert compare(rows, lab.filings()).flawless


def test_a_rerun_is_another_result_and_both_go_out_in_order() -> None:
    with desk() as lab:
        for value, minute in (("5.1", "55"), ("5.4", "58"), ("5.4", "59")):
            lab.hear(*whole([HEADER, patient(), order("S1"), result(value).replace("115500", f"11{minute}00"), END]))
        lab.convert()
        filings = lab.filings()
    rows = [_row("S1", v, f"20260301 11{m}00".replace(" ", "")) for v, m in (("5.1", 55), ("5.4", 58), ("5.4", 59))]
    assert compare(rows, filings).flawless
    assert [f.observation.time[:14] for f in filings] == [row.time for row in rows]
