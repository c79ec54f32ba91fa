"""The two clocks: one for people, one for timers.

``now`` is wall time and may jump; nothing here waits on it. ``monotonic`` never jumps and carries every timer; where
the machine can be suspended it counts that time, too (CLOCK_BOOTTIME), so that what came before it is as old as it is.
Both are injected so that tests can move them.
"""

import sys
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
        return _since_the_boot()


def _since_the_boot() -> float:
    if sys.platform == "linux":
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()
