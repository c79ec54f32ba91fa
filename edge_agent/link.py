"""One configured analyser: its port, its connections, and what a person may be told about them.

Promised: each connection has a session of its own, so that two never mix; the alarms ``link-down`` and ``peer-refused``
follow the port. Not promised: that somebody is connected while the port is up; many analysers connect for each message,
so ``connections`` says it.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from drivers.protocols.lis01 import Dialect
from edge_agent.clock import Clock
from edge_agent.intake import Endings
from edge_agent.monitor.alarms import Alarms
from edge_agent.session import Activity, Session
from edge_agent.store.rows import Source
from edge_agent.store.thread import StoreThread
from edge_agent.transport.base import Connection, Counting, Guarded, LinkState, Refusal, Transport
from edge_agent.transport.line_errors import LineErrors

log = logging.getLogger(__name__)

REFUSED_FOR_S = 600.0  # the alarm stands this long after the last refused caller


@dataclass(frozen=True, slots=True)
class LinkStatus:
    analyser: str
    up: bool
    since: datetime | None  # of ``up``; None before the port was tried
    reason: str  # one sentence when down
    receiving: bool
    connections: tuple[str, ...]  # who is connected now
    last_byte: datetime | None
    last_result: datetime | None  # when a transmission was last completed
    bytes: int = 0  # this and the following since the start
    frames: int = 0
    messages: int = 0
    refused: int = 0
    asked: datetime | None = None  # when it last asked to send
    unframed: int = 0  # bytes outside any frame
    refused_for: str = ""  # why the last refused frame was
    line_errors: LineErrors | None = None  # of a serial port that counts them

    @property
    def link(self) -> str:
        return "up" if self.up else "down"

    @property
    def protocol(self) -> str:
        return "receiving" if self.receiving else "idle"


class Link:
    def __init__(
        self,
        analyser_id: str,
        transport: Transport,
        source: Source,
        dialect: Dialect,
        store: StoreThread,
        clock: Clock,
        alarms: Alarms,
        on_stored: Callable[[], None],
        disk_low: Callable[[], bool],
        part: str = "",
    ) -> None:
        """``source.peer`` is replaced by each connection's own. ``part``: which one, if the analyser has several."""
        self.analyser_id = analyser_id
        self._transport = transport
        self._source = source
        self._dialect = dialect
        self._store = store
        self._clock = clock
        self._alarms = alarms
        self._on_stored = on_stored
        self._disk_low = disk_low
        self._part = part
        self.endings = Endings(store, on_stored)
        self._activity = Activity()
        self._state = LinkState(False, clock.now(), "The port was not tried yet.")
        self._tried = asyncio.Event()
        self._sessions: dict[Session, str] = {}
        self._calm: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Serve the analyser until cancelled."""
        if isinstance(self._transport, Guarded):
            self._transport.on_refused = self._on_refused
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.endings.run(), name=f"endings {self.analyser_id}")
                await self._transport.run(self._on_connection, self._on_state)
        finally:
            if self._calm is not None:
                self._no_longer_refused()

    async def tried(self) -> None:
        """Returns when the port was opened, or could not be."""
        await self._tried.wait()

    def status(self) -> LinkStatus:
        return LinkStatus(
            self.analyser_id,
            self._state.up,
            self._state.since if self._tried.is_set() else None,
            self._state.reason,
            any(session.receiving for session in self._sessions),
            tuple(self._sessions.values()),
            self._activity.last_byte,
            self._activity.last_result,
            self._activity.bytes,
            self._activity.frames,
            self._activity.messages,
            self._activity.refused,
            self._activity.asked,
            self._activity.unframed,
            self._activity.refused_for,
            self._transport.line_errors if isinstance(self._transport, Counting) else None,
        )

    async def _on_connection(self, connection: Connection) -> None:
        session = Session(
            connection,
            replace(self._source, peer=connection.peer),
            self._dialect,
            self._store,
            self._clock,
            self._alarms,
            self._on_stored,
            disk_low=self._disk_low,
            endings=self.endings,
            activity=self._activity,
        )
        self._sessions[session] = connection.peer
        try:
            await session.run()
        finally:
            del self._sessions[session]

    def _on_state(self, state: LinkState) -> None:
        self._state = state
        self._tried.set()
        if state.up:
            self._alarms.clear("link-down", self.analyser_id, self._part)
        else:
            self._alarms.raise_("link-down", self.analyser_id, self._part, reason=state.reason)

    def _on_refused(self, why: Refusal, address: str) -> None:
        """Raised once however often they knock; the address is for the log, once per spell."""
        loop = asyncio.get_running_loop()
        if self._calm is None:
            log.warning("Turned %s away from the port of %s: %s.", address, self.analyser_id, why)
        else:
            self._calm.cancel()
        code = "peer-refused" if why is Refusal.NOT_ALLOWED else "connections-full"
        self._alarms.raise_(code, self.analyser_id, self._part)
        self._calm = loop.call_later(REFUSED_FOR_S, self._no_longer_refused)

    def _no_longer_refused(self) -> None:
        if self._calm is not None:
            self._calm.cancel()
            self._calm = None
        for code in ("peer-refused", "connections-full"):
            self._alarms.clear(code, self.analyser_id, self._part)


def by_analyser(links: Iterable[Link]) -> dict[str, list[Link]]:
    """An analyser may have several."""
    found: dict[str, list[Link]] = {}
    for link in links:
        found.setdefault(link.analyser_id, []).append(link)
    return found
