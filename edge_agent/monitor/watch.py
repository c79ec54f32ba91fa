"""Looks after what nobody reports: holds that went away, storage, disk, links.

Runs on the event loop every few seconds; the store answers from counters. Raises and clears alarms, and keeps each
analyser's retained state true.
"""

import asyncio
from collections.abc import Mapping, Sequence

from edge_agent.clock import Clock
from edge_agent.link import Link
from edge_agent.monitor.alarms import Alarms
from edge_agent.monitor.payloads import AnalyserState
from edge_agent.monitor.presence import Presence
from edge_agent.store.errors import StoreError
from edge_agent.store.rows import Counts
from edge_agent.store.store import Store
from edge_agent.store.thread import StoreThread

EVERY_S = 5.0
# Not holds: they stand until a restart, because nothing tells that they are over.
_STANDING = frozenset({"unknown-test", "query-unanswered", "interrupted", "implausible-time"})


class Watch:
    def __init__(
        self,
        store: StoreThread,
        links: Sequence[Link],
        usual_gaps: Mapping[str, int],
        alarms: Alarms,
        presence: Presence,
        clock: Clock,
        *,
        every_s: float = EVERY_S,
    ) -> None:
        self._store = store
        self._links = links
        self._usual_gaps = usual_gaps
        self._alarms = alarms
        self._presence = presence
        self._every_s = every_s
        self._started = clock.now()
        self._disk_low = False
        self._holds: dict[str, set[str]] = {}

    def disk_low(self) -> bool:
        """The newest answer; sessions ask before each frame."""
        return self._disk_low

    def converted(self, code: str, analyser: str, params: Mapping[str, str]) -> None:
        """Conversion met something. A hold's alarm stands until nothing of the analyser is held any more."""
        self._holds.setdefault(analyser, set()).add(code)
        self._alarms.raise_(code, analyser, **params)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(self._every_s)

    async def look(self) -> None:
        counts = await self._counts()
        for link in self._links:
            if counts is not None:
                self._items(link.analyser_id, counts)
            self._tell(link, counts)

    async def _counts(self) -> Counts | None:
        try:
            counts, self._disk_low, free = await asyncio.wrap_future(self._store.later(_read))
        except StoreError as error:
            self._alarms.raise_("storage", reason=error.sentence)
            return None
        if self._store.failed is None:
            self._alarms.clear("storage")
        self._switch(self._disk_low, "disk-low", free_mb=str(free))
        return counts

    def _items(self, analyser: str, counts: Counts) -> None:
        waiting = counts.held.get(analyser, 0) + counts.failed.get(analyser, 0)
        self._switch(bool(waiting), "held", analyser, count=str(waiting))
        if not waiting:
            for code in self._holds.pop(analyser, set()) - _STANDING:
                self._alarms.clear(code, analyser)
        if not counts.interrupted.get(analyser, 0):
            self._alarms.clear("interrupted", analyser)

    def _switch(self, up: bool, code: str, analyser: str = "", **params: str) -> None:
        if up:
            self._alarms.raise_(code, analyser, **params)
        else:
            self._alarms.clear(code, analyser)

    def _tell(self, link: Link, counts: Counts | None) -> None:
        status = link.status()
        analyser = link.analyser_id
        self._presence.set_analyser(
            analyser,
            AnalyserState(
                link="up" if status.up else "down",
                protocol="receiving" if status.receiving else "idle",
                since=status.since or self._started,
                last_byte=status.last_byte,
                last_result=status.last_result,
                usual_gap_s=self._usual_gaps.get(analyser) or None,
                held=counts.held.get(analyser, 0) if counts else 0,
                failed=counts.failed.get(analyser, 0) if counts else 0,
            ),
        )


def _read(store: Store) -> tuple[Counts, bool, int]:
    return store.counts(), store.disk_low(), store.disk_free_mb()
