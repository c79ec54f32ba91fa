"""The messages of the contract, each with its schema, its MQTT properties and an example.

JSON payloads have the schemas of the models they are written with; user properties come from the table they are checked
against. HL7 payloads are described by name: what is in them is the message profile's matter, not JSON Schema's.
"""

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from edge_agent.monitor.manifest import AnalyserManifest, Interval, Manifest, Reconcile
from edge_agent.monitor.payloads import (
    AlarmState,
    AnalyserState,
    AuditHead,
    ClockInfo,
    Health,
    Info,
    Payload,
    ProfileInfo,
    State,
)
from edge_agent.publisher.properties import HL7_TYPE, JSON_TYPE, RESULT_USER_PROPERTIES, TEXT_TYPE, UserProperty

BINDING = "0.2.0"  # of the MQTT bindings for AsyncAPI
MODELS: tuple[type[Payload], ...] = (State, Info, Health, AlarmState, AnalyserState, Manifest, Reconcile)
_WORDS_NOT_YET = {("AnalyserState", "protocol"): ("sending", "error")}  # in the design, said by nothing so far
_REFERENCE = "#/components/schemas/{model}"


@dataclass(frozen=True, slots=True)
class Message:
    """``schema`` is JSON Schema (draft 07). ``expiry_s`` and retaining belong to the topic, not to the message."""

    name: str
    title: str
    content_type: str
    schema: dict[str, Any]
    example: Any
    summary: str = ""
    headers: dict[str, Any] = field(default_factory=dict)
    example_headers: dict[str, str] = field(default_factory=dict)
    correlated: bool = False
    answered: bool = False  # the response topic is set

    def described(self, response_topic: str) -> dict[str, Any]:
        """As a Message Object; ``response_topic`` is a pattern."""
        binding: dict[str, Any] = {"payloadFormatIndicator": 1, "contentType": self.content_type}
        if self.correlated:
            binding["correlationData"] = {"type": "string", "pattern": "^[ -~]{1,20}$", "description": "MSH-10"}
        if self.answered:
            binding["responseTopic"] = {"type": "string", "pattern": response_topic}
        made: dict[str, Any] = {"name": self.name, "title": self.title}
        if self.summary:
            made["summary"] = self.summary
        made["contentType"] = self.content_type
        example: dict[str, Any] = {"name": self.name}
        if self.headers:
            made["headers"] = self.headers
            example["headers"] = self.example_headers
        made["payload"] = self.schema
        made["bindings"] = {"mqtt": {**binding, "bindingVersion": BINDING}}
        made["examples"] = [{**example, "payload": self.example}]
        return made


class _WithoutTitles(GenerateJsonSchema):
    """A field's title would be its name again."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def json_schemas() -> dict[str, Any]:
    """The models' schemas as they are written to the wire, by name."""
    _, found = models_json_schema(
        [(model, "serialization") for model in MODELS], ref_template=_REFERENCE, schema_generator=_WithoutTitles
    )
    for (model, name), words in _WORDS_NOT_YET.items():
        found["$defs"][model]["properties"][name]["x-not-yet"] = list(words)
    return dict(found["$defs"])


def _hl7(summary: str, structures: str, profile: str) -> dict[str, Any]:
    return {
        "type": "string",
        "description": f"{summary} Segments end with a carriage return, not MLLP frames.",
        "pattern": r"^MSH\|\^~\\&\|",
        "x-hl7": {"version": "2.5.1", "message": structures, "profile": profile, "encoding": "ER7", "charset": "UTF-8"},
    }


def _of(name: str, model: type[Payload], title: str, example: Payload) -> Message:
    schema = {"$ref": _REFERENCE.format(model=model.__name__)}
    return Message(name, title, JSON_TYPE, schema, example.model_dump(mode="json"))


_AT = datetime(2026, 3, 2, 1, 30, tzinfo=UTC)
_SESSION = "5f0c1e7ab2d94c3f8e6a7b1d20"
_RESULT = (
    "MSH|^~\\&|xn1|seoul-01|IVD|CENTRAL|20260302103000+0900||OUL^R22^OUL_R22|0A1B2C3D-00000000017|P|2.5.1|||NE|AL||"
    "UNICODE UTF-8|||LAB-29^IHE\r"
    "PID|||PID77||^^^^^^U\r"
    "SPM|1|0012345678||WB^Whole blood^HL70487|||||||P^Patient^HL70369\r"
    "SAC|||0012345678\r"
    'OBR||""||WBC^^99LOC\r'
    "ORC|SC||||CM\r"
    "OBX|1|NM|WBC^^99LOC||6.4|10*3/uL^10*3/uL^99LOC|4.0 to 10.0|N^^HL70078|||F|||||op||XN-10^SYSMEX|"
    "20260302102955+0900||||||||||RSLT\r"
)
_ACK = (
    "MSH|^~\\&|IVD|CENTRAL|xn1|seoul-01|20260302013001+0000||ACK^R22^ACK|C0000000001|P|2.5.1||||||UNICODE UTF-8\r"
    "MSA|AA|0A1B2C3D-00000000017\r"
)
_DIGEST = hashlib.sha256(_RESULT.encode("utf-8")).hexdigest()


def _header(one: UserProperty) -> dict[str, Any]:
    made: dict[str, Any] = {"type": "string", "description": one.note}
    made |= {"enum": list(one.words)} if one.words else {"pattern": one.pattern}
    return {**made, "x-not-yet": True} if one.not_yet else made


_RESULT_HEADERS = {
    "type": "object",
    "properties": {one.name: _header(one) for one in RESULT_USER_PROPERTIES},
    "required": [p.name for p in RESULT_USER_PROPERTIES if p.always],
    "additionalProperties": False,
}
_ACK_HEADERS = {
    "type": "object",
    "properties": {
        "digest": {
            "type": "string",
            "pattern": "^[0-9a-fA-F]{64}$",
            "description": "SHA-256 of the payload that was filed; wanted where the site sets require_digest",
        }
    },
    "additionalProperties": False,
}

RESULT = Message(
    "result",
    "Results of one specimen and transmission",
    HL7_TYPE,
    _hl7("One OUL^R22 (IHE LAW, LAB-29), or ORU^R01 where the site says so.", "OUL^R22^OUL_R22", "LAB-29^IHE"),
    _RESULT,
    "Answer it with an acknowledgement once it is filed for good.",
    _RESULT_HEADERS,
    {
        "specversion": "1.0",
        "id": "0A1B2C3D-00000000017",
        "source": "/edge-agent/seoul-01/gw-01/xn1",
        "type": "org.edge-agent.hl7.oul.r22.v1",
        "time": "2026-03-02T01:30:00.000Z",
        "sequence": "12",
        "replay": "original",
        "digest": _DIGEST,
    },
    correlated=True,
    answered=True,
)
ACKNOWLEDGEMENT = Message(
    "acknowledgement",
    "The management system's answer to one result",
    HL7_TYPE,
    _hl7("MSA-2 and the correlation data are the MSH-10 of the message answered.", "ACK^R22^ACK or ACK^R01^ACK", ""),
    _ACK,
    "AA closes the message. AE and AR keep it, with an alarm. CA closes nothing.",
    _ACK_HEADERS,
    {"digest": _DIGEST},
    correlated=True,
)
NONCE = Message(
    "nonce",
    "A nonce the gateway sends to itself",
    TEXT_TYPE,
    {"type": "string", "pattern": "^[0-9a-f]{32}$"},
    "9f86d081884c7d659a2feaa0c55ad015",
)
CLEARED = Message(
    "cleared",
    "No longer true",
    JSON_TYPE,
    {"type": "string", "maxLength": 0, "description": "No payload at all: the broker forgets what it retained here."},
    "",
)
CENTRAL_STATE_MESSAGE = Message(
    "centralState",
    "Whether one instance of the management system is there",
    JSON_TYPE,
    {
        "type": "object",
        "properties": {
            "online": {"type": "boolean"},
            "timestamp": {
                "type": "number",
                "description": "Of this connection's birth, in ms since 1970. The will carries its birth's own.",
            },
        },
        "required": ["online", "timestamp"],
        "additionalProperties": False,
    },
    {"online": True, "timestamp": 1772415000000},
)
STATE = _of(
    "state", State, "State of the gateway", State(state="ready", session=_SESSION, ts=_AT, version="0.1.0", reason="")
)
INFO = _of(
    "info",
    Info,
    "What runs on the gateway",
    Info(
        version="0.1.0",
        site="seoul-01",
        gateway="gw-01",
        store="0A1B2C3D",
        config_hash="0" * 64,
        profiles=(ProfileInfo(analyser="xn1", profile="sysmex_xn", revision=1, hash="0" * 64, mode="production"),),
    ),
)
HEALTH = _of(
    "health",
    Health,
    "Heartbeat",
    Health(
        ts=_AT,
        store="0A1B2C3D",
        backlog=1,
        queued=0,
        at_broker=1,
        filed=16,
        rejected=0,
        blocked=0,
        oldest_unfiled_s=2,
        held=0,
        failed=0,
        disk_free_mb=20480,
        clock=ClockInfo(now=_AT),
        audit=AuditHead(entry=3, hash="0" * 64),
        alarms=0,
    ),
)
ALARM = _of(
    "alarm",
    AlarmState,
    "An alarm that is up",
    AlarmState(id="held.xn1", severity="error", since=_AT, analyser="xn1", text_key="held", params={"count": "2"}),
)
ANALYSER_STATE = _of(
    "analyserState",
    AnalyserState,
    "State of one analyser's link",
    AnalyserState(link="up", protocol="idle", since=_AT, last_byte=_AT, last_result=_AT, usual_gap_s=3600),
)
MANIFEST = _of(
    "manifest",
    Manifest,
    "What was confirmed, to be compared with what the management system has",
    Manifest(
        ts=_AT,
        analysers=(
            AnalyserManifest(
                store="0A1B2C3D",
                analyser="xn1",
                oldest=1,
                last=4,
                intervals=(
                    Interval(
                        route="result",
                        first=1,
                        last=4,
                        count=2,
                        # worked out in docs/mqtt-contract.md, "Reconciliation"
                        digest="16d0e3de19e658ded0f3d1202325f1468859dcf1d7c34826febe2d6cbd1a0d30",
                        not_counted=((2, 2), (4, 4)),
                    ),
                ),
            ),
        ),
    ),
)
RECONCILE = _of(
    "reconcile",
    Reconcile,
    "What the management system misses of one store and analyser",
    Reconcile(store="0A1B2C3D", analyser="xn1", last_filed=1812, gaps=((3, 3), (1790, 1801))),
)

MESSAGES = (
    *(STATE, INFO, HEALTH, ALARM, ANALYSER_STATE, CLEARED, MANIFEST, RECONCILE),
    *(RESULT, ACKNOWLEDGEMENT, NONCE, CENTRAL_STATE_MESSAGE),
)
