"""What connections post from their threads, until the publisher takes it: one wake-up of the loop for all that came.

Promises: nothing posted is forgotten, and it is taken in the order it was posted. Two events a message, each with a
wake-up of its own, cost more than what is done about them.
"""

import asyncio
from collections import deque

from edge_agent.publisher.events import Event


class Inbox:
    def __init__(self) -> None:
        self._events: deque[Event] = deque()
        self._something = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._called = False

    def open(self) -> None:
        """From now on the running loop takes what is posted."""
        self._loop = asyncio.get_running_loop()

    def post(self, event: Event) -> None:
        """From any thread."""
        assert self._loop is not None
        self._events.append(event)
        if self._called:
            return  # the call that is on its way comes after this event
        self._called = True
        try:
            self._loop.call_soon_threadsafe(self._look)
        except RuntimeError:  # the loop is closed: there is nobody left to tell
            return

    def wake(self) -> None:
        """Whoever waits stops waiting, with nothing; nobody does: the next one does not wait."""
        self._something.set()

    async def wait(self, seconds: float) -> list[Event]:
        """What is there as soon as something is; empty after ``seconds`` (none to wait, if negative) or when woken."""
        try:
            async with asyncio.timeout(seconds):
                await self._something.wait()
        except TimeoutError:
            return []
        self._something.clear()
        return [self._events.popleft() for _ in range(len(self._events))]

    def _look(self) -> None:
        self._called = False  # before they are taken: what is posted from now on calls again
        self._something.set()
