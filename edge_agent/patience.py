"""Says when something that usually takes milliseconds has taken too long.

One timer looks after all that begins while it runs, so that a wait costs no timer of its own.
"""

import asyncio
from collections.abc import Callable


class Patience:
    def __init__(self, limit_s: float, on_exhausted: Callable[[], None]) -> None:
        """``on_exhausted`` is called once for each wait that lasts ``limit_s`` seconds."""
        self._limit_s = limit_s
        self._on_exhausted = on_exhausted
        self._since: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        loop = asyncio.get_running_loop()
        self._since = loop.time()
        if self._timer is None:
            self._timer = loop.call_later(self._limit_s, self._look)

    def end(self) -> None:
        self._since = None

    def stop(self) -> None:
        """No timer is left."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        if self._since is None:
            return
        loop = asyncio.get_running_loop()
        due = self._since + self._limit_s
        if loop.time() < due:
            self._timer = loop.call_at(due, self._look)
            return
        self._since = None
        self._on_exhausted()
