"""The contract in both directions: what is published is in the document, and what is in the document is published."""

import json
import re
import socket
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from end_to_end.contract import Contract, Publication
from end_to_end.lab import GATEWAY, PREFIX, SITE, Bench, running_agent, running_broker, until
from end_to_end.plain_sender import send as send_bytes
from end_to_end.witness import Witness, witness
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from support_broker import HOST

from edge_agent.contract.document import document
from simulators.analyser import Plan, send
from simulators.central import Central, CentralOptions
from simulators.central_desk import Reply

OVERRIDE = "usual_gap_s = 3600\n[result]\nresend_horizon_s = 0\n"  # equal results without a time: sent, and marked
UNTIMED = ("H|\\^&", "P|1||P-1017", "O|1|S24-0028||^^^NA|R", "R|1|^^^NA|140|mmol/L||N||F", "L|1|N")
# Said only when the broker answers before the gateway's ports are open.
# Depends on the moment, and on whether this machine has a time service that says.
CHANCE = {"never seen: message state: $.state = starting", "never seen: message health: $.clock.synchronised"}


def transmission(*records: str) -> bytes:
    """LIS01-A2 §6.3: frame number, text, CR, ETX, and the sum of all that."""
    made = b"\x05"
    for number, record in enumerate(records, start=1):
        body = b"%d%s\r\x03" % (number % 8, record.encode())
        made += b"\x02%s%02X\r\n" % (body, sum(body) % 256)
    return made + b"\x04"


def one(bench: Bench, sample: str, seed: int) -> None:
    plan = Plan("lis02_generic", count=1, seed=seed, samples=(sample,), analyser=bench.id)
    assert send(plan, bench.url).all_acknowledged


def lab(folder: Path) -> tuple[list[Bench], Bench]:
    down = Bench("down1", "lis02_generic")
    down = replace(down, transport=f"tcp-client://127.0.0.1:{down.port}")
    benches = [Bench("gen1", "lis02_generic"), Bench("val1", "lis02_generic", mode="validation"), down]
    (folder / "devices.d").mkdir(parents=True)
    (folder / "devices.d" / "lis02_generic.toml").write_text(OVERRIDE, encoding="utf-8")
    return benches, Bench("gone1", "lis02_generic")


@pytest.mark.broker
@pytest.mark.slow
def test_a_full_run_and_the_document_differ_in_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "agent"
    benches, gone = lab(folder)
    mqtt = "keepalive_s = 5\nwill_delay_s = 0\nack_timeout_s = 1\nretry_max_s = 1"
    with (
        running_broker(tmp_path / "broker") as broker,
        witness(HOST, broker.port) as seen,
        running_agent(folder, broker.url, [*benches, gone], mqtt) as agent,
        Central(CentralOptions(broker.url, validate="none", reconcile=True)) as central,
    ):
        until(lambda: seen.saw(f"{GATEWAY}/state", b'"ready"'), what="ready")
        results_of_every_kind(agent, benches, central, seen)
        what_was_lost_and_found(broker.port, central, seen)
        trouble_and_its_end(agent, benches, central, seen)
        assert agent.stop() == 0
        until(lambda: seen.saw(f"{GATEWAY}/state", b'"offline"'), what="offline")

        text = agent.config.read_text(encoding="utf-8")
        agent.config.write_text(text.replace(gone.toml(), ""), encoding="utf-8")
        agent.listening -= {gone.id}
        agent.start()
        until(lambda: seen.cleared(f"analyser/{gone.id}/state"), what="a former analyser's state is cleared")
        central.set_script(lambda _: "none")
        one(benches[0], "worked_example", 40)
        until(lambda: agent.ask("queue", state="at-broker")["messages"], what="waits for its answer")
        agent.kill()
        until(lambda: seen.saw(f"{GATEWAY}/state", b'"lost"'), what="the will")
        agent.start()
        central.set_script(None)
        until(agent.nothing_waits, what="filed in the end")
        central.stop()
        assert agent.stop() == 0
        until(lambda: seen.heard()[-1].topic.endswith("state"), what="the last word")
        contract, publications = Contract(document()), seen.heard()
        assert len(publications) > 50
        assert contract.differences(publications) == []
        assert set(contract.unseen(publications)) - CHANCE == set()
        assert subscriptions(broker.log) == contract_subscriptions(contract)


def results_of_every_kind(agent: Any, benches: list[Bench], central: Central, seen: Witness) -> None:
    """Result, control, validation; an equal one again; the same once more, asked for by analyser and by a person."""
    gen, val, _ = benches
    one(gen, "worked_example", 1)
    one(gen, "control_by_action_code", 2)
    one(val, "worked_example", 3)
    for _ in range(2):
        assert set(send_bytes(HOST, gen.port, transmission(*UNTIMED))) == {b"\x06", b""}
    until(lambda: central.ledger.totals()["filed_messages"] >= 5, what="filed")
    until(agent.nothing_waits, what="nothing waits")
    one(gen, "worked_example", 1)
    until(lambda: replayed(seen, "analyser"), what="the analyser's resend brings the message once more")
    until(agent.nothing_waits, what="nothing waits")
    [first] = [f.msh10 for f in central.ledger.filings() if f.route == "validation"][:1]
    assert agent.command("retry", first, "--again", "--note", "wanted again").returncode == 0
    until(lambda: replayed(seen, "operator"), what="a person's retry brings it once more")


def what_was_lost_and_found(port: int, central: Central, seen: Witness) -> None:
    """The management system says that it has more than the gateway, loses something, and gets it back."""
    [head] = [h for h in central.ledger.heads(PREFIX) if h[1] == "gen1"]
    more = {"store": head[0], "analyser": head[1], "last_filed": head[2] + 1, "gaps": []}
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    client.connect(HOST, port)
    client.loop_start()
    said = Properties(PacketTypes.PUBLISH)
    said.ContentType, said.PayloadFormatIndicator, said.MessageExpiryInterval = "application/json", 1, 60
    client.publish(f"{PREFIX}/down/reconcile", json.dumps(more), 1, properties=said).wait_for_publish(10)
    client.disconnect()
    client.loop_stop()
    until(lambda: seen.saw("alarm/results-missing-after-restore.gen1", b"last_filed"), what="heard")
    filed = central.ledger.totals()["filed_messages"]
    central.ledger.forget(2)
    central.enquire(PREFIX)
    until(lambda: central.ledger.totals()["filed_messages"] == filed, what="filed again")


def trouble_and_its_end(agent: Any, benches: list[Bench], central: Central, seen: Witness) -> None:
    """Rejected and tried again, unanswered, the management system away and back, a line that comes and goes, a hold."""
    gen, val, down = benches
    central.set_script(lambda _: Reply("AE", error="103"))
    one(gen, "worked_example", 10)
    until(lambda: seen.saw("alarm/rejected.gen1", b"rejected"), what="the alarm")
    central.set_script(None)
    [row] = agent.ask("queue", state="rejected")["messages"]
    assert agent.command("retry", row["id"], "--note", "mapped now").returncode == 0
    until(lambda: seen.cleared("alarm/rejected.gen1"), what="the alarm is over")

    central.set_script(lambda _: "none")
    one(gen, "worked_example", 11)
    until(lambda: replayed(seen, "retry"), what="sent again")
    central.set_script(None)
    until(agent.nothing_waits, what="filed")

    central.go_offline()
    until(lambda: seen.saw(f"{GATEWAY}/state", b'"degraded"'), what="degraded")
    central.go_online()
    until(lambda: "consumer-offline" not in agent.alarms(), what="the gate is open")

    until(lambda: seen.saw("analyser/down1/state", b'"down"'), what="a line is down")
    with socket.create_server((HOST, down.port)), socket.create_connection((HOST, val.port), timeout=10) as line:
        line.sendall(b"\x05")  # and nothing more: a transmission that stays open until the gateway has said so
        assert line.recv(1) == b"\x06"
        until(lambda: seen.saw("analyser/down1/state", b'"up"'), what="it is up")
        until(lambda: seen.saw("analyser/val1/state", b'"receiving"'), what="receiving")


def replayed(seen: Witness, word: str) -> bool:
    return any(("replay", word) in p.user for p in seen.heard())


def subscriptions(log: str) -> set[str]:
    """What the gateway asked for, as the broker wrote it down."""
    found = re.findall(rf"(?m)^\t?\s*(ivd/v1/(?:{SITE}/{GATEWAY}|_central)/\S+) \(QoS 1\)$", log)
    return set(found)


def contract_subscriptions(contract: Contract) -> set[str]:
    here = {f.replace("ivd/v1/+/+/", f"ivd/v1/{SITE}/{GATEWAY}/") for f in contract.subscriptions()}
    return {f.replace("_central/+", "_central/ivd").replace("ack/+", "ack/ivd") for f in here}


# The checker itself: what it accepts and what it must not


def examples(doc: dict[str, Any]) -> Iterator[Publication]:
    """One publication of each message of each channel, made of the document's own examples."""
    for operation in doc["operations"].values():
        name = operation["channel"]["$ref"].rpartition("/")[2]
        for message in doc["channels"][name]["messages"]:
            yield example(doc, name, message, operation["bindings"]["mqtt"])


def example(doc: dict[str, Any], channel: str, message: str, binding: dict[str, Any]) -> Publication:
    made = doc["components"]["messages"][message]
    said, mqtt = made["examples"][0], made["bindings"]["mqtt"]
    payload = said["payload"] if isinstance(said["payload"], str) else json.dumps(said["payload"])
    return Publication(
        re.sub(r"\{[^}]+\}", "x1", doc["channels"][channel]["address"]),
        payload.encode(),
        retain=binding["retain"],
        content_type=made["contentType"],
        format=1,
        expiry=binding.get("messageExpiryInterval"),
        correlation=b"0A1B2C3D-00000000017" if "correlationData" in mqtt else None,
        response_topic="ivd/v1/x1/x1/down/ack/ivd" if "responseTopic" in mqtt else None,
        user=tuple(said.get("headers", {}).items()),
    )


def on(name: str) -> Publication:
    doc = document()
    channel = next(c for c in doc["channels"] if c == name)
    [operation] = [o for o in doc["operations"].values() if o["channel"]["$ref"].endswith(f"/{channel}")][:1]
    return example(doc, name, next(iter(doc["channels"][name]["messages"])), operation["bindings"]["mqtt"])


def test_the_documents_own_examples_are_in_the_document() -> None:
    doc = document()
    made = list(examples(doc))
    assert len(made) > 12
    assert Contract(doc).differences(made) == []


@pytest.mark.parametrize(
    ("spoiled", "fault"),
    [
        (replace(on("result"), user=(*on("result").user, ("patient", "x"))), "user property: Additional properties"),
        (replace(on("result"), user=on("result").user[1:]), "'specversion' is a required property"),
        (replace(on("result"), user=(*on("result").user, on("result").user[0])), "a user property twice"),
        (replace(on("result"), user=(*on("result").user, ("replaces", "0A1B2C3D-00000000001"))), "marked not yet"),
        (replace(on("result"), correlation=None), "correlationData is missing"),
        (replace(on("result"), response_topic="ivd/v1/a/b/down/order/x"), "responseTopic is not as described"),
        (replace(on("result"), retain=True), "retain True"),
        (replace(on("result"), qos=0), "QoS 0"),
        (replace(on("result"), expiry=60), "expiry 60"),
        (replace(on("result"), format=None), "payload format None"),
        (replace(on("result"), content_type="text/plain"), "content type text/plain"),
        (replace(on("result"), payload=b"PID|1"), "payload: $"),
        (replace(on("result"), payload=b""), "no message of the channel"),
        (replace(on("health"), expiry=None), "expiry None"),
        (replace(on("state"), payload=on("state").payload.replace(b"{", b'{"extra": 1, ', 1)), "Additional properties"),
        (replace(on("state"), payload=on("state").payload.replace(b"ready", b"fine")), "'fine' is not one of"),
        (replace(on("state"), correlation=b"1"), "correlationData is undeclared"),
        (replace(on("state"), topic="ivd/v1/x1/x1/status"), "no channel has this topic"),
        (replace(on("state"), topic="ivd/v1/x1/x1/up/event"), "channel event is marked not yet"),
    ],
)
def test_a_publication_the_document_does_not_describe_is_seen(spoiled: Publication, fault: str) -> None:
    found = Contract(document()).differences([spoiled])
    assert [f for f in found if fault in f] != [], found


def test_a_channel_that_is_missing_in_the_document_is_seen() -> None:
    doc = deepcopy(document())
    made = list(examples(doc))
    del doc["channels"]["qc"], doc["operations"]["sendQc"]
    assert [f for f in Contract(doc).differences(made) if "no channel has this topic" in f] != []


def test_what_nobody_publishes_is_seen() -> None:
    doc = deepcopy(document())
    doc["components"]["schemas"]["State"]["properties"]["mood"] = {"type": "string"}
    made = [p for p in examples(doc) if not p.topic.endswith("/qc")]
    unseen = Contract(doc).unseen(made)
    assert "never seen: channel qc" in unseen
    assert "never seen: message state: $.mood" in unseen
    assert "never seen: message result: property repeat-of" in unseen
    assert "never seen: message result: property replaces" not in unseen
    assert not [fact for fact in unseen if "event" in fact]
    assert "never seen: channel result" not in unseen


def test_what_is_published_though_it_is_marked_not_yet_is_seen() -> None:
    spoken = replace(on("analyserState"), payload=on("analyserState").payload.replace(b'"idle"', b'"sending"'))
    unseen = Contract(document()).unseen([spoken])
    assert "seen though marked not yet: message analyserState: $.protocol = sending" in unseen
