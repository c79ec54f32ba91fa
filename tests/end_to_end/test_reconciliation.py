"""A management system that lost what it had confirmed gets it back; a gateway that lost something says what.

Real Mosquitto, the agent as a process, a management system that keeps a ledger and compares manifests with it. What
came is counted at the wire, before anything is recognised as a repeat.
"""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from end_to_end.lab import PREFIX, AgentProcess, Bench, running_agent, running_broker, until
from end_to_end.witness import Witness, witness
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from support_broker import HOST, Broker

from simulators.analyser import Plan, send
from simulators.analyser_ledger import Row
from simulators.central import Central, CentralOptions
from simulators.oracle import compare

pytestmark = pytest.mark.broker

LOSS = 50


def plan(seed: int, count: int) -> Plan:
    return Plan("lis02_generic", count=count, seed=seed, samples=("worked_example",), analyser="gen1")


@contextmanager
def lab(folder: Path, *, reconcile: bool = True) -> Iterator[tuple[Broker, Witness, AgentProcess, Central, Bench]]:
    bench = Bench("gen1", "lis02_generic")
    with (
        running_broker(folder / "broker") as broker,
        witness(HOST, broker.port) as seen,
        running_agent(folder / "agent", broker.url, [bench]) as agent,
        Central(CentralOptions(broker.url, validate="none", reconcile=reconcile)) as central,
    ):
        yield broker, seen, agent, central, bench


def filed(agent: AgentProcess, bench: Bench, seed: int, count: int) -> list[Row]:
    rows = send(plan(seed, count), bench.url).rows
    until(agent.nothing_waits, 60, "filed")
    return rows


def manifests(seen: Witness) -> list[dict[str, Any]]:
    return [json.loads(p.payload) for p in seen.heard() if p.topic == f"{PREFIX}/up/manifest"]


def spoken_of(seen: Witness, last: int) -> bool:
    """Whether a manifest came since the newest of that number."""
    return any(e["last"] >= last for m in manifests(seen)[-1:] for e in m["analysers"])


def deliveries(central: Central) -> list[tuple[str, str, str]]:
    """(MSH-10, SHA-256 of the payload, replay) of every one, in the order they came."""
    rows = central.ledger._db.execute("SELECT msh10, digest, replay FROM delivery ORDER BY id").fetchall()
    return [tuple(row) for row in rows]


def test_a_management_system_that_lost_its_last_50_filings_gets_back_exactly_those(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simulators.central_reconciliation.MOST", 30)  # so that it has to ask twice
    with lab(tmp_path) as (_, _, agent, central, bench):
        sent = filed(agent, bench, 1, 30) + filed(agent, bench, 2, 30)
        before = deliveries(central)
        gone = central.ledger.forget(LOSS)
        assert len(gone) == LOSS
        told = central.reconciliation.manifests
        central.enquire(PREFIX)  # as it would after a restored backup, rather than wait an hour
        until(lambda: central.ledger.totals()["filed_messages"] == len(before), 60, "all are filed again")
        until(lambda: central.reconciliation.manifests >= told + 3, 30, "a manifest that shows nothing missing")

        again = deliveries(central)[len(before) :]
        assert Counter(m for m, _, _ in again) == Counter(gone)  # exactly those, once each
        assert {(m, d) for m, d, _ in again} <= {(m, d) for m, d, _ in before}  # and byte for byte
        assert {replay for _, _, replay in again} == {"operator"}
        assert central.reconciliation.asked == LOSS
        assert central.reconciliation.differing == []
        assert agent.alarms() == set()
        shown = agent.command("trace", gone[0]).stdout
        assert "missing at the management system" in shown
        verdict = compare(sent, central.ledger.filings())
        assert verdict.flawless, verdict.table()


def test_without_reconciliation_the_gap_stays(tmp_path: Path) -> None:
    """The control: the same loss, and a management system that reads no manifests."""
    with lab(tmp_path, reconcile=False) as (_, seen, agent, central, bench):
        filed(agent, bench, 1, 6)
        count = len(deliveries(central))
        gone = central.ledger.forget(4)
        central.enquire(PREFIX)
        until(lambda: spoken_of(seen, 6), 30, "the manifest was there to be read")
        assert agent.nothing_waits()
        assert central.ledger.totals()["filed_messages"] == count - len(gone)
        assert len(deliveries(central)) == count


def test_a_message_confirmed_by_mistake_and_never_filed_is_found_and_brought(tmp_path: Path) -> None:
    """Lost on the way without a word: somebody answers for the management system, which never gets the message."""
    with lab(tmp_path) as (broker, _, agent, central, bench):
        sent = filed(agent, bench, 1, 3)
        central.go_offline(clean=True)
        until(lambda: "consumer-offline" in agent.alarms(), what="the gate is closed")
        with answering_for(broker) as answered:
            sent += filed(agent, bench, 2, 1)
            assert len(answered) == 1
        forget_session(broker, "ivd-central-1")
        central.go_online()
        sent += filed(agent, bench, 3, 2)
        assert central.ledger.totals()["filed_messages"] == 5
        central.enquire(PREFIX)
        until(lambda: central.ledger.totals()["filed_messages"] == 6, 60, "the lost one is filed")
        assert [(m, r) for m, _, r in deliveries(central)][-1] == (answered[0], "operator")
        verdict = compare(sent, sorted(central.ledger.filings(), key=lambda f: int(f.sequence)))
        assert verdict.flawless, verdict.table()


def test_a_restored_gateway_names_what_it_lost_and_the_analyser_s_resend_completes_it(tmp_path: Path) -> None:
    with lab(tmp_path) as (_, _, agent, central, bench):
        sent = filed(agent, bench, 1, 3)
        (tmp_path / "out").mkdir()
        assert agent.command("backup", str(tmp_path / "out")).returncode == 0
        [file] = (tmp_path / "out").glob("*.tar")
        sent += filed(agent, bench, 2, 2)  # after the backup, and in the management system
        central.go_offline()
        lost = send(plan(3, 2), bench.url).rows  # acknowledged, and in no other place than the store
        until(lambda: not agent.ask("status")["converting"], what="and converted")
        agent.stop()
        assert agent.command("restore", str(file), "--replace").returncode == 0
        agent.start()
        assert "store-restored" in agent.alarms()
        central.go_online()
        until(lambda: "results-missing-after-restore" in agent.alarms(), 30, "the manifest was compared")
        [alarm] = [a for a in agent.ask("status")["alarms"] if a["code"] == "results-missing-after-restore"]
        assert alarm["analyser"] == "gen1"
        assert "up to number 5" in alarm["sentence"]
        assert "at 3" in alarm["sentence"]
        assert compare(sent + lost, central.ledger.filings()).of("lost")

        assert send(plan(3, 2), bench.url).rows  # what the management system does not show
        until(agent.nothing_waits, 60, "filed")
        verdict = compare(sent + lost, central.ledger.filings())
        assert verdict.flawless, verdict.table()
        assert verdict.acknowledged == 7


@contextmanager
def answering_for(broker: Broker) -> Iterator[list[str]]:
    """A stranger with the management system's rights: says it is there, and AA to everything."""
    answered: list[str] = []
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    state = "ivd/v1/_central/ivd/stranger/state"

    def subscribe(one: paho.Client, *_: Any) -> None:
        one.subscribe(f"{PREFIX}/up/+/result", 1)
        one.publish(state, b'{"online": true, "timestamp": 1}', 1, True)

    def answer(one: paho.Client, _userdata: Any, message: paho.MQTTMessage) -> None:
        key = message.properties.CorrelationData  # type: ignore[union-attr]  # every result has it
        answered.append(key.decode())
        properties = Properties(PacketTypes.PUBLISH)
        properties.CorrelationData = key
        text = f"MSH|^~\\&|IVD|CENTRAL|||20260302||ACK^R22^ACK|1|P|2.5.1\rMSA|AA|{key.decode()}\r"
        one.publish(f"{PREFIX}/down/ack/ivd", text.encode(), 1, properties=properties)

    client.on_connect, client.on_message = subscribe, answer
    client.connect(HOST, broker.port)
    client.loop_start()
    try:
        yield answered
    finally:
        client.publish(state, b"", 1, True).wait_for_publish(5)
        client.disconnect()
        client.loop_stop()


def forget_session(broker: Broker, client_id: str) -> None:
    """The broker drops the session and what it kept for it, as one does that lost its own store."""
    over: list[bool] = []
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id, protocol=paho.MQTTv5)
    client.on_connect = lambda *_: over.append(True)
    client.connect(HOST, broker.port, clean_start=True)
    client.loop_start()
    until(lambda: over, what="a clean start")
    client.disconnect()
    client.loop_stop()
