"""Every state and every way from one to the next; the same words on page, CLI, API, metrics and docs.

What is not in a table is an error (``IllegalTransitionError``): a row that would skip a state is a defect.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

S = TypeVar("S", bound=StrEnum)
E = TypeVar("E", bound=StrEnum)


class TransmissionState(StrEnum):
    RECEIVING = "receiving"
    COMPLETE = "complete"
    INTERRUPTED = "interrupted"
    COMPLETED_BY = "completed-by"  # an interrupted one whose rest came with the analyser's resend


class ItemState(StrEnum):
    """A specimen group, or one observation in it."""

    RECEIVED = "received"
    CONVERTED = "converted"
    DUPLICATE = "duplicate"
    HELD = "held"
    FAILED = "failed"


class MessageState(StrEnum):
    QUEUED = "queued"
    AT_BROKER = "at-broker"
    FILED = "filed"
    REJECTED = "rejected"
    BLOCKED = "blocked"
    SUPERSEDED = "superseded"
    SET_ASIDE = "set-aside"


class TransmissionEvent(StrEnum):
    ENDED = "ended"
    BROKEN = "broken"
    RESENT = "resent"


class ItemEvent(StrEnum):
    CONVERT = "convert"
    REPEAT = "repeat"
    HOLD = "hold"
    FAIL = "fail"
    RELEASE = "release"


class MessageEvent(StrEnum):
    PUBACK = "puback"
    REFUSED = "refused"  # PUBACK >= 0x80
    ACCEPTED = "accepted"  # application ACK AA
    DENIED = "denied"  # application ACK AE, AR, CE, CR
    BLOCK = "block"
    REQUEUE = "requeue"  # by rule or by a person
    SUPERSEDE = "supersede"
    SET_ASIDE = "set-aside"


class IllegalTransitionError(Exception):
    """An event came in a state that does not know it."""

    def __init__(self, state: StrEnum, event: StrEnum) -> None:
        super().__init__(f"{event} cannot happen to something {state}")


T, G, M = TransmissionState, ItemState, MessageState
TE, IE, ME = TransmissionEvent, ItemEvent, MessageEvent

TRANSMISSION: Mapping[TransmissionState, Mapping[TransmissionEvent, TransmissionState]] = {
    T.RECEIVING: {TE.ENDED: T.COMPLETE, TE.BROKEN: T.INTERRUPTED},
    T.INTERRUPTED: {TE.RESENT: T.COMPLETED_BY},
    T.COMPLETE: {},
    T.COMPLETED_BY: {},
}

ITEM: Mapping[ItemState, Mapping[ItemEvent, ItemState]] = {
    G.RECEIVED: {IE.CONVERT: G.CONVERTED, IE.REPEAT: G.DUPLICATE, IE.HOLD: G.HELD, IE.FAIL: G.FAILED},
    G.HELD: {IE.RELEASE: G.RECEIVED},
    G.FAILED: {IE.RELEASE: G.RECEIVED},
    G.CONVERTED: {},
    G.DUPLICATE: {},
}

# An application ACK may come in any state: after a retry, after a person's decision, even after another verdict.
_OPEN = {ME.ACCEPTED: M.FILED, ME.DENIED: M.REJECTED, ME.SET_ASIDE: M.SET_ASIDE, ME.SUPERSEDE: M.SUPERSEDED}

MESSAGE: Mapping[MessageState, Mapping[MessageEvent, MessageState]] = {
    M.QUEUED: {ME.PUBACK: M.AT_BROKER, ME.REFUSED: M.QUEUED, ME.BLOCK: M.BLOCKED, ME.REQUEUE: M.QUEUED, **_OPEN},
    M.AT_BROKER: {
        ME.PUBACK: M.AT_BROKER,
        ME.REFUSED: M.QUEUED,
        ME.BLOCK: M.BLOCKED,
        ME.REQUEUE: M.QUEUED,
        **_OPEN,
    },
    M.REJECTED: {ME.PUBACK: M.REJECTED, ME.REFUSED: M.REJECTED, ME.REQUEUE: M.QUEUED, ME.BLOCK: M.BLOCKED, **_OPEN},
    M.BLOCKED: {ME.PUBACK: M.AT_BROKER, ME.REFUSED: M.BLOCKED, ME.REQUEUE: M.QUEUED, ME.BLOCK: M.BLOCKED, **_OPEN},
    M.FILED: {ME.PUBACK: M.FILED, ME.REFUSED: M.FILED, ME.ACCEPTED: M.FILED, ME.DENIED: M.FILED},
    M.SUPERSEDED: {
        ME.PUBACK: M.SUPERSEDED,
        ME.REFUSED: M.SUPERSEDED,
        ME.ACCEPTED: M.SUPERSEDED,
        ME.DENIED: M.SUPERSEDED,
    },
    M.SET_ASIDE: {
        ME.PUBACK: M.SET_ASIDE,
        ME.REFUSED: M.SET_ASIDE,
        ME.ACCEPTED: M.FILED,
        ME.DENIED: M.SET_ASIDE,
    },
}

OPEN_MESSAGE_STATES = (M.QUEUED, M.AT_BROKER, M.REJECTED, M.BLOCKED)


def after_transmission(state: TransmissionState, event: TransmissionEvent) -> TransmissionState:
    return _look_up(TRANSMISSION, state, event)


def after_item(state: ItemState, event: ItemEvent) -> ItemState:
    return _look_up(ITEM, state, event)


def after_message(state: MessageState, event: MessageEvent) -> MessageState:
    return _look_up(MESSAGE, state, event)


def _look_up(table: Mapping[S, Mapping[E, S]], state: S, event: E) -> S:
    try:
        return table[state][event]
    except KeyError:
        raise IllegalTransitionError(state, event) from None
