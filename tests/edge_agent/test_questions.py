"""What the agent answers: one set of facts, as JSON for programs and as text for people."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support_conversion import reader
from support_gateway import Gateway, gateway
from support_pipeline import GENERIC, device, records, source

from edge_agent.cli import show_status, show_trace
from edge_agent.control import ask
from edge_agent.errors import AgentError
from edge_agent.pins import Pinned
from edge_agent.states import TransmissionEvent
from edge_agent.store.rows import Chunk, ChunkKind, Settlement
from edge_agent.store.store import Store
from edge_agent.times import shown

HEADER = r"H|\^&|||BENCH-7|||||||P|LIS02-A2|20240612120000"
PATIENT = "P|1||P-1017"
ORDER = "O|1|S24-0028||^^^NA|R"
NA = "R|1|^^^NA|140|mmol/L||N||F||||20240612102000"
GLU = "R|2|^^^GLU|5.1|mmol/L||N||F||||20240612102000"
GLUCOSE = {"code": "GLU", "units": {"mg/dL": "mg/dL"}, "source": "made up for this test"}
GOOD = records(HEADER, PATIENT, ORDER, NA, "L|1|N")
MIXED = records(HEADER, PATIENT, ORDER, NA, GLU, "L|1|N")


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Gateway]:
    with gateway(tmp_path, reader(device(test=[GLUCOSE]))) as running:
        yield running


def received(made: Gateway, text: bytes = GOOD, **more: Any) -> int:
    number = made.bench.receive(text, **more)
    made.bench.convert()
    return number


# status


def test_when_nothing_is_wrong_the_first_line_says_so(made: Gateway) -> None:
    answer = made.answer("status")
    assert (answer["ok"], answer["sentence"]) == (True, "All is well.")
    assert show_status.text(answer).splitlines()[0] == "All is well."


def test_a_warning_is_a_remark_and_an_error_needs_a_person(made: Gateway) -> None:
    made.alarms.raise_("link-down", "an1", reason="No carrier.")
    answer = made.answer("status")
    assert (answer["ok"], answer["sentence"]) == (True, "All is well, with 1 remark below.")
    made.alarms.raise_("storage", reason="the disk is full.")
    made.alarms.raise_("disk-low", free_mb="3")
    answer = made.answer("status")
    assert answer["ok"] is False
    assert answer["sentence"] == "A person is needed: Results cannot be stored: the disk is full. (1 more below)"


def test_text_and_json_are_made_of_the_same_facts(made: Gateway) -> None:
    received(made)
    made.alarms.raise_("link-down", "an1", reason="No carrier.")
    answer = ask(made.data_dir, "status")
    text = show_status.text(answer)
    for fact in (
        answer["version"],
        answer["site"],
        answer["gateway"],
        answer["state"],
        answer["started"],
        answer["oldest_unfiled"],
        answer["broker"]["text"],
        answer["store"]["text"],
        answer["analysers"][0]["last_result"] or "-",
        answer["alarms"][0]["sentence"],
        answer["alarms"][0]["action"],
        "1 queued",
        "lis02_generic r1",
    ):
        assert str(fact) in text


def test_counts_are_of_messages_by_state_and_of_things_by_analyser(made: Gateway) -> None:
    received(made, MIXED)
    received(made, MIXED.replace(b"S24-0028", b"S24-0029"))
    made.bench.file(made.bench.messages()[0].id)
    received(made, records(HEADER, PATIENT, ORDER), event=TransmissionEvent.BROKEN)
    answer = made.answer("status")
    assert {state: count for state, count in answer["messages"].items() if count} == {"queued": 1, "filed": 1}
    analyser = answer["analysers"][0]
    assert (analyser["held"], analyser["failed"], analyser["interrupted"]) == (2, 0, 1)
    assert answer["converting"] is False


def test_a_transmission_that_is_not_converted_yet_shows(made: Gateway) -> None:
    made.bench.converter.stop()
    made.bench.receive(GOOD)
    assert made.answer("status")["converting"] is True


def test_another_installed_profile_is_said(made: Gateway) -> None:
    assert "is installed" not in show_status.text(made.answer("status"))
    made.pins["an1"] = Pinned(GENERIC, "abcdef0123456789")
    answer = made.answer("status")
    assert answer["analysers"][0]["newer_profile"] == "abcdef0123456789"
    assert "an1: another lis02_generic is installed (abcdef012345)" in show_status.text(answer)


def test_while_the_store_fails_the_status_still_answers(made: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(made.bench.store, "_failed", "Results cannot be stored: the disk is full.")
    answer = made.answer("status")
    assert answer["store"] == {"ok": False, "text": "Results cannot be stored: the disk is full."}
    assert "the disk is full" in show_status.text(answer)
    assert json.dumps(answer)


def test_the_status_names_no_patient_and_no_specimen(made: Gateway) -> None:
    received(made, MIXED)
    said = json.dumps(made.answer("status"))
    assert not re.search("S24-0028|P-1017|5\\.1", said)


# queue


def test_the_queue_lists_what_is_not_filed_and_what_is_held(made: Gateway) -> None:
    number = received(made, MIXED)
    answer = made.answer("queue")
    (message,), (held,) = answer["messages"], answer["held"]
    assert (message["analyser"], message["route"], message["sequence"], message["state"]) == (
        "an1",
        "result",
        1,
        "queued",
    )
    assert (held["transmission"], held["state"], held["results"], held["code"]) == (
        number,
        "held",
        1,
        "unit-contradicts",
    )
    assert held["sentence"] == "an1 sent test GLU in a unit its code row does not allow."
    text = show_status.queue_text(answer, of_all=True)
    for fact in (message["id"], f"t{number}", held["sentence"], held["action"]):
        assert fact in text


def test_a_filed_message_is_not_in_the_queue(made: Gateway) -> None:
    received(made)
    made.bench.file(made.bench.messages()[0].id)
    answer = made.answer("queue")
    assert answer == {"messages": [], "held": []}
    assert show_status.queue_text(answer, of_all=True).startswith("Nothing waits")
    assert [m["state"] for m in made.answer("queue", state="filed")["messages"]] == ["filed"]


def test_only_one_state_or_one_analyser_can_be_asked_for(made: Gateway) -> None:
    received(made, MIXED)
    assert made.answer("queue", state="rejected") == {"messages": [], "held": []}
    assert made.answer("queue", analyser="an2") == {"messages": [], "held": []}
    assert len(made.answer("queue", state="queued")["messages"]) == 1
    assert made.answer("queue", state="queued")["held"] == []
    assert len(made.answer("queue", state="held")["held"]) == 1
    nothing = show_status.queue_text(made.answer("queue", state="rejected"), of_all=False)
    assert nothing == "Nothing of this kind is there."


def test_a_failed_result_is_found_behind_many_held_ones(made: Gateway) -> None:
    for n in range(4):
        received(made, MIXED.replace(b"S24-0028", b"S24-%04d" % n))
    made.bench.do(lambda s: s.settle(_failed(s.open_transmission(source()), s)))
    answer = made.answer("queue", state="failed", limit=2)
    assert [line["code"] for line in answer["held"]] == ["driver"]
    assert len(made.answer("queue", state="held", limit=2)["held"]) == 2


def test_a_line_that_babbled_takes_one_line_and_hides_no_result(made: Gateway) -> None:
    numbers = [made.bench.do(_rubbish) for _ in range(30)]
    received(made, MIXED)
    held = made.answer("queue", limit=3)["held"]
    assert [line["code"] for line in held] == ["unit-contradicts", "unframed-bytes", "unframed-bytes"]
    text = show_status.queue_text(made.answer("queue", limit=1000), of_all=True)
    assert text.count("an1 sent bytes outside any frame. [unframed-bytes]") == 1
    assert ", ".join(f"t{n}" for n in numbers[:4]) + " and 26 more" in text


def _rubbish(store: Store) -> int:
    number = store.open_transmission(source())
    store.append(number, [Chunk(ChunkKind.NOISE, b"\xf8\x00\xf8")])
    store.end(number, TransmissionEvent.ENDED, "idle")
    return number


def _failed(number: int, store: Store) -> Settlement:
    store.end(number, TransmissionEvent.ENDED, "L")
    return Settlement(number, holds=(("driver", "KeyError"),))


@pytest.mark.parametrize("wrong", [{"state": "dancing"}, {"limit": "many"}])
def test_a_state_or_limit_that_does_not_exist_is_wrong_usage(made: Gateway, wrong: dict[str, Any]) -> None:
    with pytest.raises(AgentError) as caught:
        made.answer("queue", **wrong)
    assert caught.value.code == "usage"


def test_no_answer_shows_a_placeholder(made: Gateway) -> None:
    received(made, GOOD.replace(b"|P|LIS02", b"|T|LIS02"))
    received(made, b"MSH|^~\\&|X\r")
    received(made, records(HEADER, ORDER) + b"R|1|^^^NA|\xff\r" + records("L|1|N"))
    said = show_status.queue_text(made.answer("queue"), of_all=True)
    assert not re.search(r"[{}]|\?", said)


# show and trace


def test_a_message_is_shown_by_its_id_and_by_its_specimen(made: Gateway) -> None:
    received(made)
    (row,) = made.bench.messages()
    by_id, by_specimen = made.answer("show", id=row.id), made.answer("show", id="S24-0028")
    assert by_id == by_specimen
    (message,) = by_id["messages"]
    assert (message["id"], message["state"], message["digest"]) == (row.id, "queued", row.digest)
    assert message["hl7"][0].startswith("MSH|")
    assert message["receipt"] == "none yet: queued"
    text = show_trace.message_text(by_id)
    assert all(line in text for line in message["hl7"])


def test_attempts_and_the_receipt_are_shown(made: Gateway) -> None:
    received(made)
    (row,) = made.bench.messages()
    made.bench.do(lambda s: s.published(row.id, replay="original"))
    made.bench.do(lambda s: s.puback(row.id, 0))
    made.bench.file(row.id)
    (message,) = made.answer("show", id=row.id)["messages"]
    assert [a["what"] for a in message["attempts"]] == ["published", "puback", "ack"]
    (filed,) = made.bench.messages()
    assert message["receipt"].startswith(f"filed {shown(filed.filed)}")


@pytest.mark.parametrize("question", ["show", "trace"])
@pytest.mark.parametrize("name", ["S24-9999", "t999", "t0", "", "0A1B2C3D-00000000001", "t" + "9" * 40, "t12x"])
def test_an_unknown_id_is_said_and_not_repeated(made: Gateway, question: str, name: str) -> None:
    received(made)
    with pytest.raises(AgentError) as caught:
        made.answer(question, id=name)
    assert caught.value.code == "unknown-id"
    assert not name or name not in caught.value.sentence


def test_a_result_without_a_specimen_id_is_not_found_by_asking_for_nothing(made: Gateway) -> None:
    made.bench.receive(records(r"H|\^&|||BENCH-7", "P|1", "O|1|||^^^NA|R", "R|1|^^^NA|141|mmol/L||N||F", "L|1|N"))
    made.bench.convert()
    assert made.answer("queue")["held"][0]["code"] == "no-specimen-id"
    for nothing in ("", " "):
        with pytest.raises(AgentError) as caught:
            made.answer("trace", id=nothing)
        assert caught.value.code == "unknown-id"


def test_every_message_of_a_specimen_is_shown_newest_first(made: Gateway) -> None:
    received(made)
    received(made, GOOD.replace(b"140", b"141"))
    shown_ids = [m["id"] for m in made.answer("show", id="S24-0028")["messages"]]
    assert shown_ids == sorted(shown_ids, reverse=True)
    assert len(shown_ids) == 2


def test_a_time_is_shown_with_its_offset() -> None:
    assert re.fullmatch(r"2024-06-12 \d\d:00:00[+-]\d\d:\d\d", shown(datetime(2024, 6, 12, 3, tzinfo=UTC)))
    assert shown(None) == ""
    assert shown(datetime(2024, 6, 12, 3, 0, 0, 999_999, tzinfo=UTC) + timedelta()).count(".") == 0


@pytest.mark.parametrize("analyser", [["an1"], {"a": 1}, 10**40, 1.5])
def test_an_analyser_that_is_no_text_is_refused_and_the_store_goes_on(made: Gateway, analyser: object) -> None:
    with pytest.raises(AgentError) as caught:
        made.answer("queue", analyser=analyser)
    assert caught.value.code == "usage"
    assert made.bench.store.failed is None
