"""A person gives a message up: never without a reason, never what is closed, and seen by the publisher."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from support_gateway import ONE_GOOD, Gateway, having_received

from edge_agent.cli.main import main
from edge_agent.errors import AgentError
from edge_agent.states import MessageState


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Gateway]:
    with having_received(tmp_path, ONE_GOOD) as running:
        yield running


def message(made: Gateway) -> str:
    id_: str = made.bench.messages()[0].id
    return id_


def edge_agent(made: Gateway, *words: object) -> Result:
    return CliRunner().invoke(main, [*map(str, words), "--config", str(made.config)], catch_exceptions=False)


def test_a_message_that_is_set_aside_is_not_sent_and_what_that_means_is_said(made: Gateway) -> None:
    id_ = message(made)
    result = edge_agent(made, "set-aside", id_, "--note", "entered by hand")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"{id_} is set aside: this agent does not send it any more.\n")
    assert "not sent when the analyser repeats them" in result.stdout
    assert made.bench.messages()[0].state is MessageState.SET_ASIDE
    assert made.bench.do(lambda s: s.ready(10)) == []
    assert made.decided == [id_]
    (entry,) = [e for e in made.bench.do(lambda s: s.audit_entries(limit=100)) if e.kind == "set-aside"]
    assert (entry.facts["message"], entry.facts["note"]) == (id_, "entered by hand")
    assert entry.facts["who"]


def test_its_results_are_not_sent_when_the_analyser_repeats_them(made: Gateway) -> None:
    made.answer("set-aside", ids=[message(made)], note="entered by hand")
    made.bench.receive(ONE_GOOD)
    made.bench.convert()
    assert [row.state for row in made.bench.messages()] == [MessageState.SET_ASIDE]
    assert made.bench.do(lambda s: s.ready(10)) == []


@pytest.mark.parametrize("note", ["", "   "])
def test_without_a_reason_nothing_is_set_aside(made: Gateway, note: str) -> None:
    with pytest.raises(AgentError) as caught:
        made.answer("set-aside", ids=[message(made)], note=note)
    assert caught.value.code == "note-required"
    assert edge_agent(made, "set-aside", message(made)).exit_code == 2
    assert made.bench.messages()[0].state is MessageState.QUEUED
    assert made.decided == []


def test_what_is_closed_is_not_set_aside(made: Gateway) -> None:
    made.bench.file(message(made))
    result = edge_agent(made, "set-aside", message(made), "--note", "x")
    assert result.exit_code == 1
    assert "is filed: there is nothing to set aside. [closed]" in result.stderr
    assert made.bench.messages()[0].state is MessageState.FILED


def test_what_was_set_aside_is_not_tried_again(made: Gateway) -> None:
    made.answer("set-aside", ids=[message(made)], note="x")
    with pytest.raises(AgentError) as caught:
        made.answer("retry", ids=[message(made)])
    assert caught.value.code == "closed"


@pytest.mark.parametrize(("ids", "code"), [(["t1"], "unknown-id"), (["a", "b"], "usage"), ([], "usage")])
def test_only_one_message_at_a_time_can_be_set_aside(made: Gateway, ids: list[str], code: str) -> None:
    with pytest.raises(AgentError) as caught:
        made.answer("set-aside", ids=ids, note="x")
    assert caught.value.code == code
