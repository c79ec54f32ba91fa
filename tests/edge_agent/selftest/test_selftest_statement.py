"""What is filed: the verdict follows from the figures, and says what it rests on."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from selftest_helpers import DISK, MACHINE, ROOT, statement, tally

from edge_agent.errors import AgentError
from edge_agent.integrity import Verdict
from edge_agent.selftest import filing
from edge_agent.selftest.checking import Findings
from edge_agent.selftest.controls import Control
from edge_agent.selftest.medium import Spread


def test_a_test_that_found_nothing_has_passed() -> None:
    made = statement()
    assert (made.passed, made.verdict, made.failures(), made.remarks()) == (True, "PASSED", [], [])


def test_what_was_found_is_the_verdict() -> None:
    made = statement(tally=tally(Findings(lost=3, doubled=1)))
    assert (made.passed, made.verdict, made.failures()) == (False, "FAILED", ["3 lost.", "1 doubled."])
    assert "with 95 % confidence" not in made.text()


def test_a_test_that_would_not_have_found_a_fault_proves_nothing() -> None:
    made = statement(controls=[Control("one bit of a stored frame changed", False, "not found")])
    assert made.verdict == "FAILED: this test proves nothing"
    assert made.failures() == ["A fault made on purpose was not found: one bit of a stored frame changed."]


def test_a_test_in_which_next_to_nothing_was_acknowledged_proves_nothing() -> None:
    made = statement(tally=tally(acknowledged=199))
    assert made.verdict == "FAILED: this test proves nothing"
    assert made.failures() == ["Only 199 frames were acknowledged in 200 rounds."]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"tally": tally(unanswered=2)}, "2 frames got no answer within 15 s: an analyser gives up then."),
        ({"flush": Spread(300, 2e-6, 3e-6, 1e-4)}, "A flush takes 2.0 us: nothing waits for a medium here."),
        ({"tally": tally(Findings(broken=["The agent did not start."]))}, "The agent did not start."),
    ],
)
def test_what_is_no_loss_and_yet_not_good_enough(changes: dict[str, object], sentence: str) -> None:
    made = statement(**changes)
    assert (made.passed, made.failures()) == (False, [sentence])


def test_a_store_without_the_settings_that_make_a_commit_durable_has_failed() -> None:
    settings = {"journal_mode": "wal", "synchronous": "1", "locking_mode": "exclusive"}
    [sentence] = statement(tally=tally(settings=settings)).failures()
    assert "'synchronous': '1'" in sentence


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"devices": []}, "names no device"),
        ({"devices": [replace(DISK, name="vda")]}, "is a virtual disk"),
        ({"devices": [replace(DISK, write_cache="")]}, "write cache is unknown"),
        (
            {"devices": [replace(DISK, rotational=True)], "flush": Spread(9, 2e-4, 3e-4, 1e-3)},
            "may not wait for its medium",
        ),
        ({"tally": tally(refused=1)}, "1 frames were refused"),
        ({"machine": replace(MACHINE, clock_kept=False)}, "not kept right"),
        ({"machine": replace(MACHINE, program=Verdict("0.1.0", 9, ("a.py is changed",)))}, "a.py is changed"),
    ],
)
def test_what_a_person_should_look_at_is_a_remark(changes: dict[str, object], part: str) -> None:
    made = statement(**changes)
    assert (made.passed, made.verdict) == (True, "PASSED, with remarks")
    [remark] = made.remarks()
    assert part in remark


def test_the_text_has_what_a_laboratory_files() -> None:
    text = statement().text()
    for part in (
        "VERDICT PASSED site",
        "seoul-01, gateway gw-01, host pc17",
        "edge-agent selftest --rounds 200 --seed 7",
        "6000 frames were acknowledged, 450 messages with 2000 results",
        "0 lost, 0 altered, 0 doubled, 0 misplaced",
        "fewer than 1.5 of 100 kills",  # 3/200
        "acknowledged before it was stored: 1 lost",
        "a power cut",
        "Name, signature, date: ___",
    ):
        assert part in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 100


def test_its_last_line_is_the_sum_of_those_above() -> None:
    text = statement().text()
    *above, last = text.splitlines(keepends=True)
    digest = hashlib.sha256("".join(above).encode()).hexdigest()
    assert last == f"SHA-256 of all lines above: {digest}\n"
    assert statement().as_dict()["sha256"] == digest


def test_it_is_filed_whole_for_everybody_and_never_over_another(tmp_path: Path) -> None:
    path = tmp_path / "verdict.txt"
    filing.refuse(path)
    filing.file(path, "a\n")
    assert (path.read_text(encoding="utf-8"), path.stat().st_mode & 0o777) == ("a\n", 0o644)
    for again in (lambda: filing.refuse(path), lambda: filing.file(path, "b\n")):
        with pytest.raises(AgentError, match=r"verdict\.txt"):
            again()
    assert [p.name for p in tmp_path.iterdir()] == ["verdict.txt"]
    assert path.read_text(encoding="utf-8") == "a\n"


def test_a_folder_that_is_not_there_is_said_before_minutes_are_spent(tmp_path: Path) -> None:
    with pytest.raises(AgentError, match="no folder this user may write to"):
        filing.refuse(tmp_path / "nowhere" / "verdict.txt")


def test_the_page_shows_a_verdict_of_this_form() -> None:
    page = (ROOT / "docs" / "selftest.md").read_text(encoding="utf-8")
    shown = page.partition("```text\n")[2].partition("```")[0]
    heads = [line for line in shown.splitlines() if line[:1].isalpha()]
    mine = [line for line in statement().text().splitlines() if line[:1].isalpha()]
    assert [head[:9] for head in heads] == [head[:9] for head in mine]
    *above, last = shown.splitlines(keepends=True)
    assert last.split()[-1] == hashlib.sha256("".join(above).encode()).hexdigest()
