"""Once an hour: what is filed and old goes, the reserve is put back; once a day the audit chain is verified with every
row it tells of.

Promised: small steps on the store's later lane, so no analyser waits for it; nothing unfiled is ever touched (the store
sees to that). Not promised: that space comes back at once.
"""

import asyncio
import contextlib
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

from edge_agent.clock import Clock
from edge_agent.monitor.alarms import Alarms
from edge_agent.store.errors import StoreError
from edge_agent.store.store import Store
from edge_agent.store.thread import StoreThread

T = TypeVar("T")

EVERY_S = 3600.0
IDENTITIES_KEPT = timedelta(days=400)
_CHECK_EVERY_S = 86_400.0


class Housekeeping:
    def __init__(
        self,
        store: StoreThread,
        clock: Clock,
        alarms: Alarms,
        retention: timedelta,
        every_s: float = EVERY_S,
    ) -> None:
        self._store = store
        self._clock = clock
        self._alarms = alarms
        self.retention = retention  # may be changed at any time
        self._every_s = every_s
        self._checked: float | None = None

    async def run(self) -> None:
        """Keep house until cancelled. A store that does not work is left alone until the next time."""
        while True:
            with contextlib.suppress(StoreError):  # the storage alarm is up already
                await self.keep()
            await asyncio.sleep(self._every_s)

    async def keep(self) -> None:
        """Once. Raises StoreError."""
        await self.purge()
        await self._check_chain()

    async def purge(self) -> int:
        """Rows removed. Identities outlive messages, so that a late resend is still recognised."""
        removed = 0
        while step := await self._do(self._purge_some):
            removed += step
        await self._do(_settle_in)
        return removed

    def _purge_some(self, store: Store) -> int:
        now = self._clock.now()
        return store.purge(filed_before=now - self.retention, identities_before=now - IDENTITIES_KEPT)

    async def _check_chain(self) -> None:
        if self._checked is not None and self._clock.monotonic() - self._checked < _CHECK_EVERY_S:
            return
        verification = await self._do(lambda s: s.verification())
        while not await self._do(lambda _: verification.step()):
            pass
        self._checked = self._clock.monotonic()
        if verification.finding is None:
            self._alarms.clear("audit-broken")
        else:
            self._alarms.raise_("audit-broken", finding=verification.finding.sentence)

    async def _do(self, job: Callable[[Store], T]) -> T:
        return await asyncio.wrap_future(self._store.later(job))


def _settle_in(store: Store) -> None:
    """Also when nothing comes for weeks the store knows how long it has lived."""
    store.restore_reserve()
    store.prove()
