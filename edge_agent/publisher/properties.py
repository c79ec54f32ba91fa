"""The MQTT 5 properties of a message on its way up.

Binary CloudEvents: the payload is the untouched HL7 text, the attributes are user properties under their own names.
Brokers log properties, so none of them says anything of a patient: ids here are message ids.
"""

from dataclasses import dataclass

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge_agent.publisher.topics import Topics
from edge_agent.store.rows import OutboxRow
from edge_agent.times import rfc3339

HL7_TYPE = "application/hl7-v2; charset=utf-8"
JSON_TYPE = "application/json"
TEXT_TYPE = "text/plain"


@dataclass(frozen=True, slots=True)
class UserProperty:
    """One line of the contract: a user property of a result. ``pattern`` matches the whole value."""

    name: str
    pattern: str
    note: str
    always: bool = True
    words: tuple[str, ...] = ()  # instead of a pattern: the only values there are
    not_yet: bool = False  # in the design, written by nothing so far


REPLAYS = ("original", "retry", "analyser", "operator")
_MESSAGE_ID = "^[0-9A-Z]{8}-[0-9]{11}$"

RESULT_USER_PROPERTIES: tuple[UserProperty, ...] = (
    UserProperty("specversion", "^1\\.0$", "CloudEvents"),
    UserProperty("id", _MESSAGE_ID, "MSH-10: eight characters of the store, then its count"),
    UserProperty("source", "^/edge-agent/[a-z0-9-]+/[a-z0-9-]+/[a-z0-9-]+$", "site, gateway and analyser"),
    UserProperty("type", "^org\\.edge-agent\\.hl7\\.(oul\\.r22|oru\\.r01)\\.v1$", "which HL7 message it is"),
    UserProperty("time", "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z$", "when the message was made"),
    UserProperty("sequence", "^[0-9]+$", "without gaps per store and analyser, from 1"),
    UserProperty("replay", "", "what made it go out; operator: a person, or your request", words=REPLAYS),
    UserProperty("digest", "^[0-9a-f]{64}$", "SHA-256 of the payload"),
    UserProperty("replaces", _MESSAGE_ID, "the message this one takes the place of", always=False, not_yet=True),
    UserProperty("repeat-of", _MESSAGE_ID, "the message with equal content, sent long before", always=False),
)


def new_properties(packet: int) -> Properties:
    return Properties(packet)  # type: ignore[no-untyped-call]  # paho gives no types here


def result_properties(row: OutboxRow, replay: str, topics: Topics, consumer: str) -> Properties:
    """Design §5, "Result properties". ``replay``: original, retry, analyser or operator."""
    made = new_properties(PacketTypes.PUBLISH)
    made.ContentType = HL7_TYPE
    made.PayloadFormatIndicator = 1
    made.CorrelationData = row.id.encode("ascii")
    made.ResponseTopic = topics.ack(consumer)
    made.UserProperty = [
        ("specversion", "1.0"),
        ("id", row.id),
        ("source", f"/edge-agent/{topics.site}/{topics.gateway}/{row.analyser}"),
        ("type", event_type(row.payload)),
        ("time", rfc3339(row.created)),
        ("sequence", str(row.sequence)),
        ("replay", replay),
        ("digest", row.digest),
    ]
    if row.replaces:
        made.UserProperty = ("replaces", row.replaces)
    if row.repeat_of:
        made.UserProperty = ("repeat-of", row.repeat_of)
    return made


def json_properties(expiry_s: int = 0) -> Properties:
    made = new_properties(PacketTypes.PUBLISH)
    made.ContentType = JSON_TYPE
    made.PayloadFormatIndicator = 1
    if expiry_s:
        made.MessageExpiryInterval = expiry_s
    return made


def text_properties() -> Properties:
    made = new_properties(PacketTypes.PUBLISH)
    made.ContentType = TEXT_TYPE
    made.PayloadFormatIndicator = 1
    return made


def event_type(payload: bytes) -> str:
    """`org.edge-agent.hl7.oul.r22.v1` from MSH-9 `OUL^R22^OUL_R22`; the message structure is not part of it."""
    fields = payload.split(b"\r", 1)[0].split(b"|")
    parts = fields[8].decode("ascii").lower().split("^") if len(fields) > 8 and fields[8].isascii() else []
    return ".".join(["org.edge-agent.hl7", *parts[:2], "v1"])


def packet_size(topic: str, payload: bytes, properties: Properties | None) -> int:
    """Bytes of the whole QoS 1 PUBLISH packet, as Maximum Packet Size counts them (MQTT 5.0 §3.1.2.11.4)."""
    packed = len(properties.pack()) if properties is not None else 0  # type: ignore[no-untyped-call]  # paho's
    remaining = 2 + len(topic.encode("utf-8")) + 2 + packed + len(payload)
    return 1 + _length_of_length(remaining) + remaining


def _length_of_length(remaining: int) -> int:
    return 1 + sum(remaining >= limit for limit in (128, 16_384, 2_097_152))
