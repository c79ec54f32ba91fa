"""What people are told."""

import re

import pytest

from edge_agent.codes import CODES, sentence


@pytest.mark.parametrize("code", CODES.values(), ids=lambda c: c.id)
def test_a_code_has_a_sentence_and_a_next_action(code) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9-]*", code.id)
    assert code.sentence[0].isupper() or code.sentence.startswith("{")
    assert code.sentence.endswith((".", "}"))
    assert code.action.endswith(".")


@pytest.mark.parametrize("code", CODES.values(), ids=lambda c: c.id)
def test_a_sentence_can_never_name_a_patient_or_a_specimen(code) -> None:
    facts = set(re.findall(r"{(\w+)}", code.sentence + code.action))
    assert not facts & {"specimen", "patient", "name", "value", "id", "text"}


def test_facts_are_filled_in_and_a_missing_one_shows_as_a_question_mark() -> None:
    assert sentence("link-down", {"analyser": "xn1"}) == "xn1 is not connected: ?"
