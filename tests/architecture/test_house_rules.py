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
    ROOT / "edge_agent" / name
    for name in ("pipeline.py", "settlement.py", "identity.py", "converter.py", "evidence.py")
]
DATA_PATH += sorted((ROOT / "edge_agent").glob("to_hl7*.py"))
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


# Calls that run text as code or hand it to a shell, and readers that make objects of what they read
_FORBIDDEN = re.compile(
    r"(builtins\.)?(eval|exec|compile)|os\.(system|popen)|(pickle|marshal|shelve|dill)\.\w+|yaml\.(unsafe_)?load\w*"
    r"|datetime\.utc(now|fromtimestamp)"
)
_PAPER = frozenset({"replace", "ignore", "surrogateescape"})


def unsafe_calls(text: str) -> list[str]:
    """What no line of the program may do; ``re.compile`` is no compile."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        if _FORBIDDEN.fullmatch(called):
            found.append(called)
        if any(
            k.arg == "shell" and not (isinstance(k.value, ast.Constant) and not k.value.value) for k in node.keywords
        ):
            found.append("shell")
        if called.endswith((".decode", ".encode")) and any(_is_paper(a) for a in node.args[1:2]):
            found.append(called.rpartition(".")[2])
        if called.endswith("datetime.now") and not node.args and not node.keywords:
            found.append("datetime.now without a zone")
        if called.endswith("datetime.fromtimestamp") and len(node.args) + len(node.keywords) < 2:
            found.append("datetime.fromtimestamp without a zone")
    return found


def _is_paper(argument: ast.expr) -> bool:
    return isinstance(argument, ast.Constant) and argument.value in _PAPER


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_no_text_is_run_no_object_is_unpickled_no_time_is_without_a_zone(path: Path) -> None:
    assert unsafe_calls(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "line",
    [
        "eval(text)",
        "exec(text)",
        "pickle.loads(data)",
        "yaml.load(text)",
        "os.system(text)",
        "subprocess.run(text, shell=True)",
        'data.decode("utf-8", "replace")',
        "datetime.now()",
        "datetime.utcnow()",
        "datetime.fromtimestamp(seconds)",
    ],
)
def test_such_a_line_would_be_seen(line: str) -> None:
    assert unsafe_calls(line)


@pytest.mark.parametrize("line", ['re.compile("a")', "datetime.now(UTC)", 'data.decode("utf-8", "strict")'])
def test_such_a_line_is_none(line: str) -> None:
    assert unsafe_calls(line) == []
