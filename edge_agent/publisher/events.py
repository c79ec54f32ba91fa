"""What can happen on a connection to the broker, as values. A connection's number tells late news from fresh."""

from dataclasses import dataclass, field
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Connected:
    """CONNACK: taken or refused."""

    connection: int
    code: int
    session_present: bool
    receive_maximum: int  # 65535 when the broker gave none
    maximum_packet: int | None  # bytes; None = no limit given
    text: str = ""


@dataclass(frozen=True, slots=True)
class Subscribed:
    connection: int
    mid: int
    codes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PubackCame:
    connection: int
    mid: int
    code: int
    text: str


@dataclass(frozen=True, slots=True)
class Received:
    """A PUBLISH to us. Its own PUBACK is owed, to this connection only."""

    connection: int
    mid: int
    qos: int
    topic: str
    payload: bytes = field(repr=False)
    retained: bool
    correlation: bytes | None
    user: tuple[tuple[str, str], ...]


class Cause(StrEnum):
    BROKER = "broker"  # the broker's DISCONNECT; the code says why
    DROPPED = "dropped"  # the connection ended without a word
    NETWORK = "network"  # it could not be opened, or nothing came in time
    CERTIFICATE = "certificate"  # a certificate or key of either side
    CLOSED = "closed"  # by us


@dataclass(frozen=True, slots=True)
class Ended:
    """The last item of a connection, always."""

    connection: int
    cause: Cause
    code: int | None
    reason: str  # a clause a person can read


Event = Connected | Subscribed | PubackCame | Received | Ended
