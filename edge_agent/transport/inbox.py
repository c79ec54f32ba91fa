"""Bytes that have come and wait for their session.

Promised: nothing that was put is lost by a cancelled ``get``; the end is told after the last byte. Not promised: a
limit. Whoever puts looks at ``size`` and stops reading its port (TCP window, serial thread) when it is too large.
"""

import asyncio

LIMIT = 256 * 1024  # bytes waiting at which a port stops reading


class Inbox:
    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._ended = False
        self._news = asyncio.Event()
        self.size = 0

    def put(self, data: bytes) -> None:
        self._chunks.append(data)
        self.size += len(data)
        self._news.set()

    def end(self) -> None:
        self._ended = True
        self._news.set()

    @property
    def full(self) -> bool:
        return self.size >= LIMIT

    async def get(self) -> bytes:
        """Everything there is, at least one byte; b"" at the end, again and again."""
        await self._news.wait()
        data = b"".join(self._chunks)
        self._chunks.clear()
        self.size = 0
        if not self._ended:
            self._news.clear()
        return data
