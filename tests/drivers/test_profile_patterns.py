"""The expressions of a profile: a subset that cannot stall, and that means what regular expressions mean."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.profile_charset import inverse, overlap, ranges
from drivers.profile_pattern import Pattern, PatternError, compile_pattern


@pytest.mark.parametrize(
    ("pattern", "fits", "misses"),
    [
        ("^XN", "XN-550", "  XN-550"),
        ("^QC-", "QC-42140811", "24QC-1"),
        (r"\?$", "NRBC?", "NRBC? "),
        ("^[0-9]{10}$", "2407310015", "24073100150"),
        ("^[0-9]{10}$", "2407310015", "2407310015\n"),  # $ is the end, not the line's end
        ("^(QC|CTRL)-", "CTRL-1", "CTR-1"),
        ("^[+-]?[0-9]+$", "-12", "1-2"),
        (r"^\d+\.\d{1,2}$", "3.14", "3.141"),
        ("^[^ ]* mg$", "5.0 mg", "5.0  mg"),
        ("^[]a-]+$", "a]-", "b"),
        ("^.{3}$", "a\nb", "ab"),
    ],
)
def test_a_pattern_fits_what_it_says(pattern: str, fits: str, misses: str) -> None:
    compiled = compile_pattern(pattern)
    assert compiled.matches(fits)
    assert not compiled.matches(misses)


def test_named_groups_come_out() -> None:
    pattern = compile_pattern("^(?P<value>[^ ]+) (?P<unit>.+)$")
    assert pattern.groups("3.26E+05 cp/mL") == {"value": "3.26E+05", "unit": "cp/mL"}
    assert pattern.groups("3.26E+05") is None


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("(a+)+$", "cannot be repeated"),  # the classic: 2^n steps on "aaaa...b"
        ("^(a|a)*$", "cannot be repeated"),
        ("^(ab|a+)$", "inside alternatives"),
        ("^a*a*a*b", "can also eat"),  # n^3 steps
        (".*CTRL", "can also eat"),
        ("^a?ab", "can also eat"),
        ("^[0-9]+[0-9]{2}$", "can also eat"),
        ("^(?P<value>[0-9]+)(?:1|2)$", "can also eat"),  # what follows the group counts as well
        ("[0-9]+$", 'begins with "\\^"'),  # n^2 steps: every start runs to the end
        ("^a++b", "lazy, possessive"),
        ("^a+?b", "lazy, possessive"),
        ("^(?=a)", "only \\(A"),
        (r"^(a)\1$", "not allowed"),
        (r"^\w+$", "not allowed"),
        ("a|b", "belong into a group"),
        ("^a{5,2}$", "the smaller first"),
        ("^a{1,999}$", "up to 200"),
        ("^[z-a]$", "wrong way round"),
        ("^(a", "is missing"),
        ("a)", "too many"),
        ("[a", "ends too early"),
        ("*a", "stands for itself"),
        ("^(?P<x>a)(?P<x>b)$", "redefinition"),
    ],
)
def test_a_pattern_that_could_stall_or_means_nothing_is_refused_when_the_profile_loads(pattern: str, why: str) -> None:
    with pytest.raises(PatternError, match=why):
        compile_pattern(pattern)


def test_without_the_guard_python_would_take_the_patterns_that_stall() -> None:
    """The control: what is refused above is a valid expression to ``re``, which would then try every way."""
    for pattern in ("(a+)+$", "^(a|a)*$", "^a*a*a*b", ".*CTRL", "[0-9]+$"):
        re.compile(pattern)


def test_too_many_combinations_of_alternatives_are_refused() -> None:
    compile_pattern("^" + "(a|b)" * 6)
    with pytest.raises(PatternError, match="combinations"):
        compile_pattern("^" + "(a|b)" * 7)


_ATOM = st.sampled_from(["a", "b", "1", "[a-c]", "[0-9]", "[^a]", r"\d", r"\.", "."])
_COUNT = st.sampled_from(["", "", "", "?", "*", "+", "{2}", "{1,2}", "{1,}"])
_ITEM = st.builds(str.__add__, _ATOM, _COUNT)
_GROUP = st.builds("({}|{})".format, _ATOM, _ATOM) | st.builds("(?:{})".format, _ITEM)
_PATTERN = st.builds(
    lambda parts, end: "^" + "".join(parts) + end,
    st.lists(_ITEM | _GROUP, min_size=1, max_size=5),
    st.sampled_from(["", "$"]),
)


@given(_PATTERN, st.lists(st.text("abc12. ", max_size=8), min_size=5, max_size=5))
def test_what_is_accepted_means_the_same_as_to_re(pattern: str, texts: list[str]) -> None:
    """Python's backtracking matcher is the oracle: our possessive form must find exactly what it finds."""
    try:
        compiled = compile_pattern(pattern)
    except PatternError:
        return
    for text in texts:
        assert compiled.matches(text) is (re.search(pattern, text, re.DOTALL | re.ASCII) is not None)


def test_equal_texts_are_equal_patterns() -> None:
    assert compile_pattern("^a") == compile_pattern("^a") == Pattern("^a", frozenset())


_RANGES = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 5)), max_size=5).map(
    lambda pairs: ranges((a, a + n) for a, n in pairs)
)


@given(_RANGES, _RANGES)
def test_sets_of_characters_overlap_when_they_share_one(
    left: tuple[tuple[int, int], ...], right: tuple[tuple[int, int], ...]
) -> None:
    def members(of: tuple[tuple[int, int], ...]) -> set[int]:
        return {n for first, last in of for n in range(first, min(last, 60) + 1)}

    assert overlap(left, right) is bool(members(left) & members(right))
    assert members(inverse(left)) == set(range(61)) - members(left)
