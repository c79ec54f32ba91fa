"""The heartbeat: every 60 s what waits and how old it is, and how disk, clock and audit chain are."""

import asyncio
import contextlib

from edge_agent.clock import Clock
from edge_agent.monitor.alarms import Alarms
from edge_agent.monitor.payloads import AuditHead, ClockInfo, Health
from edge_agent.monitor.presence import Presence
from edge_agent.states import OPEN_MESSAGE_STATES, MessageState
from edge_agent.store.errors import StoreError
from edge_agent.store.rows import Counts
from edge_agent.store.store import Store
from edge_agent.store.thread import StoreThread

EVERY_S = 60.0
JUMP_S = 2.0


class HealthReporter:
    def __init__(
        self,
        store: StoreThread,
        clock: Clock,
        alarms: Alarms,
        presence: Presence,
        every_s: float = EVERY_S,
    ) -> None:
        self._store = store
        self._clock = clock
        self._alarms = alarms
        self._presence = presence
        self._every_s = every_s
        self._offset: float | None = None  # wall clock minus steady clock

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
        jumped = self._clock_jump()
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
            clock=ClockInfo(now=now, jumped_s=jumped),
            audit=AuditHead(entry=head[0], hash=head[1]),
            alarms=len(self._alarms.active()),
        )

    def _clock_jump(self) -> int:
        """Whole seconds the wall clock moved against the steady one since the last report."""
        offset = self._clock.now().timestamp() - self._clock.monotonic()
        moved = 0.0 if self._offset is None else offset - self._offset
        self._offset = offset
        if abs(moved) >= JUMP_S:
            self._alarms.raise_("clock", seconds=str(round(moved)))
            return round(moved)
        self._alarms.clear("clock")
        return 0


def _read(store: Store) -> tuple[Counts, tuple[int, str], str, int]:
    return store.counts(), store.audit_head(), store.identity, store.disk_free_mb()
