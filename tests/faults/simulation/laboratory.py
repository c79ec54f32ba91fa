"""A laboratory in one thread and in virtual time: analysers, gateway, broker, management system, and what may go wrong.

Everything is drawn from one seed. The gateway is made of the agent's own parts on a real SQLite file; the rest is
written here. The count is that of every other harness, ``simulators.oracle``.
"""

import asyncio
import tempfile
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from random import Random
from unittest import mock

from faults.simulation.inline_store import AtCommit, Disk
from faults.simulation.line import Noise, Port
from faults.simulation.sim_analyser import SimAnalyser
from faults.simulation.sim_gateway import SimGateway
from faults.simulation.sim_management import SimManagement
from faults.simulation.virtual_loop import VirtualClock, VirtualLoop

from drivers.sdk import load
from edge_agent.store.errors import StoreError
from simulators.devices import device as simulated
from simulators.generate import Generator
from simulators.oracle import Verdict, compare
from simulators.shapes import shapes

DEVICES = {"gen1": "lis02_generic", "xn1": "sysmex_xn"}
DOWN_S = 5.0  # how long a gateway without power is away
QUIET_STEP_S, QUIET_MOST_S = 600.0, 3 * 86_400.0
# Order and what waits are not judged before the end; a rejection lets a later result overtake (design §5).
WRONG_AT_ONCE = ("doubled", "altered", "misattributed", "stray")


class Laboratory:
    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._rng = Random(seed)
        self.loop = VirtualLoop()
        self.clock = VirtualClock(self.loop)
        self._folder = tempfile.TemporaryDirectory()
        self._monotonic = mock.patch("edge_agent.store.thread.monotonic", self.loop.time)
        self._monotonic.start()
        self.disk = Disk(Path(self._folder.name) / "data", self.clock, deque())
        self.management = SimManagement(self.loop, self.clock)
        self.broker = self.management.broker
        self.ports = {name: Port(self.clock) for name in DEVICES}
        self.analysers = {name: self._analyser(name, kind) for name, kind in DEVICES.items()}
        self._devices = {name: load(kind) for name, kind in DEVICES.items()}
        self.deaths = 0
        self._death: asyncio.Future[None] = self.loop.create_future()
        self.gateway = self.run(self._started())
        self._senders = [self.loop.create_task(a.run()) for a in self.analysers.values()]

    def _analyser(self, name: str, kind: str) -> SimAnalyser:
        """Only shapes whose results have a time: without one equal content is a repeat for five minutes only."""
        made = simulated(kind)
        timed = [shape for shape in shapes(made) if all(mark.completed for mark in shape.marks)]
        generator = Generator(made.name, timed, self._rng.randrange(1_000_000), per_specimen=2)
        return SimAnalyser(name, kind, generator, self.ports[name], Noise(self._rng))

    async def _started(self) -> SimGateway:
        """Tried as often as it takes."""
        while True:
            self._death = self.loop.create_future()
            rng = Random(self._rng.random())
            gateway = SimGateway(
                self.disk, self.loop, self.clock, self.broker, self.ports, self._devices, rng, self._gateway_died
            )
            try:
                gateway.start()
            except StoreError:
                await gateway.bury()
                await asyncio.sleep(DOWN_S)
            else:
                return gateway

    # Time

    def run(self, job: Awaitable[SimGateway]) -> SimGateway:
        asyncio.set_event_loop(self.loop)
        return self.loop.run_until_complete(_awaited(job))

    def wait(self, seconds: float) -> None:
        """Let time pass; a gateway whose power went comes back within it, some seconds later."""
        end = self.loop.time() + seconds
        while (left := end - self.loop.time()) > 0:
            self.loop.run_until_complete(self._sleep(left))
            if self._death.done():
                self.loop.run_until_complete(self.gateway.bury())
                self.loop.run_until_complete(asyncio.sleep(DOWN_S))
                self.gateway = self.run(self._started())
        assert not self.loop.broken, self.loop.broken

    def until(self, condition: Callable[[], bool], step: float = 0.005) -> None:
        """Let time pass in small steps; at most a day."""
        end = self.loop.time() + 86_400
        while not condition():
            assert self.loop.time() < end
            self.wait(step)

    async def _sleep(self, seconds: float) -> None:
        """Until then, or until the power goes."""
        await asyncio.wait({self._death}, timeout=seconds)

    def _gateway_died(self) -> None:
        self.deaths += 1
        self._death.set_result(None)
        for analyser in self.analysers.values():
            analyser.hang_up()

    # What goes wrong

    def power_cut(self) -> None:
        if self.gateway.alive:
            self.gateway.power_gone()

    def restart(self) -> None:
        """By the service manager, cleanly."""
        if self.gateway.alive:
            self.loop.run_until_complete(self.gateway.stop())
            self.gateway = self.run(self._started())

    def disk_faults(self, fault: AtCommit, times: int) -> None:
        self.disk.faults.extend([fault] * times)

    def clock_jumps(self, by: timedelta) -> None:
        self.clock.jump(by)

    # The count

    def verdict(self) -> Verdict:
        rows = [row for analyser in self.analysers.values() for row in analyser.sent()]
        return compare(rows, list(self.management.ledger.filings()))

    def look(self) -> None:
        """What may never be, whatever is wrong just now."""
        found = self.verdict()
        wrong = [fault for kind in WRONG_AT_ONCE for fault in found.of(kind)]
        assert not wrong, f"seed {self.seed}: {wrong[:5]}"

    def heal(self) -> None:
        self.disk.faults.clear()
        self.disk.low = False
        self.management.moods.clear()
        self.broker.up, self.broker.frozen, self.broker.forbidden, self.broker.pubacks_lost = True, False, False, 0
        self.management.say(online=True)
        for analyser in self.analysers.values():
            analyser.noise.faults.clear()
            if analyser.line is not None:
                analyser.line.deaf = 0

    def end(self) -> Verdict:
        """Everything is mended; days pass; what was acknowledged is filed."""
        self.heal()
        for _ in range(int(QUIET_MOST_S / QUIET_STEP_S)):
            self.wait(QUIET_STEP_S)
            if all(a.idle for a in self.analysers.values()) and not self.gateway.busy():
                break
        return self.verdict()

    def close(self) -> None:
        """The store is well, and nothing failed in silence."""
        try:
            for sender in self._senders:
                sender.cancel()
            self.loop.run_until_complete(asyncio.gather(*self._senders, return_exceptions=True))
            assert self.gateway.store.do(lambda s: s.verification().run()) is None
            self.loop.run_until_complete(self.gateway.stop())
            assert not self.loop.broken, self.loop.broken
        finally:
            self._monotonic.stop()
            self.loop.close()
            self._folder.cleanup()


async def _awaited(job: Awaitable[SimGateway]) -> SimGateway:
    return await job
