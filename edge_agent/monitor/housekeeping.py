"""Once an hour: what is filed and old goes, the reserve is put back, and the audit chain is checked once a day.

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
from edge_agent.store.audit import Check
from edge_agent.store.errors import StoreError
from edge_agent.store.store import Store
from edge_agent.store.thread import StoreThread

T = TypeVar("T")

EVERY_S = 3600.0
IDENTITIES_KEPT = timedelta(days=400)
_CHECK_EVERY = timedelta(days=1)


class Housekeeping:
    def __init__(
        self,
        store: StoreThread,
        clock: Clock,
        alarms: Alarms,
        retention: timedelta,
        every_s: float = EVERY_S,
        *,
        may_purge: Callable[[], bool] = lambda: True,
    ) -> None:
        """``may_purge``: false while the clock is in doubt. By one that was set ahead everything would be old."""
        self._store = store
        self._clock = clock
        self._alarms = alarms
        self.retention = retention  # may be changed at any time
        self._every_s = every_s
        self._may_purge = may_purge
        self._checked = clock.now() - _CHECK_EVERY

    async def run(self) -> None:
        """Keep house until cancelled. A store that does not work is left alone until the next time."""
        while True:
            with contextlib.suppress(StoreError):  # the storage alarm is up already
                await self.keep()
            await asyncio.sleep(self._every_s)

    async def keep(self) -> None:
        """Once. Raises StoreError."""
        if self._may_purge():
            await self.purge()
        await self._check_chain()

    async def purge(self) -> int:
        """Rows removed. Identities outlive messages, so that a late resend is still recognised."""
        now = self._clock.now()
        filed_before, identities_before = now - self.retention, now - IDENTITIES_KEPT
        removed = 0
        while step := await self._do(lambda s: s.purge(filed_before=filed_before, identities_before=identities_before)):
            removed += step
        await self._do(lambda s: s.restore_reserve())
        return removed

    async def _check_chain(self) -> None:
        if self._clock.now() - self._checked < _CHECK_EVERY:
            return
        check: Check | None = None
        while check is None or not check.done:
            check = await self._step(check)
        self._checked = self._clock.now()
        if check.bad is None:
            self._alarms.clear("audit-broken")
        else:
            self._alarms.raise_("audit-broken", entry=str(check.bad))

    async def _step(self, check: Check | None) -> Check:
        return await self._do(lambda s: s.audit_check(check))

    async def _do(self, job: Callable[[Store], T]) -> T:
        return await asyncio.wrap_future(self._store.later(job))
