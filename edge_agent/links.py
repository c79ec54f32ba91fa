"""Every configured analyser's link, and the ports that several of them share."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from random import Random

from edge_agent.clock import Clock
from edge_agent.link import Link
from edge_agent.monitor.alarms import Alarms
from edge_agent.pins import Pinned
from edge_agent.settings import AnalyserTable, Settings
from edge_agent.store.rows import Source
from edge_agent.store.thread import StoreThread
from edge_agent.transport.base import Transport
from edge_agent.transport.open import transport_for
from edge_agent.transport.shared import SharedListener


class Links:
    def __init__(
        self,
        settings: Settings,
        pins: Mapping[str, Pinned],
        store: StoreThread,
        clock: Clock,
        rng: Random,
        alarms: Alarms,
        on_stored: Callable[[], None],
        disk_low: Callable[[], bool],
    ) -> None:
        self._clock = clock
        self._rng = rng
        self._peers = _all_peers(settings)
        self._times_used = Counter(url for a in settings.analyser for url in a.transports())
        self._shared: dict[str, SharedListener] = {}
        self.links = [
            Link(
                analyser.id,
                self._transport(url, analyser),
                _source(analyser, pins[analyser.id]),
                pins[analyser.id].device.dialect(),
                store,
                clock,
                alarms,
                on_stored,
                disk_low,
            )
            for analyser in settings.analyser
            for url in analyser.transports()
        ]

    async def run(self) -> None:
        """Serve every analyser until cancelled."""
        async with asyncio.TaskGroup() as group:
            for link in self.links:
                group.create_task(link.run(), name=f"link {link.analyser_id}")
            for listener in self._shared.values():
                group.create_task(listener.run(), name="shared listener")
            if not self.links:
                await asyncio.Event().wait()  # what is stored is delivered all the same

    async def tried(self) -> None:
        """Returns when every port was opened, or could not be."""
        for link in self.links:
            await link.tried()

    def _transport(self, url: str, analyser: AnalyserTable) -> Transport:
        if self._times_used[url] == 1:
            return self._open(url, analyser.peer)
        if url not in self._shared:
            self._shared[url] = SharedListener(self._open(url, self._peers[url]))
        return self._shared[url].share(analyser.peer)

    def _open(self, url: str, peer: list[str]) -> Transport:
        return transport_for(url, peer=peer, clock=self._clock, rng=self._rng)


def _all_peers(settings: Settings) -> dict[str, list[str]]:
    peers: dict[str, list[str]] = {}
    for analyser in settings.analyser:
        for url in analyser.transports():
            peers.setdefault(url, []).extend(analyser.peer)
    return peers


def _source(analyser: AnalyserTable, pin: Pinned) -> Source:
    return Source(
        analyser=analyser.id,
        peer="",
        profile=pin.device.name,
        revision=pin.device.profile.revision,
        profile_hash=pin.device.hash,
        mode=analyser.mode,
    )
