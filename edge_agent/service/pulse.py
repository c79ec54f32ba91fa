"""The agent's sign of life to the service manager.

Promised: READY when the store is open and every port was tried, so what can be open is open; a port that cannot be
opened is an alarm and no reason to be restarted. The watchdog is fed only by the event loop and only after a COMMIT
asked for since the last time, so a loop or a store that stands still stops feeding. Not promised: a broker; being
without one is ordinary.
"""

import asyncio
from collections.abc import Awaitable, Callable

from edge_agent.service.notify import Notifier
from edge_agent.store.errors import StoreError
from edge_agent.store.store import Store
from edge_agent.store.thread import StoreThread

WITHOUT_WATCHDOG_S = 10.0
_FED_PER_PERIOD = 3  # one may be late


class Pulse:
    def __init__(
        self,
        notifier: Notifier,
        store: StoreThread,
        ports_tried: Callable[[], Awaitable[None]],
        sentence: Callable[[], str],
    ) -> None:
        """``sentence`` says how things are, the first line of `status`."""
        self._notifier = notifier
        self._store = store
        self._ports_tried = ports_tried
        self._sentence = sentence
        self._every_s = notifier.watchdog_s / _FED_PER_PERIOD or WITHOUT_WATCHDOG_S

    @property
    def wanted(self) -> bool:
        """Whether anybody listens."""
        return self._notifier.listened_to

    async def run(self) -> None:
        """READY once, then a sign of life again and again, until cancelled."""
        await self._ports_tried()
        self._notifier.tell(READY="1", STATUS=self._sentence())
        while True:
            await self._beat()
            await asyncio.sleep(self._every_s)

    def stopping(self) -> None:
        self._notifier.tell(STOPPING="1", STATUS="Stopping.")

    async def _beat(self) -> None:
        """While the store hangs this waits for it, and nothing is told."""
        if self._notifier.watchdog_s and await self._store_works():
            self._notifier.tell(WATCHDOG="1", STATUS=self._sentence())
        else:
            self._notifier.tell(STATUS=self._sentence())

    async def _store_works(self) -> bool:
        try:
            await asyncio.wrap_future(self._store.later(Store.prove))
        except StoreError:
            return False
        return True
