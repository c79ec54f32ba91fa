"""The contract as a document: well-formed by the rules of AsyncAPI 3.0, true to the tables, and of the site that asks.

No schema of AsyncAPI is at hand offline, so its rules that matter are checked one by one: required fields, references
that lead somewhere, operations whose messages are those of their channel, parameters that are those of the address.
Sources: AsyncAPI 3.0.0 "Channel Object", "Operation Object"; MQTT bindings 0.2.0.
"""

import json
import re
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from jsonschema import Draft7Validator, FormatChecker
from judge.second_opinion import second_opinion
from judge.verdict import judge

from edge_agent.cli.main import main
from edge_agent.clock import SystemClock
from edge_agent.contract.as_yaml import to_yaml
from edge_agent.contract.document import CHANNELS, Place, document
from edge_agent.contract.messages import ACKNOWLEDGEMENT, CENTRAL_STATE_MESSAGE, RESULT
from edge_agent.publisher.gate import BadStateError, Gate
from edge_agent.publisher.topics import TOPICS
from hl7.ack import read_ack

SHIPPED = Path(__file__).parents[3] / "config" / "asyncapi.yaml"
CONFIG = """
[agent]
site = "busan-02"
gateway = "gw-77"
[mqtt]
urls = ["mqtts://broker.hospital:8883"]
prefix = "lab/edge/v1"
consumer = { result = "lis", qc = "qc-system", validation = "lis" }
keepalive_s = 20
will_delay_s = 5
username = "gw-77"
password_file = "not-to-be-read"
[[analyser]]
id = "xn1"
profile = "sysmex_xn"
transport = "tcp-server://127.0.0.1:5600"
"""


def faults(doc: dict[str, Any]) -> list[str]:
    """What breaks the rules of AsyncAPI 3.0.0."""
    return [
        *_missing(doc),
        *(f"{ref} leads nowhere" for ref in _references(doc) if _resolve(doc, ref) is None),
        *_wrong_parameters(doc),
        *_wrong_operations(doc),
        *_wrong_schemas(doc),
    ]


def _missing(doc: dict[str, Any]) -> Iterator[str]:
    if doc.get("asyncapi") != "3.0.0":
        yield "asyncapi is not 3.0.0"
    yield from (f"info has no {name}" for name in ("title", "version") if not doc.get("info", {}).get(name))
    yield from (f"server has no {n}" for s in doc["servers"].values() for n in ("host", "protocol") if not s.get(n))
    allowed = {"address", "title", "description", "parameters", "messages", "bindings", "servers", "summary", "tags"}
    for name, channel in doc["channels"].items():
        unknown = {key for key in channel if not key.startswith("x-")} - allowed
        yield from (f"channel {name}: {key} is no field of it" for key in sorted(unknown))


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for inner in value.values():
            yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)


def _resolve(doc: dict[str, Any], ref: str) -> Any:
    found: Any = doc
    for key in ref.removeprefix("#/").split("/"):
        found = found.get(key) if isinstance(found, dict) else None
    return found


def _wrong_parameters(doc: dict[str, Any]) -> Iterator[str]:
    for name, channel in doc["channels"].items():
        if set(re.findall(r"\{([^}]+)\}", channel["address"])) != set(channel.get("parameters", {})):
            yield f"channel {name}: the parameters are not those of the address"


def _wrong_operations(doc: dict[str, Any]) -> Iterator[str]:
    for name, operation in doc["operations"].items():
        if operation.get("action") not in ("send", "receive"):
            yield f"operation {name}: neither send nor receive"
        channel = operation["channel"]["$ref"]
        for part, home in ((operation, channel), (operation.get("reply", {}), "#/channels/ack")):
            for message in part.get("messages", []):
                if not message["$ref"].startswith(f"{home}/messages/"):
                    yield f"operation {name}: {message['$ref']} is no message of its channel"
        if (_resolve(doc, channel) or {}).get("x-not-yet"):
            yield f"operation {name}: on a topic nothing uses yet"


def _wrong_schemas(doc: dict[str, Any]) -> Iterator[str]:
    for name, message in doc["components"]["messages"].items():
        for part in ("payload", "headers"):
            if part in message and list(Draft7Validator(Draft7Validator.META_SCHEMA).iter_errors(message[part])):
                yield f"message {name}: {part} is no schema"
    for name, schema in doc["components"]["schemas"].items():
        if list(Draft7Validator(Draft7Validator.META_SCHEMA).iter_errors(schema)):
            yield f"schema {name} is none"


def test_the_document_keeps_the_rules_of_asyncapi() -> None:
    assert faults(document()) == []


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        (lambda d: d["channels"]["ack"].update(address="a/{b}"), "channel ack: the parameters"),
        (lambda d: d["components"]["messages"].pop("alarm"), "#/components/messages/alarm leads nowhere"),
        (lambda d: d["components"]["schemas"].pop("ClockInfo"), "#/components/schemas/ClockInfo leads nowhere"),
        (lambda d: d["operations"]["sendQc"].update(action="publish"), "neither send nor receive"),
        (lambda d: d["operations"]["sendQc"].update(channel={"$ref": "#/channels/info"}), "no message of its channel"),
        (lambda d: d["operations"]["sendQc"].update(channel={"$ref": "#/channels/order"}), "nothing uses yet"),
        (lambda d: d["channels"]["info"].update(qos=1), "qos is no field of it"),
        (lambda d: d["components"]["schemas"]["State"].update(type="text"), "schema State is none"),
        (lambda d: d["info"].pop("version"), "info has no version"),
    ],
)
def test_a_document_that_breaks_one_is_seen(spoil: Any, found: str) -> None:
    doc = deepcopy(document())
    spoil(doc)
    assert [fault for fault in faults(doc) if found in fault] != []


def test_every_topic_of_the_table_has_its_channel_and_no_other_has() -> None:
    assert [row.pattern for row in TOPICS] == list(CHANNELS)
    assert len({channel.name for channel in CHANNELS.values()}) == len(CHANNELS)
    assert set(document()["channels"]) == {channel.name for channel in CHANNELS.values()} | {"centralState"}


def test_every_example_keeps_its_own_schema() -> None:
    doc = document()
    for name, message in doc["components"]["messages"].items():
        [example] = message["examples"]
        for part in ("payload", "headers"):
            if part in message:
                schema = {**message[part], "components": doc["components"]}
                errors = list(Draft7Validator(schema, format_checker=FormatChecker()).iter_errors(example[part]))
                assert errors == [], name


def test_the_example_of_a_result_is_one_the_judges_accept() -> None:
    payload = RESULT.example.encode()
    assert [str(f) for f in judge(payload, route="result")] == []
    assert second_opinion(payload) == []


def test_the_example_of_an_acknowledgement_closes_the_example_of_a_result() -> None:
    ack = read_ack(ACKNOWLEDGEMENT.example.encode())
    assert (ack.code, ack.control_id) == ("AA", RESULT.example_headers["id"])
    assert ACKNOWLEDGEMENT.example_headers["digest"] == RESULT.example_headers["digest"]


def test_the_gate_takes_the_state_the_document_describes_and_no_less() -> None:
    gate = Gate(("ivd",), SystemClock())
    gate.heard("ivd", "a", json.dumps(CENTRAL_STATE_MESSAGE.example).encode())
    for name in CENTRAL_STATE_MESSAGE.schema["required"]:
        short = {k: v for k, v in CENTRAL_STATE_MESSAGE.example.items() if k != name}
        with pytest.raises(BadStateError):
            gate.heard("ivd", "a", json.dumps(short).encode())


def test_the_shipped_file_says_what_the_code_says() -> None:
    assert yaml.safe_load(SHIPPED.read_text(encoding="utf-8")) == document()


@pytest.mark.parametrize(
    "value",
    [
        *(
            "",
            "no",
            "Null",
            "3.0",
            "1e3",
            "a: b",
            "a #b",
            "- a",
            "a\rb\n",
            '"',
            "한글",
            " a",
            "a ",
            "$ref",
            "2026-03-02",
        ),
        *({}, [], None, True, 1.5, [[1, 2], [3]], [{"a": [1], "b": {}}, "x"], {"yes": [{"c": {"d": "e"}}]}),
    ],
)
def test_a_reader_of_yaml_reads_what_was_written(value: Any) -> None:
    assert yaml.safe_load(to_yaml({"key": value, "on": [value]})) == {"key": value, "on": [value]}


def test_the_command_prints_the_general_contract_where_nothing_is_configured(monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.delenv("EDGE_AGENT_CONFIG", raising=False)
    monkeypatch.setattr("edge_agent.configuration.file.DEFAULT_PATH", tmp_path / "none.toml")
    done = CliRunner().invoke(main, ["asyncapi"])
    assert yaml.safe_load(done.stdout) == document()


def test_the_command_prints_the_contract_of_the_configured_site(tmp_path: Path) -> None:
    config = tmp_path / "edge-agent.toml"
    config.write_text(CONFIG, encoding="utf-8")
    done = CliRunner().invoke(main, ["--config", str(config), "asyncapi", "--json"])
    doc = json.loads(done.stdout)
    assert faults(doc) == []
    assert doc["channels"]["result"]["address"] == "lab/edge/v1/busan-02/gw-77/up/{analyser}/result"
    assert doc["channels"]["centralState"]["address"] == "lab/edge/v1/_central/{consumer}/{instance}/state"
    assert doc["components"]["parameters"]["analyser"]["enum"] == ["xn1"]
    assert doc["components"]["parameters"]["consumer"]["enum"] == ["lis", "qc-system"]
    assert set(doc["channels"]["state"]) & {"parameters"} == set()
    [server] = doc["servers"].values()
    assert (server["host"], server["protocol"]) == ("broker.hospital:8883", "secure-mqtt")
    assert server["bindings"]["mqtt"]["keepAlive"] == 20
    assert server["bindings"]["mqtt"]["x-will-delay-interval"] == 5
    pattern = doc["components"]["messages"]["result"]["bindings"]["mqtt"]["responseTopic"]["pattern"]
    assert re.search(pattern, "lab/edge/v1/busan-02/gw-77/down/ack/qc-system")
    assert not re.search(pattern, "lab/edge/v1/busan-02/gw-77/down/ack/ivd")
    assert Place().response_topic == "^ivd/v1/[a-z0-9-]{1,32}/[a-z0-9-]{1,32}/down/ack/[a-z0-9-]{1,32}$"
