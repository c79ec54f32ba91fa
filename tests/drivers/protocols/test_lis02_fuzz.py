"""Any bytes: the reader never raises, keeps every byte, and gives every record a place."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.protocols.lis02 import Delimiters, RecordOptions, read, unescape

LINES = st.one_of(
    st.binary(max_size=20),
    st.sampled_from([b"H|\\^&", b"H", b"P|1", b"O|1|S", b"R|1|^^^A|5", b"C|1", b"M|1", b"L|1", b" L", b"X|", b"Q|1"]),
)
TEXTS = st.lists(st.tuples(LINES, st.sampled_from([b"\r", b"\n", b"\r\n", b"\r\r\n", b""])), max_size=30)
OPTIONS = [
    RecordOptions(),
    RecordOptions(charset="gb18030", strip_indent=False, escapes="lis02"),
    RecordOptions(charset="utf-16", record_sep="cr"),
    RecordOptions(charset="ascii", levels={"M": 4, "X": 9}, attach={"C": "parent", "Q": "R"}, record_sep="crlf"),
]


@pytest.mark.parametrize("options", OPTIONS, ids=["default", "gb18030", "utf-16", "ascii"])
@settings(max_examples=150, deadline=None)
@given(lines=TEXTS)
def test_any_bytes_are_read_and_none_is_lost(options, lines):
    text = b"".join(line + end for line, end in lines)
    reading = read(text, options)
    records = [*reading.stray, *(r for m in reading.messages for r in m.records)]
    kept = sorted(b"".join(r.raw for r in records).replace(b"\r", b"").replace(b"\n", b"").strip(b" \t"))
    sent = sorted(text.replace(b"\r", b"").replace(b"\n", b"").strip(b" \t"))
    assert [b for b in kept if b not in b" \t"] == [b for b in sent if b not in b" \t"]


@settings(max_examples=150, deadline=None)
@given(lines=TEXTS)
def test_every_record_has_a_place_and_can_be_asked_anything(lines):
    reading = read(b"".join(line + end for line, end in lines))
    for message in reading.messages:
        assert message.records[0].raw.lstrip(b" \t")[:1] in b"Hh"
        assert 0 <= message.saved <= len(message.records)
        for n, record in enumerate(message.records):
            assert record.index == n
            assert record.parent is None or record.parent < n
            assert record.parent is None or message.records[record.parent].level < record.level
            for field in range(len(record.fields) + 2):
                record.get(field)
                record.get(field, 1, 2)
                assert isinstance(record.repeats(field), list)


@settings(max_examples=200, deadline=None)
@given(value=st.text(max_size=30), mode=st.sampled_from(["lis02", "lenient"]))
def test_what_a_careful_sender_escapes_comes_back_as_it_was(value, mode):
    d = Delimiters()
    sent = value.replace("&", "&E&").replace("|", "&F&").replace("^", "&S&").replace("\\", "&R&")
    assert unescape(sent, d, mode) == value


def test_negative_control_without_unescaping_it_does_not():
    assert unescape("a&F&b", Delimiters(), "none") == "a&F&b"
