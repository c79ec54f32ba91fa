"""The interface every port shares: bytes in, bytes out, and who is at the other end."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class LinkState:
    """What a person may be told about a port."""

    up: bool
    since: datetime
    reason: str = ""  # one sentence when down


class Connection(Protocol):
    """One open byte stream. After ``read`` returned b"" it is dead."""

    peer: str

    async def read(self) -> bytes:
        """Whatever bytes are there, at least one; b"" when the other side is gone."""

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
