"""The agent: builds its parts, starts consumers before producers, stops them the other way round.

Nothing here decides anything about a result; it joins the parts that do.
"""

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Coroutine, Mapping
from datetime import timedelta
from random import Random, SystemRandom
from typing import Any, Self

from edge_agent.auditing import Auditing
from edge_agent.backup.serving import Backups
from edge_agent.clock import Clock, SystemClock
from edge_agent.control import Answer, ControlServer, Stream, socket_path
from edge_agent.converter import Converter, Reader
from edge_agent.decisions.adoption import Adoption
from edge_agent.decisions.delivery import Decisions
from edge_agent.decisions.promotion import Promotion
from edge_agent.generation import Configuration, Generation
from edge_agent.links import Links
from edge_agent.logs import in_loop
from edge_agent.metrics.port import MetricsPort
from edge_agent.monitor.alarms import Alarms
from edge_agent.monitor.health import HealthReporter
from edge_agent.monitor.housekeeping import Housekeeping
from edge_agent.monitor.presence import Presence
from edge_agent.monitor.program import Program
from edge_agent.publisher.publisher import Publisher
from edge_agent.questions import Questions
from edge_agent.reload import Reload
from edge_agent.retirement import Retirement
from edge_agent.running import Running
from edge_agent.service.notify import Notifier
from edge_agent.service.pulse import Pulse
from edge_agent.store.decommission import refuse_decommissioned
from edge_agent.store.errors import StoreError
from edge_agent.store.identity import Former
from edge_agent.store.store import Store
from edge_agent.store.thread import StoreThread
from edge_agent.support.facts import Support
from edge_agent.times import shown
from edge_agent.version import __version__
from edge_agent.watch import Watch

log = logging.getLogger(__name__)


class Agent:
    """One gateway. Made it touches nothing; ``run`` touches the world."""

    def __init__(self, configuration: Configuration, clock: Clock, rng: Random) -> None:
        self._configuration = configuration
        self._clock = clock
        self._rng = rng
        self._data_dir = configuration.data_dir
        self._stop = asyncio.Event()
        self._asked = asyncio.Event()  # by SIGHUP to reload
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    def build(cls, configuration: Configuration) -> Self:
        return cls(configuration, SystemClock(), SystemRandom())

    async def run(self) -> int:
        """Until SIGTERM or SIGINT. Exit status 0, or 1 when a part failed that nobody expected to fail."""
        refuse_decommissioned(self._data_dir)
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(in_loop)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._asked.set)
        store = StoreThread(self._open_store)
        await asyncio.to_thread(store.start)
        try:
            return await self._serve(store, loop)
        finally:
            await asyncio.to_thread(store.stop)
            log.info("Stopped.")

    def _open_store(self) -> Store:
        limits = self._configuration.settings.store
        return Store.open(self._data_dir, self._clock, reserve_mb=limits.reserve_mb, low_water_mb=limits.low_water_mb)

    async def _serve(self, store: StoreThread, loop: asyncio.AbstractEventLoop) -> int:
        identity, former = await asyncio.wrap_future(store.later(_begin))
        clock, rng, now = self._clock, self._rng, Generation.of(self._configuration)
        settings, readers, pins = now.settings, now.readers(), dict(now.pins)
        alarms = self._alarms(former)
        presence = Presence(__version__, alarms, now.info(identity))
        publisher = Publisher(now.configuration.options, store, clock, rng, alarms, presence)
        converter = Converter(
            store,
            readers,
            on_alarm=lambda *alarm: loop.call_soon_threadsafe(watch.converted, *alarm),
            on_settled=lambda: loop.call_soon_threadsafe(publisher.kick),
            on_clock=lambda *heard: loop.call_soon_threadsafe(watch.clock_heard, *heard),
        )
        links = Links(
            now.lines(), store, clock, rng, alarms, converter.kick, lambda: watch.disk_low() or retirement.refusing
        )
        watch = Watch(store, links.links, now.usual_gaps(), alarms, presence, clock, hours=now.hours())
        health = HealthReporter(store, clock, alarms, presence, watch.host_clock)
        housekeeping = self._housekeeping(store, alarms)
        program = Program(alarms, links.tried)
        questions = Questions(
            settings, __version__, clock.now(), store, publisher, alarms, links.links, readers, pins, presence, program
        )
        metrics = MetricsPort(now, questions)
        running = Running(now, identity, links, watch, publisher, presence, housekeeping, metrics, readers, pins)
        reload = Reload(self._configuration.path, running, store, alarms, self._asked)
        decisions = Decisions(store, publisher.decided, converter.kick)
        retirement = Retirement(self._data_dir, settings.agent.gateway, store, publisher, clock, self._stop.set)
        changes, upkeep = self._changes(store, readers, reload), self._upkeep(store, alarms, questions, retirement)
        answers = {**questions.answers(), **decisions.answers(), **reload.answers(), **changes, **upkeep}
        control = ControlServer(socket_path(self._data_dir), answers)
        pulse = Pulse(Notifier.from_environment(os.environ), store, links.tried, questions.sentence)

        publishing = asyncio.create_task(publisher.run(), name="publisher")
        converter.start()
        await control.start()
        await watch.look()
        self._start(converter=converter.ended(), watch=watch.run(), health=health.run())
        self._start(housekeeping=housekeeping.run(), links=links.run(), reload=reload.run(), metrics=metrics.run())
        self._start(program=program.run())
        if pulse.wanted:
            self._start(pulse=pulse.run())
        presence.running()
        publisher.say_state()
        log.info("Running: site %s, gateway %s.", settings.agent.site, settings.agent.gateway)
        try:
            return await self._until_stopped(publishing)
        finally:
            await self._wind_down(pulse, presence, publisher, reload, control, converter, publishing)

    async def _wind_down(
        self,
        pulse: Pulse,
        presence: Presence,
        publisher: Publisher,
        reload: Reload,
        control: ControlServer,
        converter: Converter,
        publishing: asyncio.Task[None],
    ) -> None:
        """Producers before consumers; the publisher has the last word."""
        pulse.stopping()
        await reload.close()
        presence.stopping()
        publisher.say_state()
        await self._cancel()
        await control.stop()
        await asyncio.to_thread(converter.stop)
        publisher.stop()
        with contextlib.suppress(StoreError):
            await publishing

    def _upkeep(
        self, store: StoreThread, alarms: Alarms, questions: Questions, retirement: Retirement
    ) -> Mapping[str, Stream | Answer]:
        """What the commands that look after the store ask."""
        backups = Backups(self._configuration.path, self._configuration.settings, store, self._clock)
        support = Support(store, alarms, questions.status)
        return {**backups.answers(), **support.answers(), **retirement.answers(), **Auditing(store).answers()}

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

    def _housekeeping(self, store: StoreThread, alarms: Alarms) -> Housekeeping:
        return Housekeeping(
            store, self._clock, alarms, timedelta(days=self._configuration.settings.store.retention_days)
        )

    def _changes(self, store: StoreThread, readers: Mapping[str, Reader], reload: Reload) -> Mapping[str, Answer]:
        """What a person changes about how an analyser is read."""
        path, folder = self._configuration.path, self._data_dir / "profiles"
        adoption = Adoption(path, folder, store, self._clock, reload.reload)
        promotion = Promotion(path, folder, store, readers, reload.reload)
        return {**adoption.answers(), **promotion.answers()}


def _begin(store: Store) -> tuple[str, Former | None]:
    """What a dead agent left receiving is interrupted; then who this store is, and who it was."""
    store.close_orphans()
    return store.identity, store.former
