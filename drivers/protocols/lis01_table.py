"""The receiver's transition table: LIS01-A2's diagram with our policies for what it leaves open.

State -> signal -> action and next state. A signal that is missing in a state's row is a defect of the caller or of the
receiver, and raises; whatever an analyser does has a row.
"""

from collections.abc import Mapping
from enum import IntEnum, auto
from types import MappingProxyType
from typing import NamedTuple


class State(IntEnum):
    IDLE = auto()  # neutral
    OPEN = auto()  # transfer phase, waiting for a frame or EOT
    HELD = auto()  # a frame waits for its receipt


class Signal(IntEnum):
    ENQ = auto()  # in IDLE, and we are ready
    ENQ_AGAIN = auto()  # before the first frame of a session, or the dialect says it means nothing
    ENQ_ANEW = auto()  # after frames: the sender lost its state
    ENQ_BUSY = auto()
    EOT = auto()
    EOT_EARLY = auto()  # before the first frame, and the dialect says it means nothing
    NEW = auto()  # a good frame that follows the last one
    NEW_UNASKED = auto()  # a good first frame without ENQ
    REPEAT = auto()
    BAD = auto()  # damaged, or a number that cannot be
    NOISE = auto()
    BARE = auto()
    TIMEOUT = auto()
    QUIET = auto()  # silence ends the message, in dialects where it does
    LOST = auto()
    STORED = auto()
    NOT_STORED = auto()


class Step(NamedTuple):
    action: str  # name of a method of Receiver, without underscore
    next: State


S, G = State, Signal

# A.10 of the standard's diagram, with the local policies: repeats, ENQ in mid-session, frames without ENQ.
TABLE: Mapping[State, Mapping[Signal, Step]] = MappingProxyType(
    {
        S.IDLE: {
            G.ENQ: Step("open", S.OPEN),
            G.ENQ_BUSY: Step("busy", S.IDLE),
            G.EOT: Step("ignore", S.IDLE),
            G.NEW_UNASKED: Step("hold_unasked", S.HELD),
            G.BARE: Step("hold_unasked", S.HELD),
            G.NEW: Step("noise", S.IDLE),
            G.REPEAT: Step("noise", S.IDLE),
            G.BAD: Step("noise", S.IDLE),
            G.NOISE: Step("noise", S.IDLE),
            G.LOST: Step("ignore", S.IDLE),
        },
        S.OPEN: {
            G.ENQ_AGAIN: Step("open_again", S.OPEN),
            G.ENQ_ANEW: Step("reopen", S.OPEN),
            G.ENQ_BUSY: Step("busy", S.IDLE),
            G.EOT: Step("close_eot", S.IDLE),
            G.EOT_EARLY: Step("ignore", S.OPEN),
            G.NEW: Step("hold", S.HELD),
            G.NEW_UNASKED: Step("reopen_unasked", S.HELD),
            G.BARE: Step("hold", S.HELD),
            G.REPEAT: Step("repeat", S.OPEN),
            G.BAD: Step("refuse_frame", S.OPEN),
            G.NOISE: Step("noise", S.OPEN),
            G.TIMEOUT: Step("close_timeout", S.IDLE),
            G.QUIET: Step("close_idle", S.IDLE),
            G.LOST: Step("close_link", S.IDLE),
        },
        # Nothing from the wire is looked at before the store has spoken.
        S.HELD: {
            G.STORED: Step("accept", S.OPEN),
            G.NOT_STORED: Step("forget", S.OPEN),
        },
    }
)
