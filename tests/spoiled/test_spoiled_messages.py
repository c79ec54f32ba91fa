"""The judge refuses every spoiled message for the reason named, and accepts every good one.

A judge that refuses everything would pass the first half, one that accepts everything the second: each is the other's
control.
"""

import re
from pathlib import Path

import pytest
from judge.second_opinion import second_opinion
from judge.verdict import judge
from spoiled.good import GOOD
from spoiled.listing import listing
from spoiled.table import SPOILED, Spoiled

HERE = Path(__file__).parent
LEAST = 40


@pytest.mark.parametrize("name", GOOD)
def test_a_good_message_is_accepted(name: str) -> None:
    assert [str(finding) for finding in judge(GOOD[name])] == []


@pytest.mark.parametrize(
    ("name", "route"),
    [("patient", "result"), ("proficiency", "result"), ("control", "qc"), ("validation", "validation")],
)
def test_a_good_message_is_accepted_on_its_route(name: str, route: str) -> None:
    assert judge(GOOD[name], route=route) == []


@pytest.mark.parametrize("spoiled", SPOILED, ids=lambda spoiled: spoiled.name)
def test_a_spoiled_message_is_refused_for_the_reason_named(spoiled: Spoiled) -> None:
    assert spoiled.rule in [finding.rule for finding in judge(spoiled.payload(), route=spoiled.route)]


@pytest.mark.parametrize("spoiled", SPOILED, ids=lambda spoiled: spoiled.name)
def test_a_spoiled_message_differs_from_the_good_one_or_takes_the_wrong_route(spoiled: Spoiled) -> None:
    assert spoiled.route or spoiled.payload() != GOOD[spoiled.base]


def test_every_rule_of_the_judge_has_a_spoiled_message() -> None:
    sources = [path.read_text(encoding="utf-8") for path in sorted((HERE.parent / "judge").glob("*.py"))]
    rules = {rule for source in sources for rule in re.findall(r'refuse\(\s*"([a-z0-9-]+)"', source)}
    assert rules == {spoiled.rule for spoiled in SPOILED}


def test_names_are_unique_and_there_are_enough() -> None:
    assert len({spoiled.name for spoiled in SPOILED}) == len(SPOILED) > LEAST


def test_the_shipped_list_shows_the_table() -> None:
    assert (HERE / "LIST.md").read_text(encoding="utf-8") == listing()


def test_hl7apy_accepts_the_good_messages() -> None:
    assert {name: second_opinion(payload) for name, payload in GOOD.items()} == {name: [] for name in GOOD}


def test_hl7apy_says_of_each_spoiled_message_what_the_table_records() -> None:
    said = {spoiled.name: _refuses(spoiled) for spoiled in SPOILED}
    _print_table(said)
    assert said == {spoiled.name: spoiled.refuses for spoiled in SPOILED}


def test_most_rows_of_the_library_comparison_pass_hl7apy_and_none_passes_the_judge() -> None:
    measured = [spoiled for spoiled in SPOILED if spoiled.measured]
    assert sum(not spoiled.refuses for spoiled in measured) > len(measured) / 2
    assert all(judge(spoiled.payload()) for spoiled in measured)


def _refuses(spoiled: Spoiled) -> bool:
    try:
        return bool(second_opinion(spoiled.payload()))
    except UnicodeDecodeError:
        return True


def _print_table(said: dict[str, bool]) -> None:
    print(f"\n{'spoiled message':<58} {'judge':<24} hl7apy")
    for spoiled in SPOILED:
        print(f"{spoiled.name:<58} {spoiled.rule:<24} {'refuses' if said[spoiled.name] else 'accepts'}")
