"""The oracle finds each kind of fault, and finds none where there is none."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from simulators.analyser_ledger import Row
from simulators.central_ledger import Filing
from simulators.er7 import Observation
from simulators.oracle import FAULTS, Verdict, compare

GLUCOSE = Row(
    device="bench",
    analyser="an1",
    specimen="S-1",
    patient="P-1",
    role="P",
    code="GLU",
    component="",
    value="<0.3",
    unit="mmol/L",
    flags=("<",),
    status="F",
    run=None,
    time="20240301101200",
    acked_at="2026-01-01T10:00:00.000+00:00",
    message_no=0,
    attempt=0,
    complete=True,
)
SODIUM = replace(GLUCOSE, code="NA", value="139", flags=("N",))
OTHER = replace(
    GLUCOSE, specimen="S-2", patient="P-2", value="5.10", message_no=1, acked_at="2026-01-01T10:01:00.000+00:00"
)
ROWS = [GLUCOSE, SODIUM, OTHER]


def filing(row: Row, msh10: str, delivery: int) -> Filing:
    observation = Observation(
        specimen=row.specimen,
        role=row.role,
        patient=row.patient,
        code=row.code,
        name="a name",
        supplemental="",
        type="NM",
        value=row.value,
        value_text="",
        unit=row.unit,
        flags=row.flags,
        status="F",
        run="",
        time=f"{row.time}+0900",
        notes="",
    )
    return Filing(
        delivery=delivery,
        at="",
        topic="t",
        analyser=row.analyser,
        route="result",
        msh10=msh10,
        digest="d" + msh10,
        sequence=str(delivery),
        dup=False,
        filed=True,
        observation=observation,
    )


def good() -> list[Filing]:
    return [filing(GLUCOSE, "A-1", 1), filing(SODIUM, "A-1", 1), filing(OTHER, "A-2", 2)]


def kinds(verdict: Verdict) -> dict[str, int]:
    return {kind: len(verdict.of(kind)) for kind in FAULTS if verdict.of(kind)}


def changed(number: int, **fields: object) -> Callable[[list[Filing]], list[Filing]]:
    def change(filings: list[Filing]) -> list[Filing]:
        filings[number] = replace(filings[number], observation=replace(filings[number].observation, **fields))
        return filings

    return change


def again(filings: list[Filing]) -> list[Filing]:
    return [*filings, replace(filings[2], msh10="A-9", delivery=9, digest="dA-9")]


def from_nowhere(filings: list[Filing]) -> list[Filing]:
    return [*filings, filing(replace(OTHER, specimen="S-77", code="K"), "A-9", 9)]


def never_filed(filings: list[Filing]) -> list[Filing]:
    return [*filings[:2], replace(filings[2], filed=False)]


def other_bytes(filings: list[Filing]) -> list[Filing]:
    return [*filings, replace(filings[2], delivery=9, digest="other", filed=False)]


def test_what_arrived_as_it_was_sent_is_flawless() -> None:
    verdict = compare(ROWS, good())
    assert verdict.flawless
    assert (verdict.acknowledged, verdict.filed["an1"], verdict.messages["an1"]) == (3, 3, 2)


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        (lambda filings: filings[:2], {"lost": 1}),
        (again, {"doubled": 1}),
        (changed(0, value="<0.4"), {"altered": 1}),
        (changed(0, value="0.3"), {"altered": 1}),
        (changed(2, value="5.1"), {"altered": 1}),
        (changed(0, unit="mg/dL"), {"altered": 1}),
        (changed(0, flags=()), {"altered": 1}),
        (changed(0, time="20240301101300+0900"), {"altered": 1}),
        (changed(0, time=""), {"altered": 1}),
        (changed(2, specimen="S-1"), {"misattributed": 1}),
        (changed(2, specimen="S-99"), {"misattributed": 1}),
        (changed(0, patient="P-2"), {"misattributed": 1}),
        (changed(0, role="Q"), {"misattributed": 1}),
        (from_nowhere, {"stray": 1}),
        (never_filed, {"unfiled": 1}),
        (other_bytes, {"altered": 1}),
    ],
)
def test_each_fault_is_found_and_called_by_its_name(spoil, found) -> None:
    assert kinds(compare(ROWS, spoil(good()))) == found


def test_two_values_swapped_between_specimens_are_found() -> None:
    spoiled = changed(2, value="<0.3", flags=("<",))(changed(0, value="5.10", flags=("<",))(good()))
    assert kinds(compare(ROWS, spoiled)) == {"altered": 2}


def test_a_run_that_differs_is_found_where_the_analyser_sends_runs() -> None:
    rows = [replace(row, run="2") for row in ROWS]
    assert kinds(compare(rows, good())) == {"altered": 3}
    assert compare(rows, [changed(n, run="2")(good())[n] for n in range(3)]).flawless


def test_a_component_on_the_wrong_value_is_found() -> None:
    copies = replace(GLUCOSE, code="VL", component="", value="873.20")
    log = replace(copies, component="LOG", value="2.94")
    right = [filing(copies, "A-1", 1), changed(0, name="viral load LOG")([filing(log, "A-1", 1)])[0]]
    assert compare([copies, log], right).flawless
    swapped = [changed(0, value="2.94")([right[0]])[0], changed(0, value="873.20")([right[1]])[0]]
    assert not compare([copies, log], swapped).flawless


def test_a_retry_is_counted_and_no_fault() -> None:
    filings = good()
    retry = [replace(f, delivery=9, filed=False, dup=True) for f in filings[:2]]
    verdict = compare(ROWS, [*filings, *retry])
    assert verdict.flawless
    assert verdict.retries["an1"] == 1


def test_a_message_refused_at_first_and_filed_later_is_filed() -> None:
    filings = good()
    verdict = compare(ROWS, [replace(filings[2], filed=False), *filings[:2], replace(filings[2], delivery=9)])
    assert verdict.flawless


def test_equal_replicates_are_owed_as_often_as_they_were_sent() -> None:
    twice = [GLUCOSE, GLUCOSE]
    both = [filing(GLUCOSE, "A-1", 1), filing(GLUCOSE, "A-1", 1)]
    assert compare(twice, both).flawless
    assert kinds(compare(twice, both[:1])) == {"lost": 1}
    assert kinds(compare(twice, [*both, filing(GLUCOSE, "A-2", 2)])) == {"doubled": 1}


def test_a_broken_off_transmission_may_be_filed_once_or_not_at_all() -> None:
    half = replace(GLUCOSE, complete=False, acked_at="")
    assert compare([half], []).flawless
    assert compare([half, replace(half, attempt=1)], [filing(GLUCOSE, "A-1", 1)]).flawless
    doubled = [filing(GLUCOSE, "A-1", 1), filing(GLUCOSE, "A-2", 2)]
    assert kinds(compare([half, replace(half, attempt=1)], doubled)) == {"doubled": 1}


def test_a_broken_off_attempt_that_was_completed_later_is_owed_once() -> None:
    half = replace(GLUCOSE, complete=False)
    assert compare([half, replace(GLUCOSE, attempt=1)], [filing(GLUCOSE, "A-1", 1)]).flawless
    doubled = [filing(GLUCOSE, "A-1", 1), filing(GLUCOSE, "A-2", 2)]
    assert kinds(compare([half, replace(GLUCOSE, attempt=1)], doubled)) == {"doubled": 1}


def test_an_older_result_filed_after_a_newer_one_of_its_specimen_is_out_of_order() -> None:
    later = replace(GLUCOSE, value="9.9", time="20240301111200", acked_at="2026-01-01T11:00:00.000+00:00", message_no=5)
    in_order = [filing(GLUCOSE, "A-1", 1), filing(later, "A-2", 2)]
    assert compare([GLUCOSE, later], in_order).flawless
    assert kinds(compare([GLUCOSE, later], in_order[::-1])) == {"out_of_order": 1}


def test_a_coded_value_and_a_decimal_comma_keep_their_source() -> None:
    coded = replace(GLUCOSE, value="NON DÉTECTÉ")
    assert compare(
        [coded], changed(0, type="CE", value="NEG", value_text="NON DÉTECTÉ")([filing(coded, "A", 1)])
    ).flawless
    comma = replace(GLUCOSE, value="7,41")
    noted = changed(0, value="7.41", notes="value as sent: 7,41")([filing(comma, "A", 1)])
    assert compare([comma], noted).flawless
    assert kinds(compare([comma], changed(0, value="7.41")([filing(comma, "A", 1)]))) == {"altered": 1}


def test_images_and_supplemental_observations_are_left_out() -> None:
    extra = [changed(0, type="ED")([filing(SODIUM, "A-3", 3)])[0], changed(0, supplemental="S_RAW")(good())[0]]
    assert compare(ROWS, [*good(), *extra]).flawless


def test_an_image_delivered_twice_is_a_counted_retry() -> None:
    image = changed(0, type="ED")([filing(SODIUM, "A-3", 3)])[0]
    verdict = compare(ROWS, [*good(), image, replace(image, delivery=4)])
    assert verdict.flawless
    assert verdict.retries["an1"] == 1


def test_a_result_without_value_keeps_what_was_sent_in_a_note() -> None:
    masked = replace(GLUCOSE, value="----")
    said = {"type": "", "value": "", "status": "X"}
    noted = changed(0, **said, notes="no result\nvalue as sent: ----")([filing(masked, "A", 1)])
    assert compare([masked], noted).flawless
    assert kinds(compare([masked], changed(0, **said)([filing(masked, "A", 1)]))) == {"altered": 1}


def test_the_table_has_a_line_per_analyser_and_names_faults() -> None:
    shown = compare(ROWS, good()[:2]).table()
    assert "an1" in shown
    assert "lost: an1 S-2 GLU" in shown
