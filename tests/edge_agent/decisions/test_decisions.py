"""A person's decision to try again: what is done, what is refused, and what is written about it."""

import os
import pwd
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from support_conversion import reader, until
from support_gateway import Gateway, gateway
from support_pipeline import device, records

from edge_agent.cli.main import main
from edge_agent.control import ask
from edge_agent.errors import AgentError
from edge_agent.states import ItemState, MessageState

HEADER = r"H|\^&|||BENCH-7|||||||P|LIS02-A2|20240612120000"
NA = "R|1|^^^NA|140|mmol/L||N||F||||20240612102000"
GLU = "R|2|^^^GLU|5.1|mmol/L||N||F||||20240612102000"
MIXED = records(HEADER, "P|1||P-1017", "O|1|S24-0028||^^^NA|R", NA, GLU, "L|1|N")
NAMELESS = records(HEADER, "P|1||P-1017", "O|1|||^^^NA|R", NA, "L|1|N")
IN_MG = {"code": "GLU", "units": {"mg/dL": "mg/dL"}, "source": "made up for this test"}
IN_MMOL = {"code": "GLU", "units": {"mmol/L": "mmol/L"}, "source": "made up for this test"}
ME = pwd.getpwuid(os.getuid()).pw_name


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Gateway]:
    """Its profile knows GLU in mg/dL only, so the glucose in mmol/L is held and the sodium goes out."""
    with gateway(tmp_path, reader(device(test=[IN_MG]))) as running:
        yield running


def received(made: Gateway, text: bytes = MIXED) -> int:
    number = made.bench.receive(text)
    made.bench.convert()
    return number


def corrected(made: Gateway) -> None:
    made.bench.readers["an1"] = reader(device(test=[IN_MMOL]))
    made.bench.converter.stop()
    made.bench.converter = made.bench.make()
    made.bench.converter.start()


def rejected(made: Gateway) -> str:
    received(made)
    id_: str = made.bench.messages()[0].id
    made.bench.do(lambda s: s.acknowledged(id_, code="AE", detail="", consumer="ivd", digest_ok=True))
    return id_


def audited(made: Gateway, kind: str) -> list[dict[str, str]]:
    """Without the digests of the rows."""
    entries = [dict(e.facts) for e in made.bench.do(lambda s: s.audit_entries(limit=1000)) if e.kind == kind]
    return [{name: value for name, value in facts.items() if name not in ("row", "readings")} for facts in entries]


def edge_agent(made: Gateway, *words: object) -> Result:
    return CliRunner().invoke(main, [*map(str, words), "--config", str(made.config)], catch_exceptions=False)


def refused(made: Gateway, name: str, **arguments: Any) -> str:
    with pytest.raises(AgentError) as caught:
        made.answer(name, **arguments)
    return caught.value.code


# Messages


@pytest.mark.parametrize("state", [MessageState.REJECTED, MessageState.BLOCKED, MessageState.QUEUED])
def test_an_open_message_is_queued_again_with_the_same_id_and_bytes(made: Gateway, state: MessageState) -> None:
    received(made)
    (before,) = made.bench.messages()
    if state is MessageState.REJECTED:
        made.bench.do(lambda s: s.acknowledged(before.id, code="AE", detail="", consumer="ivd", digest_ok=True))
    elif state is MessageState.BLOCKED:
        made.bench.do(lambda s: s.block(before.id, "blocked", "too large"))
    result = edge_agent(made, "retry", before.id, "--note", "the order is there now")
    (after,) = made.bench.messages()
    assert (result.exit_code, result.stdout) == (0, f"{before.id} goes out again, with the same id and content.\n")
    assert (after.id, after.payload, after.state, after.replay) == (
        before.id,
        before.payload,
        MessageState.QUEUED,
        "operator",
    )
    assert made.decided == [before.id]
    assert audited(made, "requeued") == [
        {"message": before.id, "replay": "operator", "who": ME, "note": "the order is there now"}
    ]


def test_who_decided_is_what_the_system_says_and_not_what_the_line_says(made: Gateway) -> None:
    id_ = rejected(made)
    ask(made.data_dir, "retry", ids=[id_], uid=4242, who="somebody else", note="x")
    assert [facts["who"] for facts in audited(made, "requeued")] == [ME]


def test_without_the_kernels_word_the_line_would_be_believed(made: Gateway) -> None:
    """The negative control: the same request past the socket carries the user id of the line."""
    id_ = rejected(made)
    made.answer("retry", ids=[id_], uid=424242)
    assert [facts["who"] for facts in audited(made, "requeued")] == ["uid 424242"]


def test_without_a_note_that_is_written(made: Gateway) -> None:
    made.answer("retry", ids=[rejected(made)])
    assert [facts["note"] for facts in audited(made, "requeued")] == ["no note was given"]


def test_a_filed_message_is_refused_unless_it_is_wanted_again(made: Gateway) -> None:
    received(made)
    (row,) = made.bench.messages()
    made.bench.file(row.id)
    result = edge_agent(made, "retry", row.id)
    assert result.exit_code == 1
    assert "is filed" in result.stderr
    assert "--again" in result.stderr
    assert made.bench.messages()[0].replay_at is None
    assert edge_agent(made, "retry", "--again", row.id, "--note", "they lost it").exit_code == 0
    (again,) = made.bench.messages()
    assert (again.id, again.state, again.replay) == (row.id, MessageState.FILED, "operator")
    assert [r.id for r in made.bench.do(lambda s: s.ready(10))] == [row.id]
    assert audited(made, "sent-again") == [{"message": row.id, "replay": "operator", "who": ME, "note": "they lost it"}]


def test_a_message_that_waits_for_its_answer_is_left_alone(made: Gateway) -> None:
    received(made)
    (row,) = made.bench.messages()
    made.bench.do(lambda s: s.puback(row.id, 0))
    assert refused(made, "retry", ids=[row.id]) == "under-way"
    assert made.bench.messages()[0].state is MessageState.AT_BROKER


def test_of_several_ids_all_are_done_or_none(made: Gateway) -> None:
    id_ = rejected(made)
    assert refused(made, "retry", ids=[id_, "0A1B2C3D-00000000001"]) == "unknown-id"
    assert made.bench.messages()[0].state is MessageState.REJECTED
    assert (made.decided, audited(made, "requeued")) == ([], [])
    result = edge_agent(made, "retry", id_, "t1")
    assert (
        result.stdout == f"{id_} goes out again, with the same id and content; 1 held or failed item is read again.\n"
    )


@pytest.mark.parametrize("name", ["S24-0028", "t999", "t0", "", "0A1B2C3D-00000000001", "t12x"])
def test_an_id_that_is_no_message_and_no_transmission_is_unknown(made: Gateway, name: str) -> None:
    """A specimen id is not taken either: it may stand for several messages."""
    received(made)
    assert refused(made, "retry", ids=[name]) == "unknown-id"


@pytest.mark.parametrize("ids", [[], None, "t1", [f"t{n}" for n in range(1, 102)]])
def test_no_ids_or_very_many_are_wrong_usage(made: Gateway, ids: object) -> None:
    assert refused(made, "retry", ids=ids) == "usage"


# What is held or failed


def test_a_held_result_of_a_transmission_goes_out_when_the_fault_is_corrected(made: Gateway) -> None:
    number = received(made)
    corrected(made)
    result = edge_agent(made, "retry", f"t{number}", "--note", "unit added")
    assert (result.exit_code, result.stdout) == (0, "1 held or failed item is read again.\n")
    made.bench.convert()
    first, second = made.bench.messages()
    assert b"|NM|NA^" in first.payload
    assert b"|NM|NA^" not in second.payload
    assert b"|NM|GLU^" in second.payload
    assert audited(made, "released") == [{"count": "1", "who": ME, "note": "unit added", "transmissions": str(number)}]


def test_while_the_fault_is_there_it_is_held_again_and_nothing_goes_out_twice(made: Gateway) -> None:
    number = received(made)
    made.answer("retry", ids=[f"t{number}"])
    made.bench.convert()
    assert len(made.bench.messages()) == 1
    assert {o.state for g in made.bench.groups(number) for o in g.observations} == {
        ItemState.CONVERTED,
        ItemState.HELD,
    }


def test_another_transmission_stays_held(made: Gateway) -> None:
    first, second = received(made), received(made, MIXED.replace(b"S24-0028", b"S24-0029"))
    corrected(made)
    made.answer("retry", ids=[f"t{first}"])
    made.bench.convert()
    assert [line["transmission"] for line in made.answer("queue")["held"]] == [second]


def test_everything_held_for_one_reason_is_released_and_the_rest_stays(made: Gateway) -> None:
    numbers = [received(made, MIXED.replace(b"S24-0028", b"S24-%04d" % n)) for n in range(45)]
    nameless = received(made, NAMELESS)
    corrected(made)
    result = edge_agent(made, "retry", "--held", "--code", "unit-contradicts", "--analyser", "an1")
    assert result.stdout == "45 held or failed items are read again.\n"
    until(lambda: len(made.bench.messages()) == 90)
    made.bench.convert()
    assert [line["transmission"] for line in made.answer("queue")["held"]] == [nameless]
    released = audited(made, "released")
    assert sum(int(facts["count"]) for facts in released) == len(numbers)
    assert {facts["code"] for facts in released} == {"unit-contradicts"}


def test_of_another_analyser_nothing_is_released(made: Gateway) -> None:
    number = received(made)
    assert refused(made, "release", analyser="an2") == "nothing-held"
    assert made.bench.groups(number)[0].observations[1].state is ItemState.HELD


def test_where_nothing_is_held_that_is_said(made: Gateway) -> None:
    number = received(made, records(HEADER, "P|1", "O|1|S24-0028||^^^NA|R", NA, "L|1|N"))
    result = edge_agent(made, "retry", f"t{number}")
    assert (result.exit_code, result.stderr.splitlines()[0]) == (
        1,
        f"Nothing of t{number} is held or failed. [nothing-held]",
    )
    assert refused(made, "release") == "nothing-held"
    assert audited(made, "released") == []


def test_a_reason_that_does_not_exist_is_said(made: Gateway) -> None:
    assert refused(made, "release", code="dancing") == "usage"


def test_a_note_has_an_end(made: Gateway) -> None:
    assert refused(made, "retry", ids=[rejected(made)], note="x" * 501) == "usage"
    assert refused(made, "retry", ids=["t1"], note=["x"]) == "usage"


@pytest.mark.parametrize(
    "words",
    [
        ("retry",),
        ("retry", "t1", "--held"),
        ("retry", "t1", "--code", "no-specimen-id"),
        ("retry", "t1", "--analyser", "an1"),
        ("retry", "--held", "--again"),
    ],
)
def test_what_does_not_go_together_is_wrong_usage(made: Gateway, words: tuple[str, ...]) -> None:
    assert edge_agent(made, *words).exit_code == 2
