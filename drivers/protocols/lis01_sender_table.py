"""The sender's transition table (LIS01-A2's diagram). A signal that is missing in a state's row raises."""

from collections.abc import Mapping
from enum import IntEnum, auto
from types import MappingProxyType
from typing import NamedTuple


class SenderState(IntEnum):
    IDLE = auto()
    WAITING = auto()  # something to send, and the line must be left alone for a while
    ASKED = auto()  # ENQ sent
    SENT = auto()  # a frame sent


class SenderSignal(IntEnum):
    START = auto()
    ACK = auto()
    ACK_LAST = auto()  # to the last frame
    NAK = auto()  # to a frame also every other wrong answer (§6.3.4)
    NAK_LAST = auto()  # the limit is reached
    ENQ = auto()  # to our ENQ: both asked at once
    EOT = auto()  # to a frame: accepted, please stop (§6.3.5)
    EOT_LAST = auto()  # to the last frame
    EOT_HONOURED = auto()  # between two texts, and we do stop
    OTHER = auto()  # to our ENQ: no answer at all
    TIMEOUT = auto()
    LOST = auto()


class SenderStep(NamedTuple):
    action: str  # name of a method of Sender, without underscore
    next: SenderState


S, G, N = SenderState, SenderSignal, SenderStep

SENDER_TABLE: Mapping[SenderState, Mapping[SenderSignal, SenderStep]] = MappingProxyType(
    {
        S.IDLE: {
            G.START: N("ask", S.ASKED),
            G.LOST: N("ignore", S.IDLE),
        },
        S.WAITING: {
            G.TIMEOUT: N("ask", S.ASKED),
            G.LOST: N("abort_link", S.IDLE),
        },
        S.ASKED: {
            G.ACK: N("send_first", S.SENT),
            G.NAK: N("wait_busy", S.WAITING),
            G.ENQ: N("wait_contention", S.WAITING),
            G.OTHER: N("ignore", S.ASKED),
            G.TIMEOUT: N("abort_no_reply", S.IDLE),
            G.LOST: N("abort_link", S.IDLE),
        },
        S.SENT: {
            G.ACK: N("send_next", S.SENT),
            G.ACK_LAST: N("finish", S.IDLE),
            G.NAK: N("send_again", S.SENT),
            G.NAK_LAST: N("abort_refused", S.IDLE),
            G.EOT: N("note_interrupt", S.SENT),
            G.EOT_LAST: N("finish_interrupted", S.IDLE),
            G.EOT_HONOURED: N("abort_interrupted", S.IDLE),
            G.TIMEOUT: N("abort_no_reply", S.IDLE),
            G.LOST: N("abort_link", S.IDLE),
        },
    }
)
