"""Whatever is sent, a report comes out, and no result is lost on the way."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.canonical import Report
from drivers.protocols.lis02 import Message, Record
from drivers.sdk import Device, load

DEVICES = [load(name) for name in ("lis02_generic", "sysmex_xn", "cepheid_genexpert", "horiba_yumizen")]

_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=12)
_FIELD = st.one_of(
    st.sampled_from(
        ["", "S1", "^^^GLU", "^^^^WBC^1", "5.0", "F", "Q", "20240612100000", "QC-1", "S1,S2", '""', "  ", "^^"]
    ),
    st.sampled_from([r"A\B", "&F&", "&", "^", "\\", "HISTOGRAM", "Error^1", "CTRL", "----"]),
    _TEXT,
)
_LETTER = st.sampled_from("HPPOOORRRRRRCCMQLZSr")
_RECORD = st.builds(lambda letter, fields: "|".join([letter, *fields]), _LETTER, st.lists(_FIELD, max_size=14))
_BYTES = st.builds(
    lambda lines, bad: b"H|\\^&\r" + b"\r".join(line or bad for line in lines) + b"\r",
    st.lists(_RECORD.map(lambda r: r.encode()) | st.just(b""), max_size=14),
    st.sampled_from([b"R|1|^^^A|\xff", b"O|1|\xff", b"P|1|\xff", b"\xff|1", b"C|1||\xff", b"L|\xff", b"Q|\xff", b""]),
)


def accounted_for(message: Message, report: Report) -> None:
    """Every R is an observation, on another's record list, or among the unread; an undecodable one is held."""
    there = {n for s in report.specimens for o in s.observations() for n in o.records}
    there |= {n for s in report.specimens for order in s.orders for n in order.records}
    shown = {u.record for u in report.unread}
    for record in message.records:
        if record.type == "R":
            assert record.index in there | shown
    if any(r.undecodable and bears_on_a_result(message, r) for r in message.records):
        holds = [h.code for h in report.holds] + [h.code for s in report.specimens for h in s.holds]
        assert "undecodable" in holds


def bears_on_a_result(message: Message, record: Record) -> bool:
    """Not an L, and not a remark on a patient of whom nothing more is said."""
    letter = letter_of(record)
    if letter == "L":
        return False
    behind = (letter_of(r) for r in message.records[record.index + 1 :])
    first = next((kind for kind in behind if kind not in ("C", "M")), "L")
    before = [kind for kind in map(letter_of, message.records[: record.index]) if kind in ("P", "O", "R", "?", "Q")]
    return letter not in ("C", "M") or not (before and before[-1] == "P" and first in ("P", "L", "H"))


def letter_of(record: Record) -> str:
    """The record's letter, also where the rest of it does not decode."""
    raw = record.raw.lstrip().upper()
    return raw[:1].decode() if record.undecodable and raw[:1].isalpha() and raw[1:2] == b"|" else record.type


def results_keep_their_specimen(message: Message, report: Report) -> None:
    """A result of a specimen that is not held stands after that specimen's O and before any other O or P."""
    for specimen in report.specimens:
        if specimen.holds or report.holds:
            continue
        for order in specimen.orders:
            for seen in order.observations:
                between = message.records[order.records[0] + 1 : seen.records[0]]
                assert not any(r.type in ("P", "O") or r.undecodable for r in between)


def check(device: Device, text: bytes) -> None:
    reports, _ = device.read(text)
    for message, report in reports:
        accounted_for(message, report)
        results_keep_their_specimen(message, report)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(DEVICES), _BYTES)
def test_messages_of_any_shape_are_read_without_losing_a_result(device: Device, text: bytes) -> None:
    check(device, text)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(DEVICES), st.binary(max_size=200))
def test_bytes_that_are_no_message_are_read_all_the_same(device: Device, noise: bytes) -> None:
    check(device, noise)
    check(device, b"H|\\^&\rP|1\rO|1|S1\r" + noise + b"\rR|1|^^^A|1\rL|1\r")


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(DEVICES), st.text("|^&\\@!~", min_size=0, max_size=5), _BYTES)
def test_any_delimiters_the_header_names_are_lived_with(device: Device, marks: str, text: bytes) -> None:
    check(device, b"H" + marks.encode() + b"|x\r" + text)


def one_specimen(text: bytes) -> tuple[Message, Report]:
    [(message, report)], _ = DEVICES[0].read(text)
    return message, report


def test_the_check_would_notice_a_lost_result() -> None:
    message, report = one_specimen(b"H|\\^&\rP|1\rO|1|S1\rR|1|^^^A|1\rL|1\r")
    accounted_for(message, report)
    [specimen] = report.specimens
    without = replace(report, specimens=(replace(specimen, orders=(replace(specimen.orders[0], observations=()),)),))
    with pytest.raises(AssertionError):
        accounted_for(message, without)


def test_the_check_would_notice_a_result_on_another_specimen() -> None:
    message, report = one_specimen(b"H|\\^&\rP|1\rO|1|S1\rO|2|S2\rR|1|^^^A|1\rL|1\r")
    results_keep_their_specimen(message, report)
    first, second = report.specimens
    orders = (replace(first.orders[0], observations=second.orders[0].observations),)
    with pytest.raises(AssertionError):
        results_keep_their_specimen(message, replace(report, specimens=(replace(first, orders=orders), second)))


def test_the_check_would_notice_undecodable_bytes_that_nobody_holds() -> None:
    message, report = one_specimen(b"H|\\^&\rP|1\rO|1|S1\rR|1|^^^A|\xff\rL|1\r")
    accounted_for(message, report)
    [specimen] = report.specimens
    with pytest.raises(AssertionError):
        accounted_for(message, replace(report, specimens=(replace(specimen, holds=()),)))
