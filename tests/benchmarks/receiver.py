"""The agent's receive path as a process: links, sessions and a store; no conversion, no broker.

Words: links, and what stands behind the sessions: "durable" (the store, with a folder), "thread" (the hand-over to the
store's thread and its groups, without a database), "nothing" (``reference/no_store.py``). Ready with its ports; "cpu"
answers with the processor seconds so far.
"""

import asyncio
import os
import random
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.kit import fine_cpu_s, say
from benchmarks.reference.no_store import NoStore, NoStoreThread
from support_ports import until

from drivers.protocols.lis01 import Dialect
from edge_agent.clock import SystemClock
from edge_agent.link import Link
from edge_agent.monitor.alarms import Alarms
from edge_agent.store.rows import Source
from edge_agent.store.store import Store
from edge_agent.store.thread import StoreThread
from edge_agent.transport.open import transport_for

SOURCE = Source("an1", "", "lis02_generic", 1, "00", "production")


def store_for(kind: str, folder: str) -> Any:
    if kind == "nothing":
        return NoStore()
    if kind == "thread":
        return NoStoreThread()
    return StoreThread(lambda: Store.open(Path(folder), SystemClock()))


async def serve(links: int, store: Any) -> None:
    clock = SystemClock()
    transports: list[Any] = []
    tasks = []
    for _ in range(links):
        transport = transport_for("tcp-server://127.0.0.1:0", peer=(), clock=clock, rng=random.Random(1))
        link = Link("an1", transport, SOURCE, Dialect(), store, clock, Alarms(clock), _nothing, _no)
        transports.append((transport, link))
        tasks.append(asyncio.create_task(link.run()))
    await until(lambda: all(link.status().up for _, link in transports))
    say([transport.port for transport, _ in transports])
    while await asyncio.to_thread(sys.stdin.readline):
        say(fine_cpu_s(os.getpid()))
    for task in tasks:
        task.cancel()
    with suppress(asyncio.CancelledError):
        await asyncio.gather(*tasks, return_exceptions=True)


def _nothing() -> None:
    pass


def _no() -> bool:
    return False


def main() -> None:
    store = store_for(sys.argv[2], sys.argv[3])
    store.start()
    asyncio.run(serve(int(sys.argv[1]), store))
    store.stop()


if __name__ == "__main__":
    main()
