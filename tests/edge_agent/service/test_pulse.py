"""READY when the ports are open; the watchdog fed by the loop and a store write, and by nothing less."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from support_conversion import open_store
from support_free_port import free_port

from edge_agent.service.notify import Notifier
from edge_agent.service.pulse import Pulse
from edge_agent.store.errors import StorageFailedError
from edge_agent.store.thread import StoreThread

ROOT = Path(__file__).parents[3]
WATCHDOG_S = 0.03
MANY = 5


class FaultyStore:
    """A store's thread that writes, fails or hangs."""

    def __init__(self, does: str = "writes") -> None:
        self.does = does
        self.asked = 0

    def later(self, job: Any) -> Future[None]:
        self.asked += 1
        future: Future[None] = Future()
        if self.does == "writes":
            future.set_result(None)
        elif self.does == "fails":
            future.set_exception(StorageFailedError("disk I/O error"))
        return future


class Ports:
    def __init__(self, tried: bool = True) -> None:
        self.event = asyncio.Event()
        if tried:
            self.event.set()

    async def tried(self) -> None:
        await self.event.wait()


async def until(condition: Any) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  # of another thread or a socket
            await asyncio.sleep(0.002)


async def a_while() -> None:
    """Several turns of the watchdog's period: long enough for what must not come to come."""
    await asyncio.sleep(WATCHDOG_S * 3)


@asynccontextmanager
async def beating(
    manager: Any, store: Any, ports: Ports | None = None, watchdog_s: float = WATCHDOG_S
) -> AsyncIterator[Pulse]:
    pulse = Pulse(Notifier(manager.address, watchdog_s), store, (ports or Ports()).tried, lambda: "All is well.")
    task = asyncio.create_task(pulse.run())
    try:
        yield pulse
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_ready_comes_after_the_ports_were_tried_and_not_before(manager: Any) -> None:
    async def main() -> None:
        ports = Ports(tried=False)
        async with beating(manager, FaultyStore(), ports):
            await a_while()
            assert manager.listen() == []
            ports.event.set()
            await until(lambda: manager.heard("READY"))
        assert manager.told[0] == {"READY": "1", "STATUS": "All is well."}
        assert manager.heard("READY") == 1

    asyncio.run(main())


def test_the_watchdog_is_fed_again_and_again_each_time_after_a_write(manager: Any) -> None:
    async def main() -> None:
        store = FaultyStore()
        async with beating(manager, store):
            await until(lambda: manager.heard("WATCHDOG") >= MANY)
            assert store.asked >= manager.heard("WATCHDOG")

    asyncio.run(main())


def test_the_writes_reach_the_disk(manager: Any, tmp_path: Path) -> None:
    def proved(s: Any) -> int:
        return int(s.database.fact("proved") or 0)

    async def main(store: StoreThread) -> None:
        async with beating(manager, store):
            await until(lambda: manager.heard("WATCHDOG"))
            first = await asyncio.wrap_future(store.later(proved))
            assert first > 0
            count = manager.heard("WATCHDOG")
            await until(lambda: manager.heard("WATCHDOG") > count + 1)
            assert await asyncio.wrap_future(store.later(proved)) > first

    store = StoreThread(lambda: open_store(tmp_path))
    store.start()
    try:
        asyncio.run(main(store))
    finally:
        store.stop()


@pytest.mark.parametrize("trouble", ["fails", "hangs"])
def test_a_store_that_fails_or_hangs_stops_the_feeding(manager: Any, trouble: str) -> None:
    async def main() -> None:
        store = FaultyStore()
        async with beating(manager, store):
            await until(lambda: manager.heard("WATCHDOG"))
            store.does, asked = trouble, store.asked
            await until(lambda: store.asked > asked)
            fed = manager.heard("WATCHDOG")
            await a_while()
            assert manager.heard("WATCHDOG") == fed

    asyncio.run(main())


def test_a_store_that_works_again_is_fed_for_again(manager: Any) -> None:
    async def main() -> None:
        store = FaultyStore("fails")
        async with beating(manager, store):
            await until(lambda: store.asked > 2)
            assert not manager.heard("WATCHDOG")
            store.does = "writes"
            await until(lambda: manager.heard("WATCHDOG"))

    asyncio.run(main())


def test_a_store_thread_that_is_stuck_in_a_job_stops_the_feeding(manager: Any, tmp_path: Path) -> None:
    go = threading.Event()

    async def main(store: StoreThread) -> None:
        async with beating(manager, store):
            await until(lambda: manager.heard("WATCHDOG"))
            stuck = threading.Event()
            job = store.later(lambda _: stuck.set() or go.wait(20))
            await until(stuck.is_set)
            await a_while()  # a write that was through before is told of
            fed = manager.heard("WATCHDOG")
            await a_while()
            assert manager.heard("WATCHDOG") == fed
            go.set()
            await asyncio.wrap_future(job)
            await until(lambda: manager.heard("WATCHDOG") > fed)

    store = StoreThread(lambda: open_store(tmp_path))
    store.start()
    try:
        asyncio.run(main(store))
    finally:
        go.set()
        store.stop()


def test_a_loop_that_stands_still_stops_the_feeding(manager: Any) -> None:
    fed: list[int] = []

    def stand_still() -> None:
        fed.append(manager.heard("WATCHDOG"))
        threading.Event().wait(WATCHDOG_S * 3)  # blocks the loop's thread, as a defect would
        fed.append(manager.heard("WATCHDOG"))

    async def main() -> None:
        async with beating(manager, FaultyStore()):
            await until(lambda: manager.heard("WATCHDOG"))
            asyncio.get_running_loop().call_soon(stand_still)
            await until(lambda: len(fed) == 2)

    asyncio.run(main())
    assert fed[0] == fed[1] > 0


def test_without_a_watchdog_the_status_is_told_and_the_disk_left_in_peace(manager: Any) -> None:
    async def main() -> None:
        store = FaultyStore()
        async with beating(manager, store, watchdog_s=0.0):
            await until(lambda: manager.heard("STATUS") >= 2)
        assert (store.asked, manager.heard("WATCHDOG")) == (0, 0)

    asyncio.run(main())


# The agent as a process


def _config(folder: Path, port: int | None) -> Path:
    config = folder / "edge-agent.toml"
    config.write_text(
        f'[agent]\nsite = "s"\ngateway = "g"\ndata_dir = "data"\n[mqtt]\nurls = ["mqtt://127.0.0.1:{free_port()}"]\n'
        + ("" if port is None else _analyser(port)),
        encoding="utf-8",
    )
    return config


def _analyser(port: int) -> str:
    return f'[[analyser]]\nid = "an1"\nprofile = "lis02_generic"\ntransport = "tcp-server://127.0.0.1:{port}"\n'


@contextmanager
def agent(config: Path, **environ: str) -> Iterator[subprocess.Popen[bytes]]:
    words = [sys.executable, "-W", "error", "-m", "edge_agent", "run", "--config", str(config)]
    process = subprocess.Popen(words, cwd=ROOT, env=os.environ | environ, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait(20)


def test_an_agent_is_ready_with_its_ports_open_feeds_the_watchdog_and_says_that_it_stops(
    manager: Any, tmp_path: Path
) -> None:
    port = free_port()
    with agent(_config(tmp_path, port), NOTIFY_SOCKET=manager.address, WATCHDOG_USEC="300000") as process:
        manager.until(lambda: manager.heard("READY") or process.poll() is not None)
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        manager.until(lambda: manager.heard("WATCHDOG") >= MANY)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    told = manager.listen()
    assert told[0]["READY"] == "1"
    assert told[-1] == {"STOPPING": "1", "STATUS": "Stopping."}
    assert manager.heard("STOPPING") == 1


def test_a_port_that_cannot_be_opened_keeps_no_agent_from_being_ready(manager: Any, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        config = _config(tmp_path, taken.getsockname()[1])
        with agent(config, NOTIFY_SOCKET=manager.address) as process:
            manager.until(lambda: manager.heard("READY") or process.poll() is not None)
    [ready] = [facts for facts in manager.told if "READY" in facts]
    assert ready["STATUS"] != "All is well."  # the port's remark, or the broker's, whichever came first


def test_an_agent_without_analysers_runs_and_waits_to_be_given_some(manager: Any, tmp_path: Path) -> None:
    with agent(_config(tmp_path, None), NOTIFY_SOCKET=manager.address, WATCHDOG_USEC="300000") as process:
        manager.until(lambda: manager.heard("WATCHDOG") >= MANY or process.poll() is not None)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert manager.heard("READY") == 1
