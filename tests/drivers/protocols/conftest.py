"""One link under test, fed in every way a port may cut its reads."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from drivers.protocols import lis01


@dataclass(frozen=True)
class Stored:
    chunks: int = 1


def as_one(data: bytes) -> Iterator[bytes]:
    yield data


def by_size(size: int) -> Callable[[bytes], Iterator[bytes]]:
    def cut(data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), size):
            yield data[start : start + size]

    return cut


class Link:
    """A receiver, a clock that only moves when told, and a store that always (or never) works."""

    def __init__(self, dialect: lis01.Dialect, cut: Callable[[bytes], Iterator[bytes]], glued: bool = False) -> None:
        self.dialect = dialect
        self.receiver = lis01.Receiver(dialect)
        self.now = 100.0
        self.stores = True
        self._events: list[lis01.Event] = []
        self._answers = b""
        self._cut = cut
        self._glued = glued
        self._unsent = b""

    def send(self, data: bytes) -> None:
        """Give bytes to the link, cut into reads; glued: kept back and given with the next ones in one read."""
        self._unsent += data
        if not self._glued:
            self._deliver()

    def wait(self, seconds: float) -> None:
        """Let time pass; deadlines on the way are kept exactly."""
        self._deliver()
        end = self.now + seconds
        while (due := self.receiver.deadline) is not None and due <= end:
            self.now = due
            self.receiver.expire(self.now)
            self._drain()
        self.now = end

    def lose(self) -> None:
        self._deliver()
        self.receiver.link_lost()
        self._drain()

    @property
    def events(self) -> list[lis01.Event]:
        self._deliver()
        return self._events

    @property
    def answers(self) -> bytes:
        self._deliver()
        return self._answers

    @property
    def names(self) -> list[str]:
        """The events in words: reasons where there are any."""
        return [_name(e) for e in self.events]

    @property
    def frames(self) -> list[lis01.FrameReceived]:
        return [e for e in self.events if isinstance(e, lis01.FrameReceived)]

    @property
    def text(self) -> bytes:
        return b"".join(f.text for f in self.frames) if self.stores else b""

    @property
    def raw(self) -> bytes:
        return b"".join(getattr(e, "raw", b"") for e in self.events)

    def lost_bytes(self, data: bytes) -> bytes:
        """Bytes of ``data`` (all that was sent) that are in no event, in their order, and are no control byte."""
        swallowed = b"\x00\r\n\x04\x05" + (b"\x03" if self.dialect.checksum == "gs_hex" else b"")
        at, lost = 0, b""
        for raw in (e.raw for e in self.events if getattr(e, "raw", b"")):
            while at < len(data) and not data.startswith(raw, at):
                lost += data[at : at + 1].strip(swallowed)
                at += 1
            at += len(raw)
        return lost + data[at:].strip(swallowed)

    def _deliver(self) -> None:
        data, self._unsent = self._unsent, b""
        for read in self._cut(data):
            if read:
                self.receiver.receive(read, self.now)
                self._drain()

    def _drain(self) -> None:
        while (event := self.receiver.next_event(self.now)) is not None:
            self._events.append(event)
            if isinstance(event, lis01.FrameReceived):
                receiver = self.receiver
                self._answers += receiver.acknowledge(event, Stored()) if self.stores else receiver.refuse(event)
            else:
                self._answers += event.answer


def _name(event: lis01.Event) -> str:
    reason = getattr(event, "reason", "")
    return type(event).__name__ + (f"({reason})" if reason else "")


FEEDS = {
    "one read each": (as_one, False),
    "byte by byte": (by_size(1), False),
    "three bytes": (by_size(3), False),
    "sixteen bytes, glued": (by_size(16), True),
    "glued": (as_one, True),
}


@pytest.fixture(params=FEEDS)
def link(request: pytest.FixtureRequest) -> Callable[..., Link]:
    """Makes links; the same test runs for each way of cutting."""
    cut, glued = FEEDS[request.param]
    return lambda dialect=None: Link(dialect or lis01.Dialect(), cut, glued)


@pytest.fixture(scope="session")
def plain() -> Callable[..., Link]:
    """Makes links that read what they are sent; ``size`` cuts reads."""
    return lambda dialect=None, size=0: Link(dialect or lis01.Dialect(), by_size(size) if size else as_one)
