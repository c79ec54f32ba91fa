"""The runner itself: on a small module whose score is known, and on statements whose changes are written down."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from mutation import statements
from mutation.ledger import Score
from mutation.mutants import mutants

TESTS = Path(__file__).parents[1]
MODULE = '''"""Prose."""

MOST = 3


def fits(count: int) -> bool:
    """Prose."""
    return count < MOST


def label(count: int) -> str:
    return "few" if fits(count) else "many"
'''
ALL = [
    "3 -> 4",
    "return count < MOST -> return None",
    "count < MOST -> count <= MOST",
    "return 'few' if fits(count) else 'many' -> return None",
    "'few' if fits(count) else 'many' -> 'few'",
    "'few' if fits(count) else 'many' -> 'many'",
    "'few' -> ''",
    "'many' -> ''",
]
LIVE = ["'few' if fits(count) else 'many' -> 'few'", "'many' -> ''"]
SOME_TESTS = """from small_module import fits, label


def test_two_fit_and_three_do_not():
    assert fits(2) is True
    assert fits(3) is False


def test_one_is_few():
    assert label(1) == "few"
"""
ALL_TESTS = f"""{SOME_TESTS}

def test_five_are_many():
    assert label(5) == "many"
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\npythonpath = .\naddopts = -p no:cacheprovider\nfilterwarnings = error\n"
    )
    (tmp_path / "small_module.py").write_text(MODULE)
    return tmp_path


def run(project: Path, *more: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "PYTHONPATH": f"{project}:{TESTS}", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "mutation.run", "--root", str(project), "--workers", "1", *more]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def said(text: str) -> list[str]:
    """What survived, in the words of a change."""
    lines = [line for line in text.splitlines() if ": survived: " in line]
    return [line.partition(": survived: ")[2].partition(": ")[2].rpartition(" (")[0] for line in lines]


def test_every_change_of_the_small_module_is_known() -> None:
    found = mutants("small_module.py", MODULE)
    assert [f"{m.before} -> {m.after}" for m in found] == ALL
    assert [m.where.place for m in found] == ["", "fits", "fits", *["label"] * 5]
    assert [m.where.in_function for m in found] == [False, *[True] * 7]


@pytest.mark.slow
def test_what_no_test_notices_is_named_and_with_the_missing_test_only_that_is_tried_again(project: Path) -> None:
    (project / "test_small.py").write_text(SOME_TESTS)
    result = run(project)
    assert sorted(said(result.stdout)) == sorted(LIVE), result.stderr
    assert " 75.0%     6 of     8  in all" in result.stdout
    assert result.returncode == 1
    (project / "test_small.py").write_text(ALL_TESTS)
    result = run(project)
    assert "100.0%     8 of     8  in all" in result.stdout, result.stderr
    assert "2 of 2 tried, 0 unnoticed" in result.stderr
    assert result.returncode == 0


@pytest.mark.slow
def test_what_nobody_could_notice_is_not_counted_and_must_be_a_change_there_is(project: Path) -> None:
    (project / "test_small.py").write_text(SOME_TESTS)
    (project / "tests" / "mutation").mkdir(parents=True)
    listed = project / "tests" / "mutation" / "equivalent.toml"
    listed.write_text('["small_module.py"]\n' + "".join(f"\"label: {name} (1)\" = 'why'\n" for name in LIVE))
    result = run(project, "--sample", "4", "--seed", "3")
    assert "100.0%     4 of     4  in all" in result.stdout, result.stderr
    assert "the score of all is between 51.0% and 100.0%" in result.stdout
    assert result.returncode == 0
    listed.write_text('["small_module.py"]\n"label: \'no such\' -> \'\' (1)" = "why"\n')
    result = run(project, "--sample", "1")
    assert "names what is no mutant: small_module.py: label: 'no such'" in result.stdout
    assert result.returncode == 1


@pytest.mark.slow
def test_a_change_that_makes_a_test_run_for_ever_is_noticed(project: Path) -> None:
    (project / "small_module.py").write_text(
        "def rest(count):\n    while count > 0:\n        count -= 2\n    return count\n"
    )
    (project / "test_small.py").write_text(
        "from small_module import rest\n\n\ndef test_rest():\n    assert rest(3) == -1\n"
    )
    run(project)
    kept = json.loads((project / ".mutation" / "verdicts.json").read_text())
    verdicts = {name: one["what"] for name, one in kept["small_module.py"]["verdicts"].items()}
    assert verdicts["rest: count -= 2 -> pass (1)"] == "timeout"


@pytest.mark.slow
def test_a_test_that_fails_without_a_change_notices_nothing(project: Path) -> None:
    """It passes once, when it is found out which lines it runs, and never again."""
    (project / "test_small.py").write_text(
        "from pathlib import Path\nfrom small_module import fits\n\n\n"
        "def test_once():\n    Path('ran').mkdir()\n    assert fits(2)\n"
    )
    result = run(project)
    assert "  0.0%     0 of     8  in all" in result.stdout, result.stderr
    assert "fails without a change in a loaded process, asked no more: test_small.py::test_once" in result.stderr
    assert "fails without a change in a bare process, asked no more: test_small.py::test_once" in result.stderr


def test_the_interval_is_wilsons() -> None:
    """Newcombe 1998, table I: 81 of 263, score method without continuity correction."""
    low, high = Score(263, 81).interval
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)


def changes(sql: str) -> set[str]:
    return set(statements.changes(sql))


def test_a_condition_is_left_out_turned_round_and_moved_by_one() -> None:
    assert changes("SELECT id FROM outbox WHERE state = 'queued' AND number > ? ORDER BY number") == {
        "SELECT id FROM outbox WHERE 1 AND number > ? ORDER BY number",
        "SELECT id FROM outbox WHERE state <> 'queued' AND number > ? ORDER BY number",
        "SELECT id FROM outbox WHERE state = 'queued' OR number > ? ORDER BY number",
        "SELECT id FROM outbox WHERE state = 'queued' ORDER BY number",
        "SELECT id FROM outbox WHERE state = 'queued' AND number >= ? ORDER BY number",
        "SELECT id FROM outbox WHERE state = 'queued' AND number > ? ORDER BY number DESC",
    }


def test_what_is_set_is_no_comparison_and_one_of_a_list_is_left_out() -> None:
    assert changes("UPDATE outbox SET code = ? WHERE state IN ('queued', 'blocked')") == {
        "UPDATE outbox SET code = ? WHERE 1 ",
        "UPDATE outbox SET code = ? WHERE state IN ('queued')",
    }


def test_a_term_ends_where_its_parenthesis_does() -> None:
    found = changes("SELECT 1 FROM a WHERE NOT EXISTS (SELECT 1 FROM b WHERE b.x = a.x AND b.y IS NULL) LIMIT 1")
    assert "SELECT 1 FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.x = a.x AND b.y IS NULL) LIMIT 1" in found
    assert "SELECT 1 FROM a WHERE NOT EXISTS (SELECT 1 FROM b WHERE b.x = a.x ) LIMIT 1" in found
    assert "SELECT 1 FROM a WHERE NOT EXISTS (SELECT 1 FROM b WHERE b.x = a.x AND b.y IS NOT NULL) LIMIT 1" in found


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('"""What it is."""', id="prose"),
        pytest.param("log.warning('Storage works again.', 3)", id="what is logged"),
        pytest.param("x: Literal['a']", id="an annotation"),
        pytest.param("assert x > 3", id="an assertion"),
        pytest.param("raise_me = f'{x} is more than {y}'", id="a sentence"),
        pytest.param("__all__ = ['x']", id="names for import"),
        pytest.param("T = TypeVar('T', bound=str)", id="a type variable"),
    ],
)
def test_what_no_test_should_hold_is_left_alone(text: str) -> None:
    assert mutants("m.py", text) == []


def test_a_transaction_is_taken_away_from_around_what_it_covers() -> None:
    found = [
        f"{m.before} -> {m.after}" for m in mutants("m.py", "def f(db):\n    with db.writing():\n        db.go()\n")
    ]
    assert found == ["with db.writing(): ... -> if True: ...", "db.go() -> pass"]


def test_a_change_leaves_the_tree_as_it_was() -> None:
    first = mutants("small_module.py", MODULE)[0]
    names: dict[str, int] = {}
    exec(first.code("x"), names)
    again: dict[str, int] = {}
    exec(compile(first._tree, "x", "exec"), again)
    assert (names["MOST"], again["MOST"]) == (4, 3)
