"""What every answer means for a message: the broker's reason codes and the management system's HL7 codes, as tables.

Source: MQTT 5.0 §3.4.2.1 (PUBACK), §3.14.2.1 (DISCONNECT); HL7 tables 0008 (acknowledgement) and 0357 (error).
"""

from collections.abc import Mapping
from enum import StrEnum


class Puback(StrEnum):
    TAKEN = "taken"
    NO_SUBSCRIBER = "no-subscriber"  # taken, but nobody listens
    LATER = "later"  # the broker is busy: the same bytes again, later
    TOPIC_REFUSED = "topic-refused"  # access list: every message of this topic
    NEVER = "never"  # the broker names this message: it will not pass as things are
    RECONNECT = "reconnect"  # packet ids out of step: a fresh connection


_PUBACK: Mapping[int, Puback] = {
    0x00: Puback.TAKEN,
    0x10: Puback.NO_SUBSCRIBER,
    0x80: Puback.LATER,
    0x83: Puback.LATER,
    0x87: Puback.TOPIC_REFUSED,
    0x90: Puback.NEVER,
    0x91: Puback.RECONNECT,
    0x95: Puback.NEVER,  # not among the codes of §3.4.2.1, but Mosquitto answers it
    0x97: Puback.LATER,
    0x99: Puback.NEVER,
}

REASONS: Mapping[int, str] = {
    0x80: "the broker gave no reason",
    0x81: "the broker could not read what we sent",
    0x82: "the broker saw a protocol error",
    0x83: "the broker refused for a reason of its own",
    0x84: "the broker does not speak this version of MQTT",
    0x85: "the broker does not accept this client id",
    0x86: "user name or password is wrong",
    0x87: "the access list does not allow it",
    0x88: "the broker is not available",
    0x89: "the broker is busy",
    0x8A: "this client is banned",
    0x8B: "the broker is shutting down",
    0x8C: "the broker wants another way of authentication",
    0x8D: "the broker heard nothing from us in time",
    0x8E: "another client took over this client id",
    0x90: "the broker does not accept the topic name",
    0x91: "the packet id is in use",
    0x93: "more messages were in flight than the broker allows",
    0x95: "the message is larger than the broker allows",
    0x97: "a quota of the broker is used up",
    0x98: "an administrator closed the connection",
    0x99: "the broker does not accept the payload",
    0x9A: "the broker keeps no retained messages",
    0x9B: "the broker does not support QoS 1",
    0x9C: "the broker asks to use another server",
    0x9D: "the broker has moved",
    0x9F: "the broker limits the rate of connections",
}

NAMED = frozenset({0x90, 0x95, 0x99})  # the broker says this very message cannot pass
TAKEOVER = 0x8E


def on_puback(code: int) -> Puback:
    """Any code >= 0x80 that is not in the table means: refused, keep, again later."""
    verdict = _PUBACK.get(code)
    if verdict is None:
        return Puback.LATER if code >= 0x80 else Puback.TAKEN
    return verdict


def reason(code: int, text: str = "") -> str:
    """The reason code in words, the broker's own reason string appended."""
    words = REASONS.get(code, "no known reason")
    own = f': "{text[:200]}"' if text else ""
    return f"{words} (0x{code:02X}){own}"


class Answer(StrEnum):
    FILED = "filed"
    RECEIVED = "received"  # CA: commit accept closes nothing
    REJECTED_SOON = "rejected-soon"  # the fault may pass by itself: normal back-off
    REJECTED_SLOW = "rejected-slow"  # every 30 min for 24 h, then by a person


# Table 0357: 204 unknown key identifier (the order may still come), 206 application record locked, 207 application
# internal error.
_PASSING = frozenset({"204", "206", "207"})


def on_answer(code: str, error: str) -> Answer:
    """MSA-1 and ERR-3.1 ("" when no ERR segment came). Raises KeyError for what is not in table 0008."""
    kind = _ANSWERS[code]
    if kind is not Answer.REJECTED_SLOW:
        return kind
    if error in _PASSING or (not error and code in ("AR", "CR")):
        return Answer.REJECTED_SOON
    return Answer.REJECTED_SLOW


_ANSWERS: Mapping[str, Answer] = {
    "AA": Answer.FILED,
    "CA": Answer.RECEIVED,
    "AE": Answer.REJECTED_SLOW,
    "AR": Answer.REJECTED_SLOW,
    "CE": Answer.REJECTED_SLOW,
    "CR": Answer.REJECTED_SLOW,
}
