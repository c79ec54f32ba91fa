"""What people are told."""

import re
from pathlib import Path

import pytest

from drivers.protocols import lis01
from edge_agent.cli.main import main
from edge_agent.codes import CODES
from edge_agent.sentences import REFUSALS, sentence


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


def test_why_a_frame_was_refused_is_said_in_words() -> None:
    said = sentence("frame-refused", {"analyser": "xn1", "reason": "restricted"})
    assert said == "xn1 sent frames that were refused: there are control characters inside."
    assert sentence("nak-limit", {"analyser": "xn1", "count": "6", "reason": "new-word"}).endswith("refused: new-word.")
    assert sentence("nak-limit", {}) == "? had ? frames in a row refused: ?."


def test_every_reason_the_link_layer_knows_has_words() -> None:
    sources = Path(lis01.__file__).parent.glob("lis01*.py")
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    said = set(re.findall(r'DAMAGED, "([a-z-]+)"', text)) | set(re.findall(r'return "([a-z-]+)"', text))
    said |= set(re.findall(r'_missing = "([a-z-]+)"', text)) | set(re.findall(r'reason: str = "([a-z-]+)"', text))
    assert {"checksum", "trailer", "restricted", "message-too-long"} <= said
    assert said - {"not-ready"} <= set(REFUSALS)


def _typed(action: str) -> list[list[str]]:
    """The commands of an action, as words."""
    return [command.split() for command in re.findall(r"`edge-agent ([^`]+)`", action)]


@pytest.mark.parametrize("code", CODES.values(), ids=lambda c: c.id)
def test_an_action_names_commands_that_are_there_with_their_own_code(code) -> None:
    for words in _typed(code.action):
        command = main.commands[words[0]]
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options
        if "--code" in words:
            assert words[words.index("--code") + 1] == code.id


@pytest.mark.parametrize("code", CODES.values(), ids=lambda c: c.id)
def test_an_action_that_asks_to_release_or_try_again_says_what_to_type(code) -> None:
    bare = re.sub(r"`[^`]*`", "", code.action)
    assert not re.search(r"\b(release|retry|set (the message )?aside)\b", bare)
