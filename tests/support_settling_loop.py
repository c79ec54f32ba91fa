"""An event loop whose time passes only when everything has been done that could be, and only as far as it is told.

With a `Steps` clock for what is tested and for the loop, an hour is over at once and nothing depends on the machine.
"""

import asyncio
import selectors
from typing import Any

from support_delivery import Steps

_SPINNING = 20_000  # turns without anything to wait for


class _Selector(selectors.SelectSelector):
    """Does not wait: remembers for how long it was to."""

    def __init__(self) -> None:
        super().__init__()
        self.loop: asyncio.AbstractEventLoop | None = None
        self.idle_for: float | None = None  # None: until something comes from outside
        self._turns = 0

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            self._turns += 1
            assert self._turns < _SPINNING, "it turns round and round and waits for nothing"
            return ready
        self._turns, self.idle_for = 0, timeout
        assert self.loop is not None
        self.loop.stop()
        return ready


class SettlingLoop(asyncio.SelectorEventLoop):
    def __init__(self, clock: Steps) -> None:
        self._hand = clock
        self._waiting = _Selector()
        super().__init__(self._waiting)
        self._waiting.loop = self

    def time(self) -> float:
        return self._hand.seconds

    def settle(self) -> None:
        """Do all that can be done now."""
        self.run_forever()

    def let_pass(self, seconds: float) -> None:
        """Do all that is due within ``seconds``, each at its time."""
        end = self._hand.seconds + seconds
        self.settle()
        while (wait := self._waiting.idle_for) is not None and self._hand.seconds + wait <= end:
            self._hand.seconds += wait
            self.settle()
        self._hand.seconds = max(self._hand.seconds, end)
        self.settle()
