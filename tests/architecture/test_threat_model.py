"""Every row of the threat model is shown by tests that exist, or says what the site has to do."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs" / "threat-model.md").read_text(encoding="utf-8")
HEAD = "| asset | threat | what we do | shown by | left to the site |"

_NAMED = re.compile(r"`([\w/]+\.py)::(\w+)`")


def rows(page: str) -> list[list[str]]:
    """Cells of every row that is no head and no line below one."""
    lines = [line for line in page.splitlines() if line.startswith("|") and line != HEAD]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in cells if set(row[0]) != {"-"}]


@cache
def functions(file: str) -> frozenset[str]:
    path = TESTS / file
    if not path.is_file():
        return frozenset()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))


def complaint(row: list[str]) -> str:
    """What is wrong with a row; "" when nothing is."""
    if len(row) != 5 or not row[0] or not row[1]:
        return "five cells"
    shown = _NAMED.findall(row[3])
    if len(shown) != row[3].count("::"):
        return "file.py::function, as code"
    if missing := [f"{file}::{name}" for file, name in shown if name not in functions(file)]:
        return f"no such test: {missing}"
    if not shown and not ("site" in row[3] and row[4]):
        return "neither a test nor a duty of the site"
    return "" if row[2] or row[4] else "nothing is done"


@pytest.mark.parametrize("row", rows(PAGE), ids=lambda row: f"{row[0]}: {row[1]}")
def test_a_row_is_shown_by_tests_that_exist_or_left_to_the_site(row: list[str]) -> None:
    assert complaint(row) == ""


def test_there_are_rows() -> None:
    assert len(rows(PAGE)) >= 25
    assert PAGE.count(HEAD) == PAGE.count("\n## ")


@pytest.mark.parametrize(
    "row",
    [
        ["results", "are lost", "we hope", "`faults/test_kill_agent.py::test_no_such_thing`", ""],
        ["results", "are lost", "we hope", "`end_to_end/test_no_such_file.py::test_a`", ""],
        ["results", "are lost", "we hope", "faults/test_kill_agent.py::test_a", ""],
        ["results", "are lost", "we hope", "", ""],
        ["results", "are lost", "we hope", "site", ""],
        ["results", "are lost", "we hope", ""],
    ],
)
def test_a_row_that_shows_nothing_is_seen(row: list[str]) -> None:
    assert complaint(row)
