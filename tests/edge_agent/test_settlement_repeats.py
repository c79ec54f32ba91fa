"""What becomes of results an analyser sends again (design invariant 3)."""

from collections import Counter
from datetime import timedelta

from hypothesis import example, given, settings
from hypothesis import strategies as st
from judge.verdict import judge
from support_pipeline import (
    GENERIC,
    Memory,
    device,
    notes,
    payloads,
    policy,
    records,
    segments,
    source,
    states,
    transmission,
)

from drivers.sdk import Device
from edge_agent.states import MessageState
from edge_agent.store.rows import Route, Settlement

HEADER = r"H|\^&|||BENCH-7|||||||P|LIS02-A2|20240612120000"
PATIENT = "P|1||P-1017"
ORDER = "O|1|S24-0028||^^^NA\\^^^K|R"
NA = "R|1|^^^NA|140|mmol/L||N||F||||20240612102000"
K = "R|2|^^^K|4.0|mmol/L||N||F||||20240612102005"
END = "L|1|N"
UNTIMED = "R|1|^^^NA|140|mmol/L||N||F"
ONE_DAY = timedelta(days=1)
FOUR_MINUTES, SIX_MINUTES = timedelta(minutes=4), timedelta(minutes=6)  # on either side of the usual five


def sent(*lines: str) -> bytes:
    return records(HEADER, PATIENT, ORDER, *lines, END)


def carried(made: Settlement) -> list[tuple[str, str]]:
    """Code and value of every result that goes out."""
    return [(obx[3].split("^")[0], obx[5]) for p in payloads(made) for obx in segments(p, "OBX")]


def test_a_first_sending_is_new() -> None:
    made = Memory().settle(transmission(sent(NA, K)))
    assert states(made) == [["converted", "converted"]]
    assert carried(made) == [("NA", "140"), ("K", "4.0")]


def test_a_resend_in_full_publishes_nothing_new() -> None:
    memory = Memory()
    memory.settle(transmission(sent(NA, K)))
    again = memory.settle(transmission(sent(NA, K), id=2, after=ONE_DAY))
    assert states(again) == [["duplicate", "duplicate"]]
    assert payloads(again) == []


def test_without_what_is_remembered_the_resend_would_go_out_twice() -> None:
    first = Memory().settle(transmission(sent(NA, K)))
    again = Memory().settle(transmission(sent(NA, K), id=2, after=ONE_DAY))
    assert carried(again) == carried(first)


def test_what_was_filed_goes_out_once_more_when_the_analyser_sends_it_again() -> None:
    memory = Memory()
    first = memory.settle(transmission(sent(NA, K)))
    memory.file()
    again = memory.settle(transmission(sent(NA, K), id=2, after=ONE_DAY))
    assert again.replays == (first.groups[0].messages[0].id,)


def test_what_is_still_on_its_way_is_not_sent_a_second_time() -> None:
    memory = Memory()
    memory.settle(transmission(sent(NA, K)))
    for state in (MessageState.QUEUED, MessageState.AT_BROKER, MessageState.REJECTED, MessageState.SET_ASIDE):
        memory.states = dict.fromkeys(memory.states, state)
        assert memory.settle(transmission(sent(NA, K), id=2, after=ONE_DAY)).replays == ()


def test_each_filed_message_of_a_resent_specimen_goes_out_once_more() -> None:
    memory = Memory()
    memory.settle(transmission(sent(NA)))
    memory.settle(transmission(sent(K), id=2))
    memory.file()
    assert len(memory.settle(transmission(sent(NA, K), id=3)).replays) == 2


def test_a_converted_transmission_that_is_converted_again_replays_nothing() -> None:
    """A release is not a resend: the analyser did not ask for anything."""
    memory = Memory()
    memory.settle(transmission(sent(NA, K)))
    memory.file()
    again = memory.settle(transmission(sent(NA, K)))
    assert states(again) == [["duplicate", "duplicate"]]
    assert again.replays == ()


def test_a_mix_of_old_and_new_publishes_the_new_one_only() -> None:
    memory = Memory()
    first = memory.settle(transmission(sent(NA)))
    memory.file()
    mixed = memory.settle(transmission(sent(NA, K), id=2))
    assert states(mixed) == [["duplicate", "converted"]]
    assert carried(mixed) == [("K", "4.0")]
    assert mixed.replays == ()
    assert mixed.groups[0].observations[0].message_id == first.groups[0].messages[0].id


def test_another_value_is_a_rerun_and_new() -> None:
    memory = Memory()
    memory.settle(transmission(sent(NA)))
    rerun = memory.settle(transmission(sent(NA.replace("140", "141")), id=2))
    assert carried(rerun) == [("NA", "141")]
    assert rerun.groups[0].messages[0].repeat_of == ""


def test_the_same_value_at_another_time_is_a_rerun_and_new() -> None:
    memory = Memory()
    memory.settle(transmission(sent(NA)))
    rerun = memory.settle(transmission(sent(NA.replace("102000", "103000")), id=2))
    assert carried(rerun) == [("NA", "140")]


def test_equal_replicates_both_go_out() -> None:
    made = Memory().settle(transmission(sent(NA, NA.replace("R|1", "R|2"))))
    assert carried(made) == [("NA", "140"), ("NA", "140")]


def test_of_three_equal_replicates_after_two_only_the_third_is_new() -> None:
    memory = Memory()
    memory.settle(transmission(sent(NA, NA)))
    assert states(memory.settle(transmission(sent(NA, NA, NA), id=2))) == [["duplicate", "duplicate", "converted"]]


def test_the_mark_sent_before_makes_no_new_result() -> None:
    """LIS02-A2 R.9: R = previously transmitted."""
    memory = Memory()
    memory.settle(transmission(sent(NA)))
    assert states(memory.settle(transmission(sent(NA.replace("|F|", "|R|")), id=2))) == [["duplicate"]]


def test_a_final_after_a_preliminary_result_is_new() -> None:
    memory = Memory()
    memory.settle(transmission(sent(NA.replace("|F|", "|P|"))))
    assert states(memory.settle(transmission(sent(NA), id=2))) == [["converted"]]


def test_another_patient_is_another_result_whatever_the_headers_control_id() -> None:
    """A device that restarts counts its control ids (H.3) from 1 again."""
    header = HEADER.replace("&||", "&|1|")
    memory = Memory()
    memory.settle(transmission(records(header, PATIENT, ORDER, NA, END)))
    other = memory.settle(transmission(records(header, "P|1||P-2044", ORDER, NA, END), id=2))
    assert states(other) == [["converted"]]


def test_header_time_control_id_and_sequence_numbers_do_not_make_a_new_result() -> None:
    memory = Memory()
    memory.settle(transmission(sent(NA)))
    header = HEADER.replace("&||", "&|77|").replace("20240612120000", "20240612130000")
    again = records(header, "P|4||P-1017", ORDER.replace("O|1", "O|9"), NA.replace("R|1", "R|5"), END)
    assert states(memory.settle(transmission(again, id=2))) == [["duplicate"]]


def test_without_a_result_time_equal_content_is_a_repeat_within_five_minutes() -> None:
    memory = Memory()
    memory.settle(transmission(sent(UNTIMED)))
    assert states(memory.settle(transmission(sent(UNTIMED), id=2, after=FOUR_MINUTES))) == [["duplicate"]]


def test_without_a_result_time_later_equal_content_is_new_and_marked() -> None:
    memory = Memory()
    first = memory.settle(transmission(sent(UNTIMED)))
    later = memory.settle(transmission(sent(UNTIMED), id=2, after=SIX_MINUTES))
    (message,) = later.groups[0].messages
    assert message.repeat_of == first.groups[0].messages[0].id
    assert "possible repeat" in notes(message.payload)
    assert judge(message.payload, route="result", timeless=True) == []


def test_a_date_alone_does_not_tell_a_repeat_for_good() -> None:
    memory = Memory()
    dated = NA.replace("20240612102000", "20240612")
    memory.settle(transmission(sent(dated)))
    assert states(memory.settle(transmission(sent(dated), id=2, after=SIX_MINUTES))) == [["converted"]]


def test_what_is_new_is_not_marked_as_a_possible_repeat() -> None:
    (payload,) = payloads(Memory().settle(transmission(sent(UNTIMED))))
    assert "possible repeat" not in notes(payload)


def test_a_site_may_set_the_horizon() -> None:
    memory = Memory(under=policy(resend_horizon=timedelta(minutes=10)))
    memory.settle(transmission(sent(UNTIMED)))
    assert states(memory.settle(transmission(sent(UNTIMED), id=2, after=SIX_MINUTES))) == [["duplicate"]]


def test_an_older_transmission_released_late_is_measured_by_its_distance() -> None:
    """Held for a day, released after an equal result went out: two measurements, so the older one is new and marked."""
    memory = Memory()
    memory.settle(transmission(sent(UNTIMED), id=2, after=ONE_DAY))
    old = memory.settle(transmission(sent(UNTIMED), id=1))
    assert states(old) == [["converted"]]
    assert old.groups[0].messages[0].repeat_of


def resending(*words: str) -> Device:
    return device(result={"volatile": list(words)})


def test_what_the_profile_calls_volatile_makes_no_new_result() -> None:
    memory = Memory(resending("range"))
    memory.settle(transmission(sent(NA)))
    changed = NA.replace("mmol/L||", "mmol/L|136 to 145|")
    assert states(memory.settle(transmission(sent(changed), id=2, after=ONE_DAY))) == [["duplicate"]]
    plain = Memory(GENERIC)
    plain.settle(transmission(sent(NA)))
    assert states(plain.settle(transmission(sent(changed), id=2, after=ONE_DAY))) == [["converted"]]


def test_where_the_time_is_volatile_equal_content_is_a_repeat_only_for_a_while() -> None:
    """Otherwise the next day's equal result would be dropped for good."""
    memory = Memory(resending("time"))
    memory.settle(transmission(sent(NA)))
    other_time = NA.replace("102000", "102300")
    assert states(memory.settle(transmission(sent(other_time), id=2, after=FOUR_MINUTES))) == [["duplicate"]]
    assert states(memory.settle(transmission(sent(other_time), id=3, after=ONE_DAY))) == [["converted"]]


def test_results_of_two_specimens_are_settled_apart() -> None:
    memory = Memory()
    memory.settle(transmission(sent(NA)))
    memory.file()
    two = records(HEADER, PATIENT, ORDER, NA, ORDER.replace("0028", "0029"), NA, END)
    made = memory.settle(transmission(two, id=2))
    assert states(made) == [["duplicate"], ["converted"]]
    assert len(made.replays) == 1  # the first specimen came again in full, whatever came beside it


def test_what_was_sent_in_validation_is_new_in_production() -> None:
    """Otherwise nothing a laboratory tried out could ever be filed, however often the analyser sent it."""
    memory = Memory(under=policy(mode="validation"))
    tried = source(mode="validation")
    memory.settle(transmission(sent(NA), of=tried))
    assert states(memory.settle(transmission(sent(NA), id=2, of=tried))) == [["duplicate"]]
    memory.policy = policy(mode="production")
    made = memory.settle(transmission(sent(NA), id=3))
    assert [m.route for m in made.groups[0].messages] == [Route.RESULT]
    assert states(memory.settle(transmission(sent(NA), id=4))) == [["duplicate"]]


# Any history

contents = st.sampled_from(["140", "141", "142"])
histories = st.lists(st.lists(contents, max_size=4), max_size=6)


@given(histories)
@example([["140", "140"], ["140"], ["140", "140", "140"]])
@example([["140"], ["141"], ["140", "141"]])
@settings(max_examples=80, deadline=None)
def test_of_each_content_as_many_go_out_as_one_transmission_ever_brought(history: list[list[str]]) -> None:
    """None lost, none doubled: a content that came twice at most in one transmission goes out twice in all."""
    memory, published = Memory(), Counter[str]()
    for number, brought in enumerate(history, start=1):
        lines = [NA.replace("140", value) for value in brought]
        made = memory.settle(transmission(sent(*lines), id=number, after=number * ONE_DAY))
        published.update(value for _, value in carried(made))
        assert len(states(made)[0] if made.groups else []) == len(brought)
    expected: Counter[str] = Counter()
    for brought in history:
        expected |= Counter(brought)
    assert published == expected
