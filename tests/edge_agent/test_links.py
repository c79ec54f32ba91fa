"""Links come and go while others receive: real ports, a real store, frames written by hand."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support_free_port import free_port
from support_ports import Wire, run, until
from support_session import ACK, ENQ, EOT, MESSAGE, SOURCE, FaultyStore, store_in, talk

from drivers.protocols.lis01 import Dialect
from edge_agent.clock import SystemClock
from edge_agent.links import Line, Links
from edge_agent.monitor.alarms import Alarms
from edge_agent.states import TransmissionState


def line(analyser: str, port: int, *peer: str, mode: str = "validation") -> Line:
    source = replace(SOURCE, analyser=analyser, mode=mode)
    return Line(f"tcp-server://127.0.0.1:{port}", peer, source, Dialect())


class Ward:
    def __init__(self, store: FaultyStore, lines: Sequence[Line]) -> None:
        self.store = store
        self.alarms = Alarms(SystemClock())
        self.ended = asyncio.Event()
        inner: Any = store
        self.links = Links(lines, inner, SystemClock(), random.Random(1), self.alarms, self.ended.set, lambda: False)
        self.wires: list[Wire] = []

    async def change(self, *lines: Line) -> None:
        await self.links.stop(lines)
        self.links.start(lines)
        await self.links.tried()

    async def call(self, port: int, local: str = "127.0.0.1") -> Wire:
        self.wires.append(await Wire.call(port, local=local))
        return self.wires[-1]

    async def stored(self) -> list[tuple[str, TransmissionState, str]]:
        """(analyser, state, reason) of everything that ended."""
        found = await asyncio.wrap_future(self.store.inner.later(lambda s: s.next_unconverted(100)))
        return [(t.source.analyser, t.state, t.reason) for t in found]


@asynccontextmanager
async def ward(store: FaultyStore, *lines: Line) -> AsyncIterator[Ward]:
    made = Ward(store, lines)
    task = asyncio.create_task(made.links.run())
    await made.links.tried()
    try:
        yield made
    finally:
        for wire in made.wires:
            await wire.close()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def begin(wire: Wire) -> None:
    assert await talk(wire, ENQ, *MESSAGE[:2]) == [ACK] * 3


async def finish(wire: Wire) -> None:
    assert await talk(wire, *MESSAGE[2:]) == [ACK] * 2
    await wire.send(EOT)


COMPLETE, BROKEN = (TransmissionState.COMPLETE, "L"), (TransmissionState.INTERRUPTED, "restart")


def test_an_analyser_that_did_not_change_goes_on_in_the_middle_of_its_transmission(tmp_path: Path) -> None:
    async def main(store: FaultyStore) -> None:
        one, two, three = free_port(), free_port(), free_port()
        async with ward(store, line("an1", one), line("an2", two)) as w:
            stays, goes = await w.call(one), await w.call(two)
            await begin(stays)
            await begin(goes)
            (kept, _) = w.links.links
            await w.change(line("an1", one), line("an3", three))
            assert w.links.links[0] is kept
            assert [link.analyser_id for link in w.links.links] == ["an1", "an3"]
            await finish(stays)
            assert await goes.hung_up()
            with pytest.raises(ConnectionRefusedError):
                await Wire.call(two)
            await begin(new := await w.call(three))
            await finish(new)
            await until(lambda: not any(link.status().receiving for link in w.links.links))
            assert await w.stored() == [("an1", *COMPLETE), ("an2", *BROKEN), ("an3", *COMPLETE)]

    with store_in(tmp_path) as store:
        run(main(store))


def test_a_changed_analyser_is_interrupted_and_the_same_port_takes_its_next_call(tmp_path: Path) -> None:
    async def main(store: FaultyStore) -> None:
        port = free_port()
        async with ward(store, line("an1", port)) as w:
            await begin(wire := await w.call(port))
            await w.change(line("an1", port, mode="production"))
            assert await wire.hung_up()
            await begin(again := await w.call(port))
            await finish(again)
            await until(lambda: not w.links.links[0].status().receiving)
            assert await w.stored() == [("an1", *BROKEN), ("an1", *COMPLETE)]

    with store_in(tmp_path) as store:
        run(main(store))


def test_on_a_shared_port_one_comes_and_one_goes_and_the_third_goes_on(tmp_path: Path) -> None:
    async def main(store: FaultyStore) -> None:
        port = free_port()
        async with ward(store, line("an1", port, "127.0.0.2")) as w:
            await begin(stays := await w.call(port, "127.0.0.2"))
            stranger = await w.call(port, "127.0.0.3")
            assert await stranger.hung_up()  # the negative control: nobody named it yet

            await w.change(line("an1", port, "127.0.0.2"), line("an2", port, "127.0.0.3"))
            await begin(goes := await w.call(port, "127.0.0.3"))
            await w.change(line("an1", port, "127.0.0.2"), line("an3", port, "127.0.0.4"))
            assert await goes.hung_up()
            assert await (await w.call(port, "127.0.0.3")).hung_up()
            await begin(new := await w.call(port, "127.0.0.4"))
            await finish(new)
            await finish(stays)
            await until(lambda: not any(link.status().receiving for link in w.links.links))
            assert sorted(await w.stored()) == [("an1", *COMPLETE), ("an2", *BROKEN), ("an3", *COMPLETE)]

    with store_in(tmp_path) as store:
        run(main(store))


def test_a_port_moves_from_one_analyser_to_another(tmp_path: Path) -> None:
    async def main(store: FaultyStore) -> None:
        port = free_port()
        async with ward(store, line("an1", port)) as w:
            await w.change(line("an2", port))
            await begin(wire := await w.call(port))
            await finish(wire)
            await until(lambda: not w.links.links[0].status().receiving)
            assert await w.stored() == [("an2", *COMPLETE)]

    with store_in(tmp_path) as store:
        run(main(store))


def test_an_end_that_could_not_be_stored_is_stored_though_its_link_is_gone(tmp_path: Path) -> None:
    async def main(store: FaultyStore) -> None:
        port = free_port()
        async with ward(store, line("an1", port)) as w:
            await begin(await w.call(port))
            store.broken = "disk I/O error"
            await w.change()
            assert w.links.links == []
            store.broken = None
            await w.ended.wait()
            assert await w.stored() == [("an1", *BROKEN)]

    with store_in(tmp_path) as store:
        run(main(store))
