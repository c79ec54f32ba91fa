"""The agent: builds its parts, starts consumers before producers, stops them the other way round.

Nothing here decides anything about a result; it joins the parts that do.
"""

import asyncio
import contextlib
import hashlib
import logging
import os
import signal
from collections.abc import Coroutine, Mapping
from datetime import timedelta
from pathlib import Path
from random import Random, SystemRandom
from typing import Any, Self

from drivers.sdk import Device
from edge_agent.clock import Clock, SystemClock
from edge_agent.control import ControlServer, socket_path
from edge_agent.converter import Converter, Reader
from edge_agent.decisions import Decisions
from edge_agent.links import Links
from edge_agent.monitor.alarms import Alarms
from edge_agent.monitor.health import HealthReporter
from edge_agent.monitor.housekeeping import Housekeeping
from edge_agent.monitor.payloads import Info, ProfileInfo
from edge_agent.monitor.presence import Presence
from edge_agent.mqtt_options import mqtt_options
from edge_agent.pins import Pinned, pinned
from edge_agent.policy import policy_for
from edge_agent.preflight import devices
from edge_agent.publisher.publisher import Publisher
from edge_agent.questions import Questions
from edge_agent.service.notify import Notifier
from edge_agent.service.pulse import Pulse
from edge_agent.settings import AnalyserTable, Settings
from edge_agent.settings_file import resolve
from edge_agent.store.errors import StoreError
from edge_agent.store.identity import Former
from edge_agent.store.store import Store
from edge_agent.store.thread import StoreThread
from edge_agent.times import shown
from edge_agent.version import __version__
from edge_agent.watch import Watch

log = logging.getLogger(__name__)


class Agent:
    """One gateway. ``build`` touches nothing but its own pins; ``run`` touches the world."""

    def __init__(
        self, path: Path, settings: Settings, shipped: Mapping[str, Device], clock: Clock, rng: Random
    ) -> None:
        self._path = path
        self._settings = settings
        self._shipped = shipped
        self._clock = clock
        self._rng = rng
        self._data_dir = resolve(path, settings.agent.data_dir)
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    def build(cls, path: Path, settings: Settings) -> Self:
        """Raises ConfigurationError naming every mistake."""
        return cls(path, settings, devices(path, settings), SystemClock(), SystemRandom())

    async def run(self) -> int:
        """Until SIGTERM or SIGINT. Exit status 0, or 1 when a part failed that nobody expected to fail."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        store = StoreThread(self._open_store)
        await asyncio.to_thread(store.start)
        try:
            return await self._serve(store, loop)
        finally:
            await asyncio.to_thread(store.stop)
            log.info("Stopped.")

    def _open_store(self) -> Store:
        limits = self._settings.store
        return Store.open(self._data_dir, self._clock, reserve_mb=limits.reserve_mb, low_water_mb=limits.low_water_mb)

    async def _serve(self, store: StoreThread, loop: asyncio.AbstractEventLoop) -> int:
        identity, former = await asyncio.wrap_future(store.later(_begin))
        pins = self._pins()
        readers = self._readers(pins)
        alarms = self._alarms(former)
        presence = Presence(__version__, alarms, self._info(identity, pins))
        publisher = Publisher(mqtt_options(self._path, self._settings), store, self._clock, self._rng, alarms, presence)
        converter = Converter(
            store,
            readers,
            on_alarm=lambda *alarm: loop.call_soon_threadsafe(watch.converted, *alarm),
            on_settled=lambda: loop.call_soon_threadsafe(publisher.kick),
        )
        links = Links(
            self._settings, pins, store, self._clock, self._rng, alarms, converter.kick, lambda: watch.disk_low()
        )
        watch = Watch(store, links.links, self._usual_gaps(pins), alarms, presence, self._clock)
        health = HealthReporter(store, self._clock, alarms, presence)
        housekeeping = Housekeeping(store, self._clock, alarms, timedelta(days=self._settings.store.retention_days))
        questions = Questions(
            self._settings,
            __version__,
            self._clock.now(),
            store,
            publisher,
            alarms,
            links.links,
            readers,
            pins,
            presence,
        )
        decisions = Decisions(store, publisher.decided, converter.kick)
        control = ControlServer(socket_path(self._data_dir), {**questions.answers(), **decisions.answers()})
        pulse = Pulse(Notifier.from_environment(os.environ), store, links.tried, questions.sentence)

        publishing = asyncio.create_task(publisher.run(), name="publisher")
        converter.start()
        await control.start()
        await watch.look()
        self._start(converter=converter.ended(), watch=watch.run(), health=health.run())
        self._start(housekeeping=housekeeping.run(), links=links.run())
        if pulse.wanted:
            self._start(pulse=pulse.run())
        presence.running()
        publisher.say_state()
        log.info("Running: site %s, gateway %s.", self._settings.agent.site, self._settings.agent.gateway)
        try:
            return await self._until_stopped(publishing)
        finally:
            pulse.stopping()
            presence.stopping()
            publisher.say_state()
            await self._cancel()
            await control.stop()
            await asyncio.to_thread(converter.stop)
            publisher.stop()
            with contextlib.suppress(StoreError):
                await publishing

    def _start(self, **parts: Coroutine[Any, Any, None]) -> None:
        self._tasks += [asyncio.create_task(part, name=name) for name, part in parts.items()]

    async def _until_stopped(self, publishing: asyncio.Task[None]) -> int:
        stop = asyncio.create_task(self._stop.wait(), name="stop")
        done, _ = await asyncio.wait({stop, publishing, *self._tasks}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        failed = [task for task in done if task is not stop]
        for task in failed:
            log.critical("The part %r ended by itself.", task.get_name(), exc_info=task.exception())
        return 1 if failed else 0

    async def _cancel(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _alarms(self, former: Former | None) -> Alarms:
        alarms = Alarms(self._clock)
        if former is not None:
            alarms.raise_("store-restored", reason=former.reason, since=shown(former.since) or "an unknown time")
        return alarms

    def _pins(self) -> dict[str, Pinned]:
        folder = self._data_dir / "profiles"
        return {a.id: pinned(folder, a.id, self._shipped[a.id]) for a in self._settings.analyser}

    def _readers(self, pins: Mapping[str, Pinned]) -> dict[str, Reader]:
        return {a.id: self._reader(a, pins[a.id].device) for a in self._settings.analyser}

    def _reader(self, analyser: AnalyserTable, device: Device) -> Reader:
        horizon = device.profile.result.resend_horizon_s
        return Reader(device, policy_for(self._settings, analyser, horizon))

    def _usual_gaps(self, pins: Mapping[str, Pinned]) -> dict[str, int]:
        return {name: pin.device.profile.usual_gap_s for name, pin in pins.items()}

    def _info(self, identity: str, pins: Mapping[str, Pinned]) -> Info:
        profiles = tuple(
            ProfileInfo(
                analyser=a.id,
                profile=pins[a.id].device.name,
                revision=pins[a.id].device.profile.revision,
                hash=pins[a.id].device.hash,
                mode=a.mode,
            )
            for a in self._settings.analyser
        )
        return Info(
            version=__version__,
            site=self._settings.agent.site,
            gateway=self._settings.agent.gateway,
            store=identity,
            config_hash=hashlib.sha256(self._path.read_bytes()).hexdigest(),
            profiles=profiles,
        )


def _begin(store: Store) -> tuple[str, Former | None]:
    """What a dead agent left receiving is interrupted; then who this store is, and who it was."""
    store.close_orphans()
    return store.identity, store.former
