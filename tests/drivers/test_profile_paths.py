"""Paths: one grammar, positions as in the standard."""

import pytest

from drivers.paths import Path, PathError, parse, parse_columns, read
from drivers.protocols import lis02


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("R.3", Path("R", 3)),
        ("R.3.4", Path("R", 3, 4)),
        ("O.5.4~2", Path("O", 5, 4, None, 2)),
        ("O.3~2", Path("O", 3, None, None, 2)),
        ("R.3.4.2", Path("R", 3, 4, 2)),
        ("OBX-5.1", Path("OBX", 5, 1)),
        ("SPM-2.1.2", Path("SPM", 2, 1, 2)),
        ("PID-3~2", Path("PID", 3, None, None, 2)),
    ],
)
def test_a_path_is_parsed_and_written_back(text: str, path: Path) -> None:
    assert parse(text) == path
    assert str(path) == text


@pytest.mark.parametrize(
    "text", ["", "R", "R3", "r.3", "R.0", "R.3.0", "R.3~0", "RR.3", "R-3", "OBX.5", "R.3 ", "R.1.2.3.4"]
)
def test_what_is_no_path_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(PathError, match=r"write|count from 1"):
        parse(text)


def test_columns_count_from_one_and_include_both_ends() -> None:
    assert parse_columns("@1-8") == (1, 8)
    for text in ("@0-3", "@5-4", "1-8", "@3"):
        with pytest.raises(PathError):
            parse_columns(text)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("R.3.4", "GLU"),
        ("R.3.2", ""),
        ("R.4", "NOT DETECTED"),  # the empty part at the end says nothing (LIS02-A2 5.4.7)
        ("R.4.1", "NOT DETECTED"),
        ("R.5", "a|b"),
        ("R.6", "1^2\\3"),
        ("R.6.2", "2"),
        ("R.6~2", "3"),
        ("R.6.1~2", "3"),
        ("R.6.1~3", ""),
        ("R.99", ""),
        ("O.3", ""),  # another record than the one given
    ],
)
def test_a_path_reads_the_text_there(path: str, text: str) -> None:
    message = lis02.read(b"H|\\^&\rR|1|^^^GLU|NOT DETECTED^|a&F&b|1^2\\3\rL|1\r").messages[0]
    assert read(parse(path), message.records[1]) == text


def test_no_record_reads_as_nothing() -> None:
    assert read(parse("R.3"), None) == ""
