"""A transmission that broke off: what was saved goes out, the rest waits, the resend completes it (design invariant 4).

LIS02-A2 §4.2.1: a sender may presume saved everything before the last record of a lower level than the one before it.
"""

from datetime import timedelta

import pytest
from support_pipeline import GENERIC, Memory, payloads, policy, records, segments, states, transmission

from edge_agent.pipeline import plan
from edge_agent.states import TransmissionState
from edge_agent.store.rows import Settlement

HEADER = r"H|\^&|||BENCH-7|||||||P|LIS02-A2|20240612120000"
PATIENT = "P|1||P-1017"
FIRST, SECOND = "O|1|S24-0028||^^^NA|R", "O|2|S24-0029||^^^NA|R"
NA = "R|1|^^^NA|140|mmol/L||N||F||||20240612102000"
K = "R|2|^^^K|4.0|mmol/L||N||F||||20240612102005"
END = "L|1|N"
WHOLE = (HEADER, PATIENT, FIRST, NA, K, SECOND, NA, END)
BROKEN = TransmissionState.INTERRUPTED
LATER = timedelta(minutes=20)


def broken(*lines: str, tail: bytes = b"", memory: Memory | None = None, id: int = 1) -> Settlement:
    sent = transmission(records(*lines) + tail, state=BROKEN, id=id)
    return (memory or Memory()).settle(sent)


def sent_values(made: Settlement) -> list[tuple[str, str]]:
    return [(segments(p, "SPM")[0][2], obx[5]) for p in payloads(made) for obx in segments(p, "OBX")]


@pytest.mark.parametrize(
    ("count", "saved"),
    [
        (1, []),  # H
        (2, []),  # H P
        (3, []),  # H P O
        (4, []),  # H P O R: nothing tells that R is the last of its order
        (5, []),  # H P O R R
        (6, [("S24-0028", "140"), ("S24-0028", "4.0")]),  # O is of a lower level than R
        (7, [("S24-0028", "140"), ("S24-0028", "4.0")]),  # its R has nothing after it
        (8, [("S24-0028", "140"), ("S24-0028", "4.0"), ("S24-0029", "140")]),  # L ends it all
    ],
)
def test_of_a_broken_transmission_what_the_sender_may_presume_saved_goes_out(
    count: int, saved: list[tuple[str, str]]
) -> None:
    made = broken(*WHOLE[:count])
    assert sent_values(made) == saved
    assert (made.holds, made.alarms) == ((), ())


def test_the_same_records_go_out_whole_when_they_were_not_broken_off() -> None:
    """By EOT without L, where the profile says that EOT is the end."""
    made = Memory().settle(transmission(records(*WHOLE[:7])))
    assert sent_values(made) == [("S24-0028", "140"), ("S24-0028", "4.0"), ("S24-0029", "140")]


def test_a_record_in_whose_middle_it_broke_off_is_never_a_result() -> None:
    made = broken(*WHOLE[:6], tail=b"R|1|^^^NA|14")
    assert sent_values(made) == [("S24-0028", "140"), ("S24-0028", "4.0")]


def test_the_tail_is_read_when_it_is_asked_for_as_far_as_its_records_are_whole() -> None:
    sent = transmission(records(*WHOLE[:7]) + b"R|2|^^^K|4", state=BROKEN)
    whole = plan(sent, GENERIC, policy(), everything=True)
    assert [o.observation.value for s in whole.specimens for o in s.observations] == ["140", "4.0", "140"]
    assert len(plan(sent, GENERIC, policy()).keys()) == 2


def test_what_was_completed_by_another_is_still_read_only_as_far_as_it_was_saved() -> None:
    """A release must not bring the tail, which came with the resend, out a second time."""
    sent = transmission(records(*WHOLE[:7]), state=TransmissionState.COMPLETED_BY)
    assert len(plan(sent, GENERIC, policy()).keys()) == 2


def test_the_resend_brings_only_what_was_missing() -> None:
    memory = Memory()
    broken(*WHOLE[:7], memory=memory)
    again = memory.settle(transmission(records(*WHOLE), id=2, after=LATER))
    assert states(again) == [["duplicate", "duplicate"], ["converted"]]
    assert sent_values(again) == [("S24-0029", "140")]


def test_a_resend_that_starts_where_it_broke_off_brings_the_rest() -> None:
    memory = Memory()
    broken(*WHOLE[:7], memory=memory)
    again = memory.settle(transmission(records(HEADER, PATIENT, SECOND, NA, END), id=2, after=LATER))
    assert sent_values(again) == [("S24-0029", "140")]


@pytest.mark.parametrize("code", ["T", "R", "E"])
def test_a_sender_that_gives_up_is_an_interruption_all_the_same(code: str) -> None:
    """LIS02-A2 L.3: T sender aborted, R receiver asked to, E unknown error. All before L is saved."""
    made = Memory().settle(transmission(records(*WHOLE[:7], f"L|1|{code}")))
    assert [c for c, _ in made.alarms] == ["interrupted"]
    assert len(sent_values(made)) == 3


@pytest.mark.parametrize("code", ["N", "", "F", "I", "Q"])
def test_a_usual_end_is_none(code: str) -> None:
    assert Memory().settle(transmission(records(*WHOLE[:7], f"L|1|{code}"))).alarms == ()


def test_the_alarm_says_when_and_names_nobody() -> None:
    made = Memory().settle(transmission(records(*WHOLE[:7], "L|1|T")))
    assert made.alarms == (("interrupted", {"at": "2024-06-12T03:00:02+00:00"}),)
