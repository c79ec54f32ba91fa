"""The two clocks: one for people, one for timers.

``now`` is wall time and may jump; nothing here waits on it. ``monotonic`` never jumps and carries every timer.
Both are injected so that tests can move them.
"""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    def now(self) -> datetime:
        """The wall clock, UTC, timezone-aware."""

    def monotonic(self) -> float:
        """Seconds since some fixed moment."""


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()
