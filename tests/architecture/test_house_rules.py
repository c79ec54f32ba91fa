"""Rules about the code itself that no linter knows."""

import ast
import re
from pathlib import Path

import pytest
from architecture.generated_docs import DOCS, PAGES

ROOT = Path(__file__).parents[2]
PACKAGES = ("edge_agent", "drivers", "hl7", "simulators")
SOURCES = sorted(p for package in PACKAGES for p in (ROOT / package).rglob("*.py"))
DATA_PATH = [p for p in SOURCES if p.relative_to(ROOT).parts[0] in ("drivers", "hl7")] + [
    ROOT / "edge_agent" / name for name in ("pipeline.py", "settlement.py", "identity.py", "to_hl7.py")
]
LONGEST_FILE = 400
LONGEST_FUNCTION = 60


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_a_file_is_short_enough_to_hold_in_mind(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_FILE


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_no_function_is_long(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < LONGEST_FUNCTION, node.name


def test_the_median_function_has_at_most_ten_lines() -> None:
    lengths = sorted(
        (node.end_lineno or 0) - node.lineno + 1
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    assert lengths[len(lengths) // 2] <= 10


@pytest.mark.parametrize("path", [p for p in SOURCES if p.name == "__init__.py"], ids=name)
def test_a_package_file_holds_a_docstring_and_nothing_else(path: Path) -> None:
    body = ast.parse(path.read_text(encoding="utf-8")).body
    assert len(body) == 1
    assert isinstance(body[0], ast.Expr)
    assert isinstance(body[0].value, ast.Constant)


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_every_module_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", DATA_PATH, ids=name)
def test_no_value_becomes_a_number_on_its_way(path: Path) -> None:
    assert not calls(path, "float") | calls(path, "Decimal")


def test_the_check_for_numbers_sees_one(tmp_path: Path) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text("value = float(text)\n", encoding="utf-8")
    assert calls(bad, "float") == {1}


def calls(path: Path, function: str) -> set[int]:
    """Lines on which ``function`` is called."""
    return {
        node.lineno
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == function
    }


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_undecodable_text_is_never_papered_over(path: Path) -> None:
    assert not re.search(r"""errors\s*=\s*["'](replace|ignore|surrogateescape)["']""", path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", PAGES)
def test_a_page_made_from_a_table_is_up_to_date(page: str) -> None:
    assert (DOCS / page).read_text(encoding="utf-8") == PAGES[page](), "run `make docs`"


def test_test_folders_are_no_packages() -> None:
    assert not list((ROOT / "tests").rglob("__init__.py"))
