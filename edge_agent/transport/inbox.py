"""Bytes that have come and wait for their session.

Promised: nothing that was put is lost by a cancelled ``get``; the end is told after the last byte. Not promised: a
limit. Whoever puts looks at ``size`` and stops reading its port (TCP window, serial thread) when it is too large.

One timer serves many waits: it is set again only when it has run out, not for every read.
"""

import asyncio

LIMIT = 256 * 1024  # bytes waiting at which a port stops reading


class Inbox:
    """For one reader at a time."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._ended = False
        self._reader: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.size = 0

    def put(self, data: bytes) -> None:
        self._chunks.append(data)
        self.size += len(data)
        self._wake()

    def end(self) -> None:
        self._ended = True
        self._wake()
        self._stop_timer()

    @property
    def full(self) -> bool:
        return self.size >= LIMIT

    async def get(self, patience_s: float | None = None) -> bytes | None:
        """Everything there is, at least one byte; b"" at the end, again and again; None when nothing came in time."""
        loop = asyncio.get_running_loop()
        until = None if patience_s is None else loop.time() + patience_s
        while not self._chunks and not self._ended:
            if until is not None and loop.time() >= until:
                return None
            await self._wait(loop, until)
        data = b"".join(self._chunks)
        self._chunks.clear()
        self.size = 0
        return data

    async def _wait(self, loop: asyncio.AbstractEventLoop, until: float | None) -> None:
        """For bytes, the end, or a timer that may be an earlier wait's."""
        if until is not None and (self._timer is None or self._timer.when() > until):
            self._stop_timer()
            self._timer = loop.call_at(until, self._time_is_up)
        self._reader = loop.create_future()
        await self._reader

    def _time_is_up(self) -> None:
        self._timer = None
        self._wake()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
