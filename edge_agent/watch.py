"""Looks after what nobody reports: holds that went away, storage, disk, links.

Runs on the event loop every few seconds; the store answers from counters. Raises and clears alarms, and keeps each
analyser's retained state true. What is still wrong after a restart is raised again from what the store counts.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from edge_agent.clock import Clock
from edge_agent.link import Link, by_analyser
from edge_agent.monitor.alarms import Alarms
from edge_agent.monitor.drift import Drift
from edge_agent.monitor.host_clock import HostClock
from edge_agent.monitor.passing import Passing
from edge_agent.monitor.payloads import AnalyserState
from edge_agent.monitor.presence import Presence
from edge_agent.monitor.silence import Silence
from edge_agent.opening_hours import OpeningHours
from edge_agent.store.errors import StoreError
from edge_agent.store.rows import Counts
from edge_agent.store.store import Store
from edge_agent.store.thread import StoreThread
from edge_agent.times import newest

EVERY_S = 5.0
# Not holds: nothing tells that they are over, so a day without another does.
_PASSING = frozenset({"unknown-test", "query-unanswered", "implausible-time"})
PASSING_LASTS = timedelta(hours=24)

# Of results that are stored, so still true and still looked after when their analyser is configured no more.
_OF_STORED = frozenset({"held", "interrupted", "rejected", "blocked", "broker-refused", "no-subscriber"}) | {
    "results-missing-after-restore",
    "reconcile-gone",
}


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
        hours: Mapping[str, OpeningHours] | None = None,
        host_clock: HostClock | None = None,
        every_s: float = EVERY_S,
    ) -> None:
        """``usual_gaps`` in seconds (0: nobody said), and ``hours``, by analyser; read anew at every look."""
        self._store = store
        self._links = by_analyser(links)
        self._usual_gaps = usual_gaps
        self._looking = asyncio.Lock()
        self._hours = hours or {}
        self._alarms = alarms
        self._presence = presence
        self._every_s = every_s
        self._clock = clock
        self.host_clock = host_clock or HostClock(alarms, clock)
        self._passing = Passing(alarms, clock, PASSING_LASTS)
        self._silence = Silence(alarms, clock)
        self._drift = Drift(alarms)
        self._before: dict[str, datetime | None] = {}  # each analyser's last result before the start
        self._started = clock.now()
        self._disk_low = False
        self._recoveries = 0  # of the store, at the newest look
        self._holds: dict[str, set[str]] = {}
        self._gone: set[str] = set()  # once configured, and something of theirs waited since the start
        self._aborted: dict[str, datetime] = {}  # the analyser ended a transmission with L.3 = T, R or E

    def disk_low(self) -> bool:
        """The newest answer; sessions ask before each frame.

        After a storage error it counts as low until looked at: the reserve given up is for what is stored to be sent,
        and in seconds new results would have used it up.
        """
        return self._disk_low or self._store.recoveries != self._recoveries

    def converted(self, code: str, analyser: str, params: Mapping[str, str]) -> None:
        """Conversion met something. A hold's alarm stands until nothing of the analyser is held any more."""
        if code in _PASSING:
            self._passing.happened(code, analyser, **params)
            return
        if code == "interrupted":
            self._aborted[analyser] = self._clock.now()
        else:
            self._holds.setdefault(analyser, set()).add(code)
        self._alarms.raise_(code, analyser, **params)

    def clock_heard(self, analyser: str, ahead_s: float) -> None:
        """A message said what its sender's clock shows, in seconds ahead of ours."""
        if self.host_clock.trusted:
            self._drift.heard(analyser, ahead_s)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(self._every_s)

    async def look(self) -> None:
        async with self._looking:
            await self._look()

    async def change(
        self, links: Sequence[Link], usual_gaps: Mapping[str, int], hours: Mapping[str, OpeningHours]
    ) -> None:
        """Another configuration. Of an analyser that is gone only what its stored results still need stays up."""
        async with self._looking:
            self._usual_gaps, self._hours = usual_gaps, hours
            before, self._links = self._links, by_analyser(links)
            for analyser in [name for name, known in before.items() if self._links.get(name) != known]:
                self._before.pop(
                    analyser, None
                )  # a new link has seen nothing yet; the store knows what came by the old
            for analyser in before.keys() - self._links.keys():
                self._gone.add(analyser)
                self._presence.forget_analyser(analyser)
                self._leave(analyser)
            self._gone -= self._links.keys()

    def _leave(self, analyser: str) -> None:
        self._aborted.pop(analyser, None)
        self._silence.forget(analyser)
        holds = self._holds.get(analyser, set())
        for alarm in self._alarms.active():
            if alarm.analyser == analyser and alarm.code not in _OF_STORED | holds:
                self._alarms.clear(alarm.code, analyser, alarm.part)

    async def _look(self) -> None:
        before = {analyser: frozenset(codes) for analyser, codes in self._holds.items()}
        self._passing.expire()
        self._clocks()
        counts = await self._counts()
        for analyser, links in self._links.items():
            if counts is not None:
                # What was raised while the store counted is not among what it counted, so it is not over.
                self._items(analyser, counts, before.get(analyser, frozenset()))
                await self._interruption(analyser, links, counts)
                await self._quiet(analyser, links)
            self._tell(analyser, links, counts)
        if counts is not None:
            for analyser in self._former(counts):
                self._items(analyser, counts, before.get(analyser, frozenset()))
                await self._interruption(analyser, (), counts)

    def _clocks(self) -> None:
        moved = self.host_clock.look()
        if moved:
            self._silence.clock_moved()
        for analyser in self._drift.analysers():
            if moved or analyser not in self._links:
                self._drift.forget(analyser)

    async def _quiet(self, analyser: str, links: Sequence[Link]) -> None:
        if analyser not in self._before:
            try:
                self._before[analyser] = await asyncio.wrap_future(
                    self._store.later(lambda s: s.last_complete(analyser))
                )
            except StoreError:
                return
        if self.host_clock.trusted:
            gap_s, hours = self._usual_gaps.get(analyser, 0), self._hours.get(analyser)
            self._silence.look(analyser, self._last_result(analyser, links), gap_s, hours)

    def _last_result(self, analyser: str, links: Sequence[Link]) -> datetime | None:
        return newest(link.status().last_result for link in links) or self._before.get(analyser)

    def _former(self, counts: Counts) -> list[str]:
        """Analysers that are no longer configured: what of theirs still waits is told like anybody's."""
        self._gone |= {*counts.held, *counts.failed, *counts.interrupted, *self._holds} - self._links.keys()
        return sorted(self._gone)

    async def _counts(self) -> Counts | None:
        recoveries = self._store.recoveries
        try:
            counts, self._disk_low, free = await asyncio.wrap_future(self._store.later(_read))
        except StoreError as error:
            self._alarms.raise_("storage", reason=error.sentence.removeprefix("Results cannot be stored: "))
            return None
        self._recoveries = recoveries
        if self._store.failed is None:
            self._alarms.clear("storage")
        self._switch(self._disk_low, "disk-low", free_mb=str(free))
        return counts

    def _items(self, analyser: str, counts: Counts, known: Collection[str]) -> None:
        waiting = counts.held.get(analyser, 0) + counts.failed.get(analyser, 0)
        self._switch(bool(waiting), "held", analyser, count=str(waiting))
        if not waiting:
            for code in known:
                self._alarms.clear(code, analyser)
            self._holds.get(analyser, set()).difference_update(known)

    async def _interruption(self, analyser: str, links: Sequence[Link], counts: Counts) -> None:
        """Up while the store has an interrupted transmission, or until the analyser sent well after it aborted one."""
        if counts.interrupted.get(analyser, 0):
            if not self._alarms.is_up("interrupted", analyser):
                await self._raise_interrupted(analyser)
            return
        aborted, last = self._aborted.get(analyser), newest(link.status().last_result for link in links)
        if aborted is None or (last is not None and last > aborted):
            self._aborted.pop(analyser, None)
            self._alarms.clear("interrupted", analyser)

    async def _raise_interrupted(self, analyser: str) -> None:
        try:
            broken = await asyncio.wrap_future(self._store.later(lambda s: s.interrupted(analyser, 1)))
        except StoreError:
            return  # the next look raises what is wrong with the store
        for transmission in broken:
            at = transmission.ended or transmission.opened
            self._alarms.raise_("interrupted", analyser, at=at.isoformat(timespec="seconds"))

    def _switch(self, up: bool, code: str, analyser: str = "", **params: str) -> None:
        if up:
            self._alarms.raise_(code, analyser, **params)
        else:
            self._alarms.clear(code, analyser)

    def _tell(self, analyser: str, links: Sequence[Link], counts: Counts | None) -> None:
        """One state for all links of an analyser: as bad as the worst, as new as the newest."""
        statuses = [link.status() for link in links]
        down = [s for s in statuses if not s.up]
        self._presence.set_analyser(
            analyser,
            AnalyserState(
                link="down" if down else "up",
                protocol="receiving" if any(s.receiving for s in statuses) else "idle",
                since=newest(s.since for s in down or statuses) or self._started,
                last_byte=newest(s.last_byte for s in statuses),
                last_result=self._last_result(analyser, links),
                usual_gap_s=self._usual_gaps.get(analyser) or None,
                held=counts.held.get(analyser, 0) if counts else 0,
                failed=counts.failed.get(analyser, 0) if counts else 0,
                clock_ahead_s=self._drift.ahead_s(analyser),
            ),
        )


def _read(store: Store) -> tuple[Counts, bool, int]:
    store.restore_reserve()  # given up on a full disk; without it nothing new would ever be taken again
    return store.counts(), store.disk_low(), store.disk_free_mb()
