"""The interface every port shares: bytes in, bytes out, and who is at the other end."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol, runtime_checkable

from edge_agent.transport.line_errors import LineErrors


@dataclass(frozen=True, slots=True)
class LinkState:
    """What a person may be told about a port."""

    up: bool
    since: datetime
    reason: str = ""  # one sentence when down


class Connection(Protocol):
    """One open byte stream. After ``read`` returned b"" it is dead."""

    peer: str

    async def read(self, patience_s: float | None = None) -> bytes | None:
        """Whatever bytes are there, at least one; b"" when the other side is gone; None when none came in time."""

    async def write(self, data: bytes) -> None:
        """Send all of ``data``. Raises ConnectionError when the other side is gone."""

    async def close(self) -> None:
        """Close at once; safe to call twice."""


OnConnection = Callable[[Connection], Awaitable[None]]
OnState = Callable[[LinkState], None]


class Transport(Protocol):
    """A way for analysers to reach us. Construction touches nothing; ``run`` touches the world."""

    async def run(self, on_connection: OnConnection, on_state: OnState) -> None:
        """Serve until cancelled. Reopens a lost port by itself with capped back-off; never raises for a lost port."""


class Refusal(StrEnum):
    """Why a caller was turned away."""

    NOT_ALLOWED = "not allowed"  # its address is not on the list
    FULL = "full"  # the port has as many connections as it may have


OnRefused = Callable[[Refusal, str], None]  # and the caller's address


@runtime_checkable
class Guarded(Protocol):
    """A transport that others call, and that may turn them away."""

    on_refused: OnRefused


@runtime_checkable
class Counting(Protocol):
    """A transport whose driver may count damaged bytes."""

    @property
    def line_errors(self) -> LineErrors | None:
        """None where nothing counts."""


@runtime_checkable
class Listening(Protocol):
    """A transport whose callers may be named anew while it runs."""

    def admit(self, peers: Sequence[str]) -> None:
        """Who may connect from now on, as in ``peer`` of the configuration. Who is connected stays."""
