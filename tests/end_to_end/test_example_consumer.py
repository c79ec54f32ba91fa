"""The example of the page does what the page says, against a real gateway and a real broker."""

import hashlib
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from end_to_end.example_consumer import FILE, Consumer, consumer
from end_to_end.lab import Bench, running_agent, running_broker, until
from end_to_end.witness import Witness, witness
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import PacketTypes, Properties
from support_broker import HOST, Broker, running

from simulators.analyser import Plan, send

PAGE = FILE.with_name("mqtt-contract.md")
PATIENT = "ivd/v1/busan-02/gw-99"  # a gateway that is not there: what is sent in its name is answered on its topic
KEY = "TESTTEST-00000000001"
GOOD = f"MSH|^~\\&|x1|busan-02|||20260302||OUL^R22^OUL_R22|{KEY}|P|2.5.1\rSPM|1|7\rOBX|1|NM|A||1||||||F\r".encode()


def test_the_page_shows_the_file_word_for_word_and_it_is_short() -> None:
    [shown] = PAGE.read_text(encoding="utf-8").split("```python\n")[1:]
    text = FILE.read_text(encoding="utf-8")
    assert shown.partition("```")[0] == text
    assert len(text.splitlines()) <= 60


def results(bench: Bench, count: int, seed: int) -> None:
    plan = Plan("lis02_generic", count=count, seed=seed, samples=("worked_example",), analyser=bench.id)
    assert send(plan, bench.url).all_acknowledged


@pytest.mark.broker
@pytest.mark.slow
def test_killed_between_filing_and_answering_it_files_nothing_twice_and_leaves_nothing_unanswered(
    tmp_path: Path,
) -> None:
    bench = Bench("gen1", "lis02_generic")
    with (
        running_broker(tmp_path / "broker") as broker,
        running_agent(tmp_path / "agent", broker.url, [bench]) as agent,
        witness(HOST, broker.port) as seen,
        consumer(HOST, broker.port, tmp_path / "filed.sqlite") as system,
    ):
        system.start(killed_instead_of_answer=1)
        until(lambda: seen.saw("/_central/ivd/a/state", b'"online": true'), what="it is there")
        results(bench, 1, 1)
        until(lambda: system.ended() == -9, what="killed")
        [(msh10, topic, sequence)] = system.filed()
        assert (topic, sequence) == ("ivd/v1/seoul-01/gw-01/up/gen1/result", 1)
        assert agent.ask("status")["messages"].get("filed", 0) == 0
        until(lambda: seen.saw("/_central/ivd/a/state", b'"online": false'), what="its will")

        system.start()
        until(agent.nothing_waits, what="answered after all")
        assert system.filed() == [(msh10, topic, sequence)]
        assert [answer(p.payload) for p in seen.heard() if "/down/ack/" in p.topic] == [("AA", msh10)]

        results(bench, 5, 2)
        until(lambda: len(system.filed()) == 6, what="filed")
        until(agent.nothing_waits, what="answered")
        assert [row[2] for row in system.filed()] == [1, 2, 3, 4, 5, 6]
        until(lambda: not agent.alarms(), what="nobody is needed")


@pytest.mark.broker
def test_what_it_cannot_file_is_answered_and_what_is_not_for_it_is_left_alone(tmp_path: Path) -> None:
    with (
        running_broker(tmp_path / "broker") as broker,
        witness(HOST, broker.port) as seen,
        consumer(HOST, broker.port, tmp_path / "filed.sqlite") as system,
        gateway(broker.port) as client,
    ):
        system.start()
        until(lambda: seen.saw("/_central/ivd/a/state", b'"online": true'), what="it is there")
        foreign = f"{PATIENT}/down/ack/qc-system"
        for payload, more in (
            (b"MSH|^~\\&|cut off", {}),
            (b"", {}),
            (b"\xff\xfe|" * 12, {}),
            (GOOD, {"user": [("digest", "0" * 64), ("sequence", "1")]}),
            (GOOD, {"correlation": b"TESTTEST-00000000002"}),
            (GOOD, {"user": []}),
            (GOOD, {}),
            (GOOD, {}),  # again: a retry
            (GOOD.replace(b"|1||||||F", b"|2||||||F"), {}),  # the same id with another value
            (GOOD.replace(b"0001|P", b"0003|P"), {"correlation": b"TESTTEST-00000000003", "response": foreign}),
        ):
            client.publish(f"{PATIENT}/up/x1/result", payload, 1, False, properties(payload, **more))
        until(lambda: len(answers(seen)) == 9, what="an answer to each but the last")
        ill, other = "100^Segment sequence error^HL70357", "TESTTEST-00000000002"
        assert [(code, key) for code, key, _ in answers(seen)] == [
            *[("AE", KEY)] * 4,
            *(("AE", other), ("AE", KEY), ("AA", KEY), ("AA", KEY), ("AE", KEY)),
        ]
        assert [error for _, _, error in answers(seen)] == [*[ill] * 6, "", "", "205^Duplicate key identifier^HL70357"]
        assert system.filed() == [(KEY, f"{PATIENT}/up/x1/result", 1)]
        assert system.ended() is None


@pytest.mark.broker
def test_an_analyser_may_have_the_name_of_a_level_of_the_topic(tmp_path: Path) -> None:
    with (
        running_broker(tmp_path / "broker") as broker,
        witness(HOST, broker.port) as seen,
        consumer(HOST, broker.port, tmp_path / "filed.sqlite") as system,
        gateway(broker.port) as client,
    ):
        system.start()
        until(lambda: seen.saw("/_central/ivd/a/state", b'"online": true'), what="it is there")
        client.publish(f"{PATIENT}/up/up/result", GOOD, 1, False, properties(GOOD))
        until(lambda: answers(seen) == [("AA", KEY, "")], what="filed and answered")
        assert system.filed() == [(KEY, f"{PATIENT}/up/up/result", 1)]


@pytest.mark.broker
def test_a_broker_that_refuses_its_answers_ends_it_and_keeps_the_message_for_the_next_start(tmp_path: Path) -> None:
    """Otherwise nobody would learn why the gateway repeats itself."""
    may = f"topic read ivd/v1/#\ntopic write ivd/v1/_central/#\ntopic write {PATIENT}/up/#\n"
    with (
        running(Broker(tmp_path / "broker", acl=may)) as broker,
        witness(HOST, broker.port) as seen,
        consumer(HOST, broker.port, tmp_path / "filed.sqlite") as system,
        gateway(broker.port) as client,
    ):
        system.start()
        until(lambda: seen.saw("/_central/ivd/a/state", b'"online": true'), what="it is there")
        client.publish(f"{PATIENT}/up/x1/result", GOOD, 1, False, properties(GOOD))
        until(lambda: system.ended() == 1, what="ended by itself")
        assert "Not authorized" in system.said()
        broker.set_acl(f"{may}topic write ivd/v1/+/+/down/ack/ivd\n")
        broker.reload()
        until(lambda: "Reloading config" in broker.log, what="the broker knows")
        system.start()
        until(lambda: answers(seen) == [("AA", KEY, "")], what="answered, though nobody sent it again")
        assert [row[0] for row in system.filed()] == [KEY]


def test_what_it_calls_filed_is_in_the_folder_of_the_disk_too() -> None:
    """SQLite's FULL syncs the file, not the removal of its journal: after a power cut that may undo the commit.

    Source: sqlite.org, "PRAGMA synchronous": EXTRA (3) syncs the directory as well.
    """
    [script] = re.findall(r'executescript\("""(.*?)"""', FILE.read_text(encoding="utf-8"), re.DOTALL)
    with closing(sqlite3.connect(":memory:")) as db:
        db.executescript(script)
        assert db.execute("PRAGMA synchronous").fetchone() == (3,)


@contextmanager
def gateway(port: int) -> Iterator[paho.Client]:
    """Something that publishes."""
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    client.connect(HOST, port)
    client.loop_start()
    yield client
    client.disconnect()
    client.loop_stop()


def properties(
    payload: bytes, *, correlation: bytes = KEY.encode(), response: str = "", user: Any = None
) -> Properties:
    made = Properties(PacketTypes.PUBLISH)
    made.CorrelationData = correlation
    made.ResponseTopic = response or f"{PATIENT}/down/ack/ivd"
    given = [("digest", hashlib.sha256(payload).hexdigest()), ("sequence", "1")] if user is None else user
    if given:
        made.UserProperty = given
    return made


def answers(seen: Witness) -> list[tuple[str, str, str]]:
    """(MSA-1, MSA-2, ERR-3) of every acknowledgement, which all go to the one topic with the id as correlation data."""
    found = []
    for p in seen.heard():
        if "/down/ack/" in p.topic:
            assert p.topic == f"{PATIENT}/down/ack/ivd"
            code, key = answer(p.payload)
            assert p.correlation == key.encode()
            error = p.payload.decode().partition("\rERR|||")[2].partition("|")[0]
            found.append((code, key, error))
    return found


def answer(payload: bytes) -> tuple[str, str]:
    fields = payload.decode().split("\r")[1].split("|")
    return fields[1], fields[2]


def test_a_consumer_that_was_never_started_has_filed_nothing(tmp_path: Path) -> None:
    assert Consumer(HOST, 1, tmp_path / "none.sqlite").filed() == []
