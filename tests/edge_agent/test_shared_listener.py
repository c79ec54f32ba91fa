"""One port for several analysers: no connection ever reaches the wrong one."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support_ports import Wire, run, until
from support_transport import Watch, build

from edge_agent.configuration.file import load
from edge_agent.errors import ConfigurationError
from edge_agent.transport.base import LinkState, Refusal
from edge_agent.transport.shared import SharedListener

CONFIG = """\
[agent]
site = "seoul-01"
gateway = "gw-01"

[mqtt]
urls = ["mqtt://127.0.0.1:1883"]

[[analyser]]
id = "one"
profile = "lis02_generic"
transport = "tcp-server://0.0.0.0:5600"
peer = [ONE]

[[analyser]]
id = "two"
profile = "lis02_generic"
transport = "tcp-server://0.0.0.0:5600"
peer = [TWO]
"""


class Shared:
    """A real port with shares for the given peers, and what each of them got."""

    def __init__(self, *peers: Sequence[str]) -> None:
        self.server: Any = build("tcp-server://127.0.0.1:0", peer=[p for each in peers for p in each])
        self.listener = SharedListener(self.server)
        self.watches = [Watch(self.listener.share(each)) for each in peers]
        self.refused: list[tuple[int, Refusal]] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "Shared":
        self.tasks = [asyncio.create_task(self.listener.run())]
        for number, watch in enumerate(self.watches):
            watch.transport.on_refused = lambda why, _, n=number: self.refused.append((n, why))
            self.tasks.append(asyncio.create_task(watch.transport.run(watch.collect, watch.states.append)))
        await until(lambda: all(w.up for w in self.watches))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def call(self, address: str) -> Wire:
        return await Wire.call(self.server.port, local=address)


def test_a_caller_that_two_analysers_name_reaches_neither() -> None:
    """The configuration refuses it; should it come to pass all the same, no result goes under a wrong name."""

    async def main() -> None:
        async with Shared(["127.0.0.0/8"], ["127.0.0.2"]) as shared:
            wire = await shared.call("127.0.0.2")
            assert await wire.hung_up()
            assert [w.received for w in shared.watches] == [[], []]
            assert shared.refused == [(0, Refusal.NOT_ALLOWED), (1, Refusal.NOT_ALLOWED)]
            other = await shared.call("127.0.0.3")
            await other.send(b"hello")
            await until(lambda: shared.watches[0].received and shared.watches[0].received[0] == b"hello")
            await wire.close()
            await other.close()

    run(main())


def test_an_analyser_that_is_not_served_yet_gets_no_connection_of_another() -> None:
    async def main() -> None:
        server: Any = build("tcp-server://127.0.0.1:0", peer=["127.0.0.2", "127.0.0.3"])
        listener = SharedListener(server)
        listener.share(["127.0.0.2"])  # its link does not run
        other = Watch(listener.share(["127.0.0.3"]))
        tasks = [
            asyncio.create_task(listener.run()),
            asyncio.create_task(other.transport.run(other.collect, other.states.append)),
        ]
        await until(lambda: other.up)
        wire = await Wire.call(server.port, local="127.0.0.2")
        assert await wire.hung_up()
        await wire.close()
        assert other.received == []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    run(main())


def test_the_port_going_down_is_told_to_everybody_also_to_who_comes_later() -> None:
    async def main() -> None:
        down = LinkState(False, datetime(2024, 6, 12, tzinfo=UTC), "The port is taken.")

        class Port:
            async def run(self, on_connection: Any, on_state: Any) -> None:
                on_state(down)
                await asyncio.Event().wait()

        listener = SharedListener(Port())
        early, late = Watch(listener.share(["127.0.0.2"])), Watch(listener.share(["127.0.0.3"]))
        tasks = [asyncio.create_task(early.transport.run(early.collect, early.states.append))]
        await asyncio.sleep(0)
        tasks.append(asyncio.create_task(listener.run()))
        await until(lambda: early.states)
        tasks.append(asyncio.create_task(late.transport.run(late.collect, late.states.append)))
        await until(lambda: late.states)
        assert (early.states, late.states) == ([down], [down])
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    run(main())


def test_an_analyser_whose_two_links_are_one_port_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "edge-agent.toml"
    link = '{ role = "ROLE", transport = "tcp-server://127.0.0.1:5600" }'
    links = f"links = [{link.replace('ROLE', 'results')}, {link.replace('ROLE', 'orders')}]"
    analyser = f'[[analyser]]\nid = "one"\nprofile = "lis02_generic"\n{links}\n'
    path.write_text(CONFIG.partition("[[analyser]]")[0] + analyser, encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        load(path)
    assert [p.text for p in caught.value.problems] == ["two links use the same port"]
    path.write_text(path.read_text().replace(":5600", ":5601", 1), encoding="utf-8")
    assert len(load(path).analyser[0].transports()) == 2


@pytest.mark.parametrize(
    ("one", "two", "refused"),
    [
        ('"10.0.0.5"', '"10.0.0.6"', False),
        ('"10.0.0.5"', '"10.0.0.5"', True),
        ('"10.0.0.5"', '"10.0.0.5/32"', True),
        ('"10.0.0.0/24"', '"10.0.0.5"', True),
        ('"10.0.0.0/25"', '"10.0.0.128/25"', False),
        ('"any"', '"10.0.0.5"', True),
        ('"10.0.0.6", "10.0.0.5"', '"10.0.0.7", "10.0.0.5"', True),
        ('"fe80::1"', '"10.0.0.5"', False),
    ],
)
def test_a_configuration_in_which_an_address_could_mean_two_analysers_is_refused(
    tmp_path: Path, one: str, two: str, refused: bool
) -> None:
    path = tmp_path / "edge-agent.toml"
    path.write_text(CONFIG.replace("ONE", one).replace("TWO", two), encoding="utf-8")
    if not refused:
        assert len(load(path).analyser) == 2
        return
    with pytest.raises(ConfigurationError) as caught:
        load(path)
    [problem] = caught.value.problems
    assert (problem.line, problem.key) == (17, "analyser.two.transport")
    assert problem.text == "one has the same port and peer; analysers on one port need different peers"
