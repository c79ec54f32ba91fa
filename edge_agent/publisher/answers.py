"""Reading an acknowledgement: whose it is, what it names, and whether it may close that message.

An acknowledgement closes a message only if the consumer it comes from (by its topic) is the one of the message's
route, MSA-2 and the correlation data both are our MSH-10, the message has gone out, and the digest, if given or
required, is that of the bytes we sent. Everything else closes nothing and is alarmed. Source: HL7 v2.5.1 §2.9 (MSA),
design invariant 6.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from edge_agent.publisher.events import Received
from edge_agent.publisher.options import MqttOptions
from edge_agent.publisher.verdicts import Answer, on_answer
from edge_agent.states import MessageState
from edge_agent.store.rows import Addressed, OutboxRow
from hl7.ack import read_ack
from hl7.errors import NotAnAckError

_TEXT = 300  # characters of a consumer's own words that are kept


class Wrong(StrEnum):
    """Why an acknowledgement closes nothing: the code of its alarm."""

    FOREIGN = "foreign-ack"
    DIGEST = "digest-mismatch"


@dataclass(frozen=True, slots=True)
class AckMessage:
    consumer: str
    code: str  # MSA-1
    control_id: str  # MSA-2
    error: str  # ERR-3.1
    detail: str = field(repr=False)  # for the store only: the consumer's own text may name a patient
    correlation: bytes | None
    digest: str | None
    farewells: int = 0  # of its consumer, heard before it: a later one is newer than this answer


@dataclass(frozen=True, slots=True)
class Outcome:
    answer: Answer | None = None
    wrong: Wrong | None = None
    analyser: str = ""
    digest_ok: bool | None = None  # of one that holds; None = no digest was given
    state: MessageState | None = None  # what the message is now

    @property
    def decides(self) -> bool:
        return self.answer is not None and self.answer is not Answer.RECEIVED


def read(message: Received, consumer: str, farewells: int = 0) -> AckMessage | None:
    """The acknowledgement in ``message``; None when it is none."""
    try:
        ack = read_ack(message.payload)
        on_answer(ack.code, ack.error_code)
    except (NotAnAckError, KeyError):
        return None
    digest = next((value.lower() for name, value in message.user if name == "digest"), None)
    detail = " ".join(word for word in (ack.error_code, ack.severity, ack.text[:_TEXT]) if word)
    error = ack.error_code
    return AckMessage(consumer, ack.code, ack.control_id, error, detail, message.correlation, digest, farewells)


def judge(ack: AckMessage, row: OutboxRow | Addressed | None, options: MqttOptions) -> Outcome:
    """What ``ack`` means for ``row``, the message its MSA-2 names."""
    if row is None or options.consumers[row.route] != ack.consumer:
        return Outcome(wrong=Wrong.FOREIGN)
    if not row.attempts:
        # Ids follow one another, so they can be guessed. Nobody can have filed what never went out.
        return Outcome(wrong=Wrong.FOREIGN, analyser=row.analyser)
    if ack.correlation is not None and ack.correlation != row.id.encode("ascii"):
        return Outcome(wrong=Wrong.FOREIGN, analyser=row.analyser)
    if ack.correlation is None and options.version == "5":
        return Outcome(wrong=Wrong.FOREIGN, analyser=row.analyser)
    given = None if ack.digest is None else ack.digest == row.digest
    if given is False or (given is None and options.require_digest):
        return Outcome(wrong=Wrong.DIGEST, analyser=row.analyser)
    answer = on_answer(ack.code, ack.error)
    return Outcome(answer, None, row.analyser, given)
