"""Every configured analyser's link, and the ports that several of them share.

Promised: when the configuration changes only the links whose own facts changed are ended and begun; whoever sends on
another line, or on the same port from another address, does not notice. Every listening port is one that may be shared,
so that an analyser can be added to it while it is open. Not promised: that an analyser whose link is ended is not
interrupted; what was acknowledged of its transmission is kept, and it sends the whole again.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from drivers.protocols.lis01 import Dialect
from edge_agent.clock import Clock
from edge_agent.intake import Endings
from edge_agent.link import Link
from edge_agent.monitor.alarms import Alarms
from edge_agent.store.rows import Source
from edge_agent.store.thread import StoreThread
from edge_agent.transport.base import Listening, Transport
from edge_agent.transport.open import transport_for
from edge_agent.transport.shared import Share, SharedListener


@dataclass(frozen=True, slots=True)
class Line:
    """All that a link is made from: while it stays equal, the link is left alone."""

    url: str
    peer: tuple[str, ...]
    source: Source  # without the peer of a connection
    dialect: Dialect
    part: str = ""  # what it is called where its analyser has several

    @property
    def analyser(self) -> str:
        return self.source.analyser


class _Port:
    """A listening port, open as long as anybody has a share in it."""

    def __init__(self, transport: Transport) -> None:
        self.listener = SharedListener(transport)
        self.task: asyncio.Task[None] | None = None


class Links:
    def __init__(
        self,
        lines: Sequence[Line],
        store: StoreThread,
        clock: Clock,
        rng: Random,
        alarms: Alarms,
        on_stored: Callable[[], None],
        disk_low: Callable[[], bool],
    ) -> None:
        """``links`` is live: whoever holds the list sees it change."""
        self._store = store
        self._clock = clock
        self._rng = rng
        self._alarms = alarms
        self._on_stored = on_stored
        self._disk_low = disk_low
        self._endings = Endings(store, on_stored)
        self._ports: dict[str, _Port] = {}
        self._shares: dict[Line, tuple[str, Share]] = {}
        self._tasks: dict[Line, asyncio.Task[None]] = {}
        self._group = asyncio.TaskGroup()
        self._serving = asyncio.Event()
        self._made = {line: self._make(line) for line in lines}
        self.links = list(self._made.values())

    async def run(self) -> None:
        """Serve every analyser until cancelled."""
        async with self._group:
            self._group.create_task(self._endings.run(), name="endings")
            self._start()
            self._serving.set()
            await asyncio.Event().wait()  # also without any link: what is stored is delivered all the same

    async def tried(self) -> None:
        """Returns when every port was opened, or could not be."""
        for link in list(self.links):
            await link.tried()

    async def stop(self, lines: Sequence[Line]) -> None:
        """End every link that is not among ``lines``; returns when each has stored the end of what it was receiving."""
        await self._serving.wait()
        gone = [line for line in self._made if line not in lines]
        for line in gone:
            self._tasks[line].cancel()
        await asyncio.gather(*(self._tasks.pop(line) for line in gone), return_exceptions=True)
        for line in gone:
            self._endings.take_over(self._made.pop(line).endings)
            self._leave(line)
        await self._close_ports({line.url for line in lines})
        self.links[:] = self._made.values()

    def start(self, lines: Sequence[Line]) -> None:
        """Begin every link of ``lines`` that does not run; ``stop`` was called with them."""
        made = {line: self._made.get(line) or self._make(line) for line in lines}
        self._made = made
        self.links[:] = made.values()
        self._start()

    def _start(self) -> None:
        for line, link in self._made.items():
            if line not in self._tasks:
                self._tasks[line] = self._group.create_task(link.run(), name=f"link {line.analyser}")
        for port in self._ports.values():
            if port.task is None:
                port.task = self._group.create_task(port.listener.run(), name="listener")

    async def _close_ports(self, wanted: set[str]) -> None:
        """A port that stays wanted stays open, so that no call is missed in between."""
        closing = [self._ports.pop(url) for url in list(self._ports) if url not in wanted]
        tasks = [port.task for port in closing if port.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _leave(self, line: Line) -> None:
        if line in self._shares:
            url, share = self._shares.pop(line)
            self._ports[url].listener.drop(share)

    def _make(self, line: Line) -> Link:
        return Link(
            line.analyser,
            self._transport(line),
            line.source,
            line.dialect,
            self._store,
            self._clock,
            self._alarms,
            self._on_stored,
            self._disk_low,
            line.part,
        )

    def _transport(self, line: Line) -> Transport:
        port = self._ports.get(line.url)
        if port is None:
            transport = transport_for(line.url, peer=line.peer, clock=self._clock, rng=self._rng)
            if not isinstance(transport, Listening):
                return transport
            port = self._ports[line.url] = _Port(transport)
        share = port.listener.share(line.peer)
        self._shares[line] = (line.url, share)
        return share
