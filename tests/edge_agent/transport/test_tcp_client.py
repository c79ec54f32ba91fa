"""A port that we call: connects again for ever."""

import asyncio

from support_free_port import free_port
from support_ports import Wire, run, until
from support_transport import build, running


class Listener:
    """An analyser that listens."""

    def __init__(self) -> None:
        self.wires: list[Wire] = []

    async def open(self, port: int) -> asyncio.Server:
        return await asyncio.start_server(lambda r, w: self.wires.append(Wire(r, w)), "127.0.0.1", port)


def test_bytes_go_both_ways():
    async def echo(connection):
        while data := await connection.read():
            await connection.write(data.upper())

    async def main():
        port, analyser = free_port(), Listener()
        server = await analyser.open(port)
        async with running(build(f"tcp-client://127.0.0.1:{port}"), echo):
            await until(lambda: analyser.wires)
            assert await analyser.wires[0].ask(b"abc", 3) == b"ABC"
            await analyser.wires[0].close()
        server.close()

    run(main())


def test_nobody_listening_is_one_sentence_and_the_call_comes_through_later():
    async def main():
        port, analyser = free_port(), Listener()
        async with running(build(f"tcp-client://127.0.0.1:{port}")) as watch:
            await until(lambda: watch.states)
            assert watch.reason == f"127.0.0.1:{port} refuses the connection."
            await asyncio.sleep(0.1)
            assert len(watch.states) == 1  # many attempts, one sentence
            server = await analyser.open(port)
            await until(lambda: watch.up and analyser.wires)
            await analyser.wires[0].close()
            await until(lambda: len(analyser.wires) == 2)  # hung up on: called again
            assert [s.up for s in watch.states][:3] == [False, True, False]
            assert watch.states[2].reason == f"127.0.0.1:{port} closed the connection."
            await analyser.wires[1].close()
            server.close()

    run(main())


def test_a_name_nobody_knows_is_said_to_be_unknown():
    async def main():
        async with running(build("tcp-client://analyser.invalid:4001")) as watch:
            await until(lambda: watch.states)
        assert watch.reason == "The name in analyser.invalid:4001 is not known to this network."

    run(main())
