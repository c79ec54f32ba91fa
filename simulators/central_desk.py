"""What the management system makes of one delivery: file it, call it a repeat, or refuse it; and what it answers.

The rules (design §5): the first delivery of an MSH-10 is filed. The same id with the same payload is a retry: answered
AA again, not filed again. The same id with another payload is refused (AE, 205). A message whose properties contradict
its content, or that cannot be filed, is refused. A script may override what is answered, message by message.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from simulators.acknowledgement import DUPLICATE_KEY, INTERNAL, MISSING
from simulators.central_ledger import CentralLedger, Delivery
from simulators.er7 import Message, UnreadableError, read
from simulators.verdict import judge

HL7_ROUTES = ("result", "qc", "validation")
NONE = "none"


@dataclass(frozen=True, slots=True)
class Arrival:
    """One PUBLISH with the properties that matter here; "" where a property is absent."""

    topic: str
    payload: bytes
    correlation: bytes = b""
    response_topic: str = ""
    digest: str = ""
    sequence: str = ""
    replay: str = ""
    dup: bool = False
    retained: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """One acknowledgement to send. None means the right value; anything else forges it, "" leaves it out."""

    code: str
    error: str = ""
    after_s: float = 0.0
    control_id: str | None = None
    digest: str | None = None
    correlation: bytes | None = None
    topic: str | None = None
    retain: bool = False

    @property
    def honest(self) -> bool:
        right = (self.control_id, self.digest, self.correlation, self.topic) == (None, None, None, None)
        return right and not self.retain


Answer = str | Reply | Sequence[Reply] | None
Script = Callable[[str], Answer]  # MSH-10 -> what to answer; None: as the rules say


@dataclass(frozen=True, slots=True)
class Ruling:
    """``message`` is None when the payload could not be read; ``ack_topic`` is derived from the topic received."""

    delivery: Delivery
    message: Message | None
    replies: tuple[Reply, ...]
    ack_topic: str
    correlation: bytes
    verdict: str | None = None


class Desk:
    """Decides with the ledger in front of it; within one transaction of the ledger."""

    def __init__(
        self,
        ledger: CentralLedger,
        *,
        prefix: str = "ivd/v1",
        consumer: str = "ivd",
        answer: str = "AA",
        sample_every: int = 25,
        script: Script | None = None,
    ) -> None:
        """``sample_every``: how often hl7apy looks at once (and always at the first of each kind); 0: never."""
        self._ledger, self._consumer, self._answer = ledger, consumer, answer
        self._levels = prefix.count("/") + 3  # prefix, site, gateway
        self._sample_every = sample_every
        self._seen_kinds: set[tuple[str, str]] = set()
        self._count = 0
        self.script = script

    def rule(self, arrival: Arrival) -> Ruling | None:
        """None for what is no HL7 (manifests, events): received, and nothing to answer."""
        levels = arrival.topic.split("/")
        gateway, rest = "/".join(levels[: self._levels]), levels[self._levels :]
        if len(rest) != 3 or rest[0] != "up" or rest[2] not in HL7_ROUTES:
            return None
        ack_topic = f"{gateway}/down/ack/{self._consumer}"
        delivery = Delivery(
            at=datetime.now(UTC).isoformat(timespec="microseconds"),
            topic=arrival.topic,
            gateway=gateway,
            analyser=rest[1],
            route=rest[2],
            msh10="",
            digest=hashlib.sha256(arrival.payload).hexdigest(),
            sequence=arrival.sequence,
            replay=arrival.replay,
            dup=arrival.dup,
            answer=NONE,
            filed=False,
            remarks="",
            payload=arrival.payload,
        )
        try:
            message = read(arrival.payload)
        except UnreadableError as error:
            return self._unreadable(delivery, arrival, ack_topic, str(error))
        return self._readable(replace(delivery, msh10=message.control_id), message, arrival, ack_topic)

    def _unreadable(self, delivery: Delivery, arrival: Arrival, ack_topic: str, reason: str) -> Ruling:
        delivery = replace(delivery, remarks=reason)
        return Ruling(delivery, None, (), ack_topic, arrival.correlation)

    def _readable(self, delivery: Delivery, message: Message, arrival: Arrival, ack_topic: str) -> Ruling:
        known = self._ledger.first(delivery.gateway, delivery.msh10)
        remarks = _remarks(delivery, arrival, ack_topic)
        verdict = self._look(delivery) if known is None else None
        replies = self._replies(delivery, message, known, remarks, verdict)
        already = known is not None and known[1]
        delivery = replace(
            delivery,
            answer=",".join(reply.code for reply in replies) or NONE,
            filed=not already and any(reply.code == "AA" and reply.honest for reply in replies),
            remarks="; ".join([*remarks, *message.problems]),
            observations=tuple(message.observations),
        )
        return Ruling(delivery, message, replies, ack_topic, delivery.msh10.encode(), verdict)

    def _look(self, delivery: Delivery) -> str | None:
        """hl7apy's verdict where this message is in the sample."""
        kind = (delivery.analyser, delivery.route)
        self._count += 1
        if not self._sample_every or (kind in self._seen_kinds and self._count % self._sample_every):
            return None
        self._seen_kinds.add(kind)
        return judge(delivery.payload)

    def _replies(
        self,
        delivery: Delivery,
        message: Message,
        known: tuple[str, bool] | None,
        remarks: Sequence[str],
        verdict: str | None,
    ) -> tuple[Reply, ...]:
        scripted = self.script(delivery.msh10) if self.script is not None else None
        if scripted is not None:
            return _as_replies(scripted)
        if known is not None and known[0] != delivery.digest:
            return (Reply("AE", DUPLICATE_KEY),)
        if known is not None and known[1]:
            return (Reply("AA"),)
        if message.problems:
            return (Reply("AE", MISSING),)
        if verdict or any(remark.startswith("!") for remark in remarks):
            return (Reply("AE", INTERNAL),)
        return _as_replies(self._answer)


def _as_replies(answer: str | Reply | Sequence[Reply]) -> tuple[Reply, ...]:
    if isinstance(answer, str):
        return () if answer == NONE else (Reply(answer, INTERNAL if answer in ("AE", "AR", "CE", "CR") else ""),)
    return (answer,) if isinstance(answer, Reply) else tuple(answer)


def _remarks(delivery: Delivery, arrival: Arrival, ack_topic: str) -> list[str]:
    """What is odd about the delivery; a ``!`` in front means it must not be filed like this."""
    found: list[str] = []
    if arrival.retained:
        found.append("retained under up/")
    if arrival.correlation and arrival.correlation != delivery.msh10.encode():
        found.append("! correlation data is not MSH-10")
    if arrival.digest and arrival.digest != delivery.digest:
        found.append("! digest property is not that of the payload")
    if arrival.response_topic and arrival.response_topic != ack_topic:
        found.append("response topic is not where this consumer answers")
    return found
