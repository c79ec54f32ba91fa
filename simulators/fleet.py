"""A fleet of simulated gateways in one process: each is present, and has one result filed.

report = asyncio.run(run(FleetOptions("127.0.0.1", 1883, gateways=1000)))
"""

import asyncio
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass

from simulators.errors import FleetError
from simulators.fleet_gateway import FleetOptions, Gateway

AT_ONCE = 50  # connections being made
SPARE_FILES = 100


@dataclass(frozen=True, slots=True)
class FleetReport:
    gateways: int
    connect_s: float
    filed: int
    filed_s: float  # from the first result sent to the last one filed
    retries: int
    rejected: int
    dropped: int  # connections that ended meanwhile

    @property
    def whole(self) -> bool:
        return self.filed == self.gateways and not self.rejected and not self.dropped


Say = Callable[[str], None]


async def run(options: FleetOptions, patience_s: float, *, stay: bool, leave: asyncio.Event, say: Say) -> FleetReport:
    """Connect all, have all results filed, then go; with ``stay`` only when ``leave`` is set, which ends it anyhow.

    ``say`` hears ``connected`` when all are and ``filed`` when all results are. Raises FleetError.
    """
    allow_files(options.gateways)
    gateways = [Gateway(options, options.first + n) for n in range(options.gateways)]
    began = time.monotonic()
    try:
        await _connect(gateways)
    except (OSError, TimeoutError) as error:
        raise FleetError(f"A gateway of the fleet could not connect: {error}.", "Check the broker.") from error
    connected = time.monotonic()
    running = [asyncio.create_task(gateway.run()) for gateway in gateways]
    try:
        say("connected")
        await _file(gateways, patience_s, leave)
        ended = time.monotonic()
        report = _report(gateways, connected - began, ended - connected)
        say("filed")
        if stay:
            await leave.wait()
        return report
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await asyncio.gather(*(gateway.close() for gateway in gateways))


def allow_files(gateways: int) -> None:
    """One socket for each gateway: raise the limit of open files as far as that needs. Raises FleetError."""
    needed = gateways + SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        if hard != resource.RLIM_INFINITY and hard < needed:
            raise FleetError(f"{gateways} gateways need {needed} open files, {hard} are allowed.", "Raise ulimit -n.")
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


async def _connect(gateways: list[Gateway]) -> None:
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(gateway: Gateway) -> None:
        async with gate:
            await gateway.open()

    await asyncio.gather(*(one(gateway) for gateway in gateways))


async def _file(gateways: list[Gateway], patience_s: float, leave: asyncio.Event) -> None:
    async def deliver() -> None:
        await asyncio.gather(*(gateway.deliver_until_filed() for gateway in gateways))

    async def left() -> None:
        await leave.wait()

    tasks = [asyncio.create_task(deliver()), asyncio.create_task(left())]
    await asyncio.wait(tasks, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _report(gateways: list[Gateway], connect_s: float, filed_s: float) -> FleetReport:
    return FleetReport(
        len(gateways),
        connect_s,
        sum(g.filed.is_set() for g in gateways),
        filed_s,
        sum(g.retries for g in gateways),
        sum(bool(g.rejected) for g in gateways),
        sum(not g.connected.is_set() for g in gateways),
    )
