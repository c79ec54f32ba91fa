"""The agent's own parts on a virtual clock: links, sessions, converter, outbox, publisher, joined as in ``agent.py``.

Left out are what looks on (watch, health, control socket) and what a thread or a port would be needed for.
"""

import asyncio
from collections.abc import Callable, Mapping
from random import Random

from faults.simulation.inline_store import Disk, InlineStore
from faults.simulation.line import Port
from faults.simulation.sim_broker import SimBroker, plugged_into
from faults.simulation.virtual_loop import VirtualClock, VirtualLoop
from support_pipeline import POLICY, policy

from drivers.sdk import Device
from edge_agent.converter import Converter, Reader
from edge_agent.link import Link
from edge_agent.monitor.alarms import Alarms
from edge_agent.monitor.payloads import Info
from edge_agent.monitor.presence import Presence
from edge_agent.publisher import link as publisher_link
from edge_agent.publisher.options import MqttOptions
from edge_agent.publisher.publisher import Publisher
from edge_agent.store.rows import Source

OPTIONS = MqttOptions(urls=("mqtt://127.0.0.1:1883",), site=POLICY.site, gateway=POLICY.gateway)


class InlineConverter(Converter):
    """Converts in the loop instead of in a thread."""

    def __init__(self, loop: VirtualLoop, *words: object, **named: object) -> None:
        super().__init__(*words, **named)  # type: ignore[arg-type]
        self._loop = loop

    def start(self) -> None:
        self.kick()

    def kick(self) -> None:
        self._loop.call_soon(self._go)

    def stop(self) -> None:
        self._stopping = True

    def _go(self) -> None:
        if not self._stopping and (wait := self._drain()) is not None:
            self._loop.call_later(wait, self._go)


class SimGateway:
    """From its start to a clean stop, or to ``power_gone``."""

    def __init__(
        self,
        disk: Disk,
        loop: VirtualLoop,
        clock: VirtualClock,
        broker: SimBroker,
        ports: Mapping[str, Port],
        devices: Mapping[str, Device],
        rng: Random,
        died: Callable[[], None],
    ) -> None:
        self._loop, self._broker, self._died = loop, broker, died
        self._tasks: list[asyncio.Task[None]] = []
        publisher_link.Connection = plugged_into(broker)  # type: ignore[misc,assignment]
        self.store = InlineStore(disk, loop, self.power_gone)
        alarms = Alarms(clock)
        presence = Presence("0", alarms, Info(version="0", site=POLICY.site, gateway=POLICY.gateway))
        self.publisher = Publisher(OPTIONS, self.store, clock, rng, alarms, presence)
        readers = {name: Reader(device, policy(analyser=name)) for name, device in devices.items()}
        self.converter = InlineConverter(
            loop, self.store, readers, on_alarm=lambda *alarm: None, on_settled=self._settled
        )
        self._links = [
            Link(
                name,
                ports[name],
                Source(name, "", device.name, device.profile.revision, device.hash, "production"),
                device.dialect(),
                self.store,
                clock,
                alarms,
                self.converter.kick,
                lambda: disk.low,
            )
            for name, device in devices.items()
        ]
        presence.running()

    def start(self) -> None:
        """Raises StoreError as the agent's start does; its service manager then starts it again."""
        self.store.do(lambda s: s.close_orphans())
        self.converter.start()
        parts = [self.publisher.run(), *(link.run() for link in self._links)]
        self._tasks = [self._loop.create_task(part) for part in parts]

    @property
    def alive(self) -> bool:
        return not self.store.dead

    def power_gone(self) -> None:
        """Nothing it does from here on reaches anybody."""
        self.store.dead = True
        self.converter.stop()
        if self._broker.uplink is not None:
            self._broker.uplink.killed()
        self._died()

    async def bury(self) -> None:
        """What is left of it in this process."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.store.stop()

    async def stop(self) -> None:
        """Cleanly."""
        for task in self._tasks[1:]:
            task.cancel()
        await asyncio.gather(*self._tasks[1:], return_exceptions=True)
        self.converter.stop()
        self.publisher.stop()
        await self._tasks[0]
        self.store.stop()

    def _settled(self) -> None:
        self._loop.call_soon(self.publisher.kick)

    def busy(self) -> bool:
        """Whether something is neither converted nor filed."""
        counts = self.store.do(lambda s: s.counts())
        open_ones = {state: n for state, n in counts.messages.items() if n and state != "filed"}
        return bool(open_ones or self.store.do(lambda s: s.next_unconverted(1)))
