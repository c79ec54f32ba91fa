"""An event loop whose time passes only when nothing is left to do: hours in milliseconds, in one thread."""

import asyncio
import selectors
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any


class StandstillError(AssertionError):
    """Nothing can happen any more: everybody waits for somebody, and no timer is set."""


TURN_S = 1e-6  # what a turn of the loop takes: a timer that is due within its resolution fires before its time


class _Leap(selectors.SelectSelector):
    """Instead of waiting for a timer, moves the clock to it."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise StandstillError
            self.now += max(timeout, TURN_S)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._leap = _Leap()
        super().__init__(self._leap)
        self.broken: list[Mapping[str, Any]] = []
        self.set_exception_handler(lambda loop, context: self.broken.append(context))

    def time(self) -> float:
        return self._leap.now


class VirtualClock:
    """``monotonic`` is the loop's time; ``now`` is that plus what somebody did to the wall clock."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self._wall = datetime(2026, 3, 2, 1, 0, tzinfo=UTC)

    def now(self) -> datetime:
        return self._wall + timedelta(seconds=self._loop.time())

    def monotonic(self) -> float:
        return self._loop.time()

    def jump(self, by: timedelta) -> None:
        self._wall += by
