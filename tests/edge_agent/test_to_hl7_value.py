"""OBX-2 and OBX-5 from the text: rows of HL7 2.5.1 chapter 2A (NM, SN, ST, CE) and of what analysers write."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from drivers.coding import Coded
from edge_agent.to_hl7_value import Typed, flag, is_number, typed_value, unit
from hl7 import values

PLAIN = Coded()
TITRE, RANGE = Coded(kind="titre"), Coded(kind="range")


def typed(text: str, test: Coded = PLAIN, decimal: str = ".") -> Typed:
    return typed_value(text, test, "99ACM", decimal)


@pytest.mark.parametrize("text", ["5.1", "-0.4", "+3", "0", "007", "5.10", "100", "0.000000001", "1234567890.12345"])
def test_a_number_goes_as_it_was_sent(text: str) -> None:
    assert typed(text) == Typed("NM", (text,))


@pytest.mark.parametrize(
    "text",
    [
        *["1E5", "3.26E+05", "2.52E+3 (3.40)", "1e-3", "0x1F", "NaN", "inf", "1_000"],
        *["161,152", "7,41", "1 000", "1'000", "1.234.567"],
        *["5.", ".5", "-", "+", ".", "--5", "+-5", "5-", "5+", "- 5", "1.-2"],
        *[" 5.1", "5.1 ", "\t5", "12345678901234567"],
        *["٥", "５", "²", "½", "Ⅷ"],
        *["-----", "---.-", ".....", "NA", "Positive", "양성", "3+", "1+", "~5", "5^6", "12.6 %"],
        *["1:128", "1/8", "2-20", "2 - 20"],
    ],
)
def test_what_is_no_number_of_hl7_goes_as_text(text: str) -> None:
    assert typed(text) == Typed("ST", (text,))


@pytest.mark.parametrize(
    ("text", "components"),
    [
        ("<0.3", ("<", "0.3")),
        ("<=3", ("<=", "3")),
        (">1500", (">", "1500")),
        (">=12.50", (">=", "12.50")),
        ("=5", ("=", "5")),
        ("<>5", ("<>", "5")),
        ("<-0.5", ("<", "-0.5")),
    ],
)
def test_a_comparator_before_a_number_is_structured(text: str, components: tuple[str, ...]) -> None:
    assert typed(text) == Typed("SN", components)


@pytest.mark.parametrize(
    "text",
    [
        "> 500",
        "< 40",
        "> 15000.00",
        "<  1",
        " <1",
        "<1 ",
        "<",
        "><5",
        "=<5",
        "<1E5",
        "<1,5",
        "<<5",
        "<.5",
        "<low",
        "≤5",
    ],
)
def test_a_comparator_that_cannot_give_the_text_back_goes_as_text(text: str) -> None:
    assert typed(text) == Typed("ST", (text,))


@pytest.mark.parametrize(
    ("text", "test", "components"),
    [
        ("1:128", TITRE, ("", "1", ":", "128")),
        ("1/8", TITRE, ("", "1", "/", "8")),
        ("<1:8", TITRE, ("<", "1", ":", "8")),
        (">=1:2560", TITRE, (">=", "1", ":", "2560")),
        ("2-20", RANGE, ("", "2", "-", "20")),
        ("0.5-1.5", RANGE, ("", "0.5", "-", "1.5")),
    ],
)
def test_a_titre_or_range_is_structured_where_the_test_is_one(
    text: str, test: Coded, components: tuple[str, ...]
) -> None:
    assert typed(text, test) == Typed("SN", components)


@pytest.mark.parametrize(
    ("text", "test"),
    [
        *[("1 : 128", TITRE), ("1:", TITRE), (":128", TITRE), ("1:-8", TITRE), ("1:2:3", TITRE), ("2-20", TITRE)],
        *[("2 - 20", RANGE), ("-2-20", RANGE), ("2--20", RANGE), ("1:128", RANGE), ("2-", RANGE), ("2-20-30", RANGE)],
    ],
)
def test_a_titre_or_range_in_another_form_goes_as_text(text: str, test: Coded) -> None:
    assert typed(text, test) == Typed("ST", (text,))


def test_a_titre_that_is_a_plain_number_is_a_number() -> None:
    assert typed("128", TITRE) == Typed("NM", ("128",))


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("7,41", Typed("NM", ("7.41",), source="7,41")),
        ("-0,5", Typed("NM", ("-0.5",), source="-0,5")),
        ("7", Typed("NM", ("7",))),
        ("1.234", Typed("ST", ("1.234",))),
        ("1.234,5", Typed("ST", ("1.234,5",))),
        ("1,234,567", Typed("ST", ("1,234,567",))),
        ("<7,41", Typed("ST", ("<7,41",))),
        ("<7", Typed("ST", ("<7",))),
        (",5", Typed("ST", (",5",))),
    ],
)
def test_a_declared_decimal_comma_is_read_and_nothing_else_is(text: str, made: Typed) -> None:
    assert typed(text, decimal=",") == made


def test_a_coded_value_has_the_code_the_map_gives_and_the_word_as_sent() -> None:
    test = Coded(values={"Positive": "POS", "DETECTED": "260373001^Detected^SCT", "1+": "1PLUS", "0": "NEG"})
    assert typed("Positive", test) == Typed("CE", ("POS", "Positive", "99ACM"))
    assert typed("DETECTED", test) == Typed("CE", ("DETECTED", "DETECTED", "99ACM", "260373001", "Detected", "SCT"))
    assert typed("0", test) == Typed("CE", ("NEG", "0", "99ACM"))


def test_a_value_the_map_does_not_list_is_no_coded_value() -> None:
    test = Coded(values={"Positive": "POS"}, kind="nominal")
    assert typed("positive", test) == Typed("ST", ("positive",))
    assert typed("5", test) == Typed("NM", ("5",))


@pytest.mark.parametrize(("length", "kind"), [(199, "ST"), (200, "TX")])
def test_text_that_is_too_long_for_st_is_tx(length: int, kind: str) -> None:
    assert typed("x" * length).type == kind


def test_the_length_of_text_is_that_of_its_escapes_too() -> None:
    assert typed("^" * 66).type == "ST"
    assert typed("^" * 67).type == "TX"


@given(st.text(min_size=1) | st.from_regex(r"[<>=]{0,2} ?[-+]?[0-9]{0,4}[.,:/-]?[0-9]{0,4}", fullmatch=True))
@example("<=0.30")
def test_the_text_as_sent_can_always_be_taken_back(text: str) -> None:
    for test, decimal in ((PLAIN, "."), (TITRE, "."), (RANGE, "."), (PLAIN, ",")):
        made = typed(text, test, decimal)
        assert (made.source or "".join(made.components)) == text


@given(st.text(max_size=20))
def test_a_number_has_only_the_characters_of_one(text: str) -> None:
    if is_number(text):
        assert set(text) <= set("+-.0123456789")


@pytest.mark.parametrize(
    ("sent", "ucum", "coded"),
    [
        ("mmol/L", "mmol/L", values.Coded("mmol/L", "mmol/L", "99ACM", "mmol/L", "", "UCUM")),
        ("10^3/µL", "10*3/uL", values.Coded("10^3/µL", "10^3/µL", "99ACM", "10*3/uL", "", "UCUM")),
        ("U/I", "", values.Coded("U/I", "U/I", "99ACM")),
        ("", "", values.NOTHING),
        ("", "{ratio}", values.Coded("{ratio}", "", "UCUM")),
        ('""', "", values.NOTHING),
    ],
)
def test_a_unit_keeps_its_spelling_beside_its_ucum_name(sent: str, ucum: str, coded: values.Coded) -> None:
    assert unit(sent, ucum, "99ACM") == coded


TABLE_0078 = ("<", ">", "A", "AA", "B", "D", "H", "HH", "I", "L", "LL", "MS", "N", "null", "R", "S", "U", "VS", "W")


@pytest.mark.parametrize("letters", TABLE_0078)
def test_a_flag_of_table_0078_is_named_as_one(letters: str) -> None:
    assert flag(letters, "99ACM") == values.Coded(letters, "", "HL70078")


@pytest.mark.parametrize("letters", ["VAL", "h", "HHH", "@", "R1?", "EXP", "NONE", "*", "H~A"])
def test_any_other_flag_is_the_analysers_own(letters: str) -> None:
    assert flag(letters, "99ACM") == values.Coded(letters, "", "99ACM")
