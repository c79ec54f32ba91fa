"""The heartbeat: every 60 s what waits and how old it is, and how disk, clock and audit chain are."""

import asyncio
import contextlib
from datetime import datetime

from edge_agent.clock import Clock
from edge_agent.monitor.alarms import Alarms
from edge_agent.monitor.host_clock import HostClock
from edge_agent.monitor.payloads import AuditHead, ClockInfo, Health
from edge_agent.monitor.presence import Presence
from edge_agent.states import OPEN_MESSAGE_STATES, MessageState
from edge_agent.store.errors import StoreError
from edge_agent.store.rows import Counts
from edge_agent.store.store import Store
from edge_agent.store.thread import StoreThread

EVERY_S = 60.0


class HealthReporter:
    def __init__(
        self,
        store: StoreThread,
        clock: Clock,
        alarms: Alarms,
        presence: Presence,
        host_clock: HostClock,
        every_s: float = EVERY_S,
    ) -> None:
        self._store = store
        self._clock = clock
        self._alarms = alarms
        self._presence = presence
        self._every_s = every_s
        self._host_clock = host_clock

    async def run(self) -> None:
        """Report until cancelled. While the store does not work there is no report: the old one expires."""
        while True:
            with contextlib.suppress(StoreError):  # the storage alarm is up already
                if self._store.failed is None:
                    self._presence.set_health(await self.report())
            await asyncio.sleep(self._every_s)

    async def report(self) -> Health:
        """Raises what the store raises."""
        counts, head, identity, free = await asyncio.wrap_future(self._store.later(_read))
        now = self._clock.now()
        messages = counts.messages
        oldest = counts.oldest_unfiled
        return Health(
            ts=now,
            store=identity,
            backlog=sum(messages.get(state, 0) for state in OPEN_MESSAGE_STATES),
            queued=messages.get(MessageState.QUEUED, 0),
            at_broker=messages.get(MessageState.AT_BROKER, 0),
            filed=messages.get(MessageState.FILED, 0),
            rejected=messages.get(MessageState.REJECTED, 0),
            blocked=messages.get(MessageState.BLOCKED, 0),
            oldest_unfiled_s=None if oldest is None else max(0, int((now - oldest).total_seconds())),
            held=sum(counts.held.values()),
            failed=sum(counts.failed.values()),
            disk_free_mb=free,
            clock=self._clock_info(now),
            audit=AuditHead(entry=head[0], hash=head[1]),
            alarms=len(self._alarms.active()),
        )

    def _clock_info(self, now: datetime) -> ClockInfo:
        host = self._host_clock
        return ClockInfo(
            now=now, jumped_s=host.jumped_s(self._every_s), trusted=host.trusted, synchronised=host.synchronised
        )


def _read(store: Store) -> tuple[Counts, tuple[int, str], str, int]:
    return store.counts(), store.audit_head(), store.identity, store.disk_free_mb()
