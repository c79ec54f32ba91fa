"""Records, fields, delimiters and hierarchy of LIS02-A2, with expectations worked out from its clauses."""

import pytest

from drivers.errors import OptionError
from drivers.protocols import lis02
from drivers.protocols.lis02 import Delimiters, RecordOptions, read


def message(*records, options=None, end="\r"):
    text = "".join(r + end for r in records).encode("utf-8")
    reading = read(text, options or RecordOptions())
    assert len(reading.messages) == 1
    return reading.messages[0]


def record(text, header="H|\\^&", options=None):
    return message(header, text, options=options).records[1]


def types(records):
    return [r.type for r in records]


# Fields


def test_the_record_type_is_field_1():
    r = record("R|1|^^^GLU|5.1")
    assert (r.type, r.field(1), r.field(2), r.field(3), r.field(4)) == ("R", "R", "1", "^^^GLU", "5.1")
    assert r.field(0) == r.field(5) == r.get(99) == ""


def test_in_a_header_field_2_is_the_delimiter_definition_and_field_3_the_control_id():
    h = message("H|\\^&|MSG-1||AN-200^SN42|||||||P|LIS02-A2|20240301101500").records[0]
    assert (h.get(2), h.get(3), h.get(5, 1), h.get(5, 2), h.get(12), h.get(13), h.get(14)) == (
        "\\^&",
        "MSG-1",
        "AN-200",
        "SN42",
        "P",
        "LIS02-A2",
        "20240301101500",
    )


def test_components_and_repeats_are_cut_only_where_asked_for():
    o = record("O|1|S1^9\\S2||^^^A\\^^^B^10")
    assert o.get(3) == "S1^9\\S2"
    assert o.repeats(3) == ["S1^9", "S2"]
    assert o.components(5, 2) == ["", "", "", "B", "10"]
    assert (o.get(3, 1), o.get(3, 2), o.get(3, 1, 2), o.get(3, None, 2)) == ("S1", "9", "S2", "S2")
    assert (o.get(5, 4), o.get(5, 4, 2), o.get(5, 5, 2), o.get(5, 4, 3), o.get(5, 9)) == ("A", "B", "10", "", "")


def test_two_quotes_are_not_the_same_as_an_empty_field():
    p = record('P|1||""||')
    assert (p.get(3), p.get(4)) == ("", '""')


def test_trailing_empty_fields_make_no_difference_to_what_is_read():
    short, long = record("P|1"), record("P|1||||||||")
    assert [short.get(n) for n in range(1, 9)] == [long.get(n) for n in range(1, 9)]


def test_the_type_letter_counts_in_either_case_and_field_content_does_not_change():
    m = message("h|\\^&", "p|1", "o|1|s1", "r|1|^^^a|Pos", "l|1|n")
    assert types(m.records) == ["H", "P", "O", "R", "L"]
    assert m.records[3].get(4) == "Pos"
    assert m.records[0].field(1) == "h"
    assert m.terminated


# Delimiters


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("H|\\^&", Delimiters("|", "\\", "^", "&")),
        ("H|@^\\|GXM-1", Delimiters("|", "@", "^", "\\")),
        ("H|`^&", Delimiters("|", "`", "^", "&")),
        ("H!~$%!x", Delimiters("!", "~", "$", "%")),
        ("H|\\\\^&|x", Delimiters("|", "\\", "^", "&")),  # doubled by a logger
        ("H|", Delimiters()),
        ("H", Delimiters()),
        ("H|\\^|x", Delimiters()),
        ("H||x", Delimiters()),
        ("H|&", Delimiters("|", "&", "^", "~")),
        ("H^\\|&^x", Delimiters("^", "\\", "|", "&")),
    ],
)
def test_only_the_header_defines_the_delimiters(header, expected):
    m = message(header)
    assert m.delimiters == expected
    assert len({m.delimiters.field, m.delimiters.repeat, m.delimiters.component, m.delimiters.escape}) == 4


def test_each_message_has_its_own_delimiters():
    first, second = read(b"H|\\^&\rR|1|a^b\rL|1\rH!@$%\rR!1!a$b@c|d\rL!1\r").messages
    assert first.records[1].get(3, 2) == "b"
    assert (second.records[1].get(3, 2), second.records[1].get(3, 1, 2)) == ("b", "c|d")


# Escapes (§5.4.5)


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        ("a&F&b", "a|b"),
        ("a&S&b", "a^b"),
        ("a&R&b", "a\\b"),
        ("a&E&b", "a&b"),
        ("&H&loud&N&", "loud"),
        ("a&X0A&b", "a\nb"),
        ("a&X0D0A&b", "a\r\nb"),
        ("&XB5&g", "µg"),
        ("&Z1234&", "&Z1234&"),
        ("R&D", "R&D"),
        ("a & b & c", "a & b & c"),
        ("&", "&"),
        ("&&", "&&"),
        ("a&E&F&b", "a&F&b"),
        ("&F&S&", "|S&"),
        ("&F", "&F"),
        ("&X0G&", "&X0G&"),
    ],
)
def test_escapes_are_replaced_once_and_a_lone_escape_is_text(sent, meant):
    assert record(f"R|1|^^^A|{sent}").get(4) == meant
    assert record(f"R|1|^^^A|{sent}").get(4, unescape=False) == sent


def test_the_escape_character_is_the_headers_too():
    r = record("R|1|^^^A|\\R\\x\\S\\y&F&", header="H|@^\\")
    assert r.get(4) == "@x^y&F&"


def test_an_odd_number_of_hexadecimal_digits_is_a_sequence_by_the_book_and_text_in_lenient():
    assert record("R|1||&XA&", options=RecordOptions(escapes="lis02")).get(4) == "\n"
    assert record("R|1||&XA&").get(4) == "&XA&"


def test_a_device_without_escapes_is_left_alone():
    assert record("R|1||a&F&b", options=RecordOptions(escapes="none")).get(4) == "a&F&b"


def test_an_escaped_delimiter_does_not_cut():
    r = record("R|1|^^^A|1&S&2^3&F&4\\5")
    assert (r.get(4, 1), r.get(4, 2), r.get(4, 1, 2)) == ("1^2", "3|4", "5")


# Hierarchy (§4.1)


def test_o_hangs_under_p_and_r_under_o_and_c_under_what_it_follows():
    m = message("H|\\^&", "C|1", "P|1", "C|1", "O|1", "R|1", "C|1", "C|2", "R|2", "P|2", "O|1", "L|1")
    assert [r.parent for r in m.records] == [None, 0, 0, 2, 2, 4, 5, 5, 4, 0, 9, None]
    assert [r.level for r in m.records] == [0, 1, 1, 2, 2, 3, 4, 4, 3, 1, 2, 0]


def test_manufacturer_records_between_results_end_nothing_and_a_comment_after_one_is_its_own():
    m = message("H|\\^&", "P|1", "O|1", "R|1", "M|1|x", "C|1", "M|2|y", "R|2", "L|1")
    assert [r.parent for r in m.records] == [None, 0, 1, 2, 3, 4, 3, 2, None]


def test_where_comments_and_manufacturer_records_hang_can_be_chosen():
    records = ("H|\\^&", "P|1", "O|1", "R|1", "M|1|x", "C|1", "L|1")
    parent = message(*records, options=RecordOptions(attach={"C": "parent"}))
    order = message(*records, options=RecordOptions(attach={"M": "O", "C": "O"}))
    assert [r.parent for r in parent.records][4:6] == [3, 3]
    assert [r.parent for r in order.records][4:6] == [2, 2]


def test_a_type_can_be_given_a_level_of_its_own():
    m = message("H|\\^&", "P|1", "O|1", "R|1", "M|1", "M|2", "C|1", "R|2", options=RecordOptions(levels={"M": 4}))
    assert [r.level for r in m.records] == [0, 1, 2, 3, 4, 4, 5, 3]
    assert [r.parent for r in m.records] == [None, 0, 1, 2, 3, 3, 5, 2]


def test_an_unknown_record_is_kept_and_moves_no_result():
    m = message("H|\\^&", "P|1", "O|1", "X|1|what", "ZZ|?", "R|1", "L|1")
    assert types(m.records) == ["H", "P", "O", "X", "ZZ", "R", "L"]
    assert m.records[5].parent == 2


def test_missing_parents_are_not_invented():
    m = message("H|\\^&", "R|1", "O|1", "L|1")
    assert [r.parent for r in m.records] == [None, 0, 0, None]


def test_a_query_stands_beside_patients():
    m = message("H|\\^&", "Q|1|^S1||ALL", "L|1")
    assert (m.records[1].level, m.records[1].parent, m.records[1].get(3, 2)) == (1, 0, "S1")


# Messages


def test_several_messages_in_one_text():
    reading = read(b"H|\\^&\rP|1\rL|1\rH|\\^&\rL|1|F\r")
    assert [types(m.records) for m in reading.messages] == [["H", "P", "L"], ["H", "L"]]
    assert [m.termination for m in reading.messages] == ["", "F"]


def test_a_missing_l_is_seen_and_the_next_header_begins_anew():
    first, second = read(b"H|\\^&\rP|1\rH|\\^&\rL|1\r").messages
    assert (first.terminated, second.terminated) == (False, True)


@pytest.mark.parametrize("last", ["L|1", "L|1|F", "L||N", "L", "L||", "L|481|N", "L|1|N|", "L|1 "])
def test_any_l_ends_a_message(last):
    assert message("H|\\^&", last).terminated


@pytest.mark.parametrize(("last", "code"), [("L|1|T", "T"), ("L|1|N", "N"), ("L||N", "N"), ("L", ""), ("L|1", "")])
def test_the_termination_code_is_l_3_as_sent(last, code):
    assert message("H|\\^&", last).termination == code


def test_records_before_a_header_or_after_an_l_belong_nowhere():
    reading = read(b"P|1\r1H|\\^&\rH|\\^&\rL|1\rC|1|late\r")
    assert [r.text for r in reading.stray] == ["P|1", "1H|\\^&", "C|1|late"]
    assert types(reading.stray) == ["P", "1H", "C"]
    assert len(reading.messages) == 1


def test_a_word_that_begins_with_h_is_no_header():
    assert not read(b"HGB|1\rH1|x\r").messages


# Separators, indentation, bytes


@pytest.mark.parametrize("end", ["\r", "\r\n", "\n", "\r\r\n", "\n\r"])
def test_records_end_in_cr_lf_or_any_mixture_of_them(end):
    assert types(message("H|\\^&", "P|1", "L|1", end=end).records) == ["H", "P", "L"]


def test_where_only_cr_ends_records_a_line_feed_is_data():
    m = message("H|\\^&", "R|1||a\nb", "L|1", options=RecordOptions(record_sep="cr"))
    assert m.records[1].get(4) == "a\nb"


def test_a_missing_last_separator_costs_nothing():
    assert read(b"H|\\^&\rL|1|N").messages[0].terminated


@pytest.mark.parametrize("strip", [True, False])
def test_indented_records_are_what_their_letter_says(strip):
    m = message("  H|\\^&", "  P|1", "\tL|1", options=RecordOptions(strip_indent=strip))
    assert types(m.records) == ["H", "P", "L"]
    assert m.terminated
    assert m.records[1].raw == b"  P|1"
    assert m.records[1].text == ("P|1" if strip else "  P|1")


def test_a_frame_digit_in_front_of_a_record_is_not_stripped():
    m = message("H|\\^&", "3R|1||5")
    assert m.records[1].type == "3R"
    assert m.records[1].text == "3R|1||5"


def test_one_undecodable_byte_costs_one_record_and_not_its_place():
    m = read(b"H|\\^&\rP|1||\xe4\rO|1|S1\rR|1||\xb5g\rC|1|I|x\rL|1\r").messages[0]
    assert [r.type for r in m.records] == ["H", "?", "O", "?", "C", "L"]
    assert [r.undecodable for r in m.records] == [False, True, False, True, False, False]
    assert [r.parent for r in m.records] == [None, 0, 1, 2, 3, None]
    assert (m.records[1].text, m.records[1].fields, m.records[1].raw) == ("", (), b"P|1||\xe4")


def test_an_undecodable_header_still_begins_a_message_and_an_undecodable_l_still_ends_it():
    m = read(b"H@^|\\@\xff\rP@1\rL@1@\xff\r").messages[0]
    assert m.delimiters == Delimiters("@", "^", "|", "\\")
    assert m.terminated
    assert types(m.records) == ["?", "P", "?"]


def test_the_same_bytes_read_in_their_own_character_set():
    m = read(b"H|\\^&\rR|1||1|\xb5g\r", RecordOptions(charset="iso8859-1")).messages[0]
    assert m.records[1].get(5) == "µg"
    shift_jis = "R|1||陽性".encode("shift_jis")
    assert shift_jis.count(b"|") == 3
    m = read(b"H|\\^&\r" + "R|1||表|g".encode("shift_jis") + b"\r", RecordOptions(charset="shift_jis")).messages[0]
    assert (m.records[1].get(4), m.records[1].get(5)) == ("表", "g")  # its second byte is 5C, the repeat delimiter


@pytest.mark.parametrize(
    "wrong", [{"charset": "klingon"}, {"escapes": "hl7"}, {"record_sep": "tab"}, {"unknown": "drop"}]
)
def test_an_option_nobody_knows_is_an_error(wrong):
    with pytest.raises(OptionError):
        RecordOptions(**wrong)


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        (b"L|1|N\r", True),
        (b"H|\\^&\rL|1|N\r", True),
        (b"H|\\^&\nL", True),
        (b"H|\\^&\r  l|1\r\n", True),
        (b"H|\\^&\rL|1\rH|\\^&\r", False),
        (b"LAB|1\r", False),
        (b"R|1|L\r", False),
        (b"", False),
        (b"\r\r", False),
    ],
)
def test_a_text_carries_a_terminator_when_its_last_record_is_an_l(text, ends):
    assert lis02.carries_terminator(text) is ends
