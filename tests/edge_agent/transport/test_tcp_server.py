"""A listening port: who may call, how many, and what is said when it cannot listen."""

import asyncio
import socket

from support_free_port import free_port
from support_ports import Wire, run, until
from support_transport import build, running

from edge_agent.transport.base import Connection, Refusal
from edge_agent.transport.tcp_connection import USER_TIMEOUT_MS, TcpConnection


def server(**more):
    return build("tcp-server://127.0.0.1:0", **more)


def test_bytes_arrive_whole_and_in_order_however_they_are_cut():
    async def main():
        text = bytes(range(256)) * 40
        async with running(server()) as watch:
            await until(lambda: watch.up)
            wire = await Wire.call(watch.transport.port)
            for start in range(0, len(text), 7):
                await wire.send(text[start : start + 7])
            wire.end()
            await until(lambda: watch.ended == 1)
            await wire.close()
        assert bytes(watch.received[0]) == text

    run(main())


def test_two_connections_never_mix():
    async def main():
        async with running(server()) as watch:
            await until(lambda: watch.up)
            a, b = await Wire.call(watch.transport.port), await Wire.call(watch.transport.port)
            for _ in range(200):
                await a.send(b"a" * 11)
                await b.send(b"b" * 13)
            a.end()
            b.end()
            await until(lambda: watch.ended == 2)
            await a.close()
            await b.close()
        assert sorted(bytes(r) for r in watch.received) == [b"a" * 2200, b"b" * 2600]

    run(main())


def test_a_caller_who_stops_sending_is_still_answered():
    async def answering(connection: Connection) -> None:
        got = b""
        while data := await connection.read():
            got += data
        await connection.write(b"<" + got + b">")

    async def main():
        async with running(server(), answering) as watch:
            await until(lambda: watch.up)
            wire = await Wire.call(watch.transport.port)
            await wire.send(b"all")
            wire.end()
            assert await wire.answer(5) == b"<all>"
            assert await wire.hung_up()
            await wire.close()

    run(main())


def test_an_address_that_is_not_allowed_gets_nothing_and_is_counted():
    async def main():
        refused = []
        transport = server(peer=["127.0.0.9"])
        transport.on_refused = lambda why, address: refused.append((why, address))
        async with running(transport) as watch:
            await until(lambda: watch.up)
            stranger = await Wire.call(watch.transport.port)
            assert await stranger.hung_up()
            friend = await Wire.call(watch.transport.port, local="127.0.0.9")
            await friend.send(b"x")
            await until(lambda: watch.received and watch.received[0] == b"x")
            await stranger.close()
            await friend.close()
        assert refused == [(Refusal.NOT_ALLOWED, "127.0.0.1")]
        assert transport.refused == 1
        assert len(watch.connections) == 1

    run(main())


def test_without_a_list_of_peers_the_same_stranger_is_served():
    async def main():
        async with running(server(peer=["any"])) as watch:
            await until(lambda: watch.up)
            wire = await Wire.call(watch.transport.port)
            await wire.send(b"x")
            await until(lambda: watch.received and watch.received[0] == b"x")
            await wire.close()

    run(main())


def test_the_connection_above_the_cap_is_refused_and_the_earlier_ones_go_on():
    async def main():
        refused = []
        transport = server(cap=3)
        transport.on_refused = lambda why, address: refused.append(why)
        async with running(transport) as watch:
            await until(lambda: watch.up)
            wires = [await Wire.call(transport.port) for _ in range(3)]
            await until(lambda: len(watch.connections) == 3)
            late = await Wire.call(transport.port)
            assert await late.hung_up()
            assert refused == [Refusal.FULL]
            await wires[0].close()
            await until(lambda: watch.ended == 1)
            next_one = await Wire.call(transport.port)
            await next_one.send(b"in")
            await until(lambda: len(watch.received) == 4 and watch.received[3] == b"in")
            for wire in (*wires[1:], late, next_one):
                await wire.close()

    run(main())


def test_a_port_in_use_is_down_with_one_sentence_and_comes_up_when_it_is_free():
    async def main():
        port = free_port()
        squatter = socket.socket()
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        squatter.bind(("127.0.0.1", port))
        squatter.listen()
        async with running(build(f"tcp-server://127.0.0.1:{port}")) as watch:
            await until(lambda: watch.states)
            assert not watch.up
            assert watch.reason == f"127.0.0.1:{port} is in use by another program."
            squatter.close()
            await until(lambda: watch.up)
            assert len(watch.states) == 2  # said once down, once up, however often it was tried
            wire = await Wire.call(port)
            await wire.close()

    run(main())


def test_an_address_of_another_machine_is_said_to_be_none_of_ours():
    async def main():
        async with running(build("tcp-server://192.0.2.7:5600", peer=["any"])) as watch:
            await until(lambda: watch.states)
        assert watch.reason == "192.0.2.7:5600 is not an address of this machine."

    run(main())


def test_the_socket_watches_for_a_dead_peer():
    async def main():
        async with running(server()) as watch:
            await until(lambda: watch.up)
            wire = await Wire.call(watch.transport.port)
            await until(lambda: watch.connections)
            sock = watch.connections[0]._transport.get_extra_info("socket")
            tcp = socket.IPPROTO_TCP
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert sock.getsockopt(tcp, socket.TCP_KEEPIDLE) == 5
            assert sock.getsockopt(tcp, socket.TCP_KEEPINTVL) == 2
            assert sock.getsockopt(tcp, socket.TCP_KEEPCNT) == 3
            assert sock.getsockopt(tcp, socket.TCP_USER_TIMEOUT) == USER_TIMEOUT_MS == 10_000
            assert sock.getsockopt(tcp, socket.TCP_NODELAY) == 1
            await wire.close()

    run(main())


def test_a_peer_that_vanished_brings_the_port_down_until_somebody_calls():
    async def main():
        async with running(server()) as watch:
            await until(lambda: watch.up)
            gone = await Wire.call(watch.transport.port)
            await until(lambda: watch.connections)
            # what the kernel reports when keepalive fails; pulling a cable for it would take 11 s
            watch.connections[0].connection_lost(TimeoutError(110, "Connection timed out"))
            await until(lambda: not watch.up)
            assert "does not answer any more" in watch.reason
            back = await Wire.call(watch.transport.port)
            await until(lambda: watch.up)
            await back.close()
            await until(lambda: watch.ended == 2)
            assert watch.up  # hanging up in good order is no reason to call the port down
            await gone.close()

    run(main())


def test_a_defect_in_one_session_ends_only_that_session(caplog):
    async def faulty(connection: Connection) -> None:
        if await connection.read() == b"bad":
            raise KeyError("the patient's name")
        await connection.write(b"ok")

    async def main():
        async with running(server(), faulty) as watch:
            await until(lambda: watch.up)
            bad, good = await Wire.call(watch.transport.port), await Wire.call(watch.transport.port)
            await bad.send(b"bad")
            assert await bad.hung_up()
            assert await good.ask(b"good", 2) == b"ok"
            await bad.close()
            await good.close()

    run(main())
    assert "KeyError" in caplog.text
    assert "patient" not in caplog.text


def test_a_session_that_does_not_read_stops_its_peer_instead_of_filling_memory():
    async def main():
        go_on = asyncio.Event()
        got = []

        async def lazy(connection: TcpConnection) -> None:
            await go_on.wait()
            while data := await connection.read():
                got.append(len(data))

        async with running(server(), lazy) as watch:
            await until(lambda: watch.up)
            wire = await Wire.call(watch.transport.port)
            sending = asyncio.create_task(wire.send(b"x" * 20_000_000))
            await until(lambda: any(c._paused for c in watch.transport._open))
            assert not sending.done()
            assert next(iter(watch.transport._open))._inbox.size < 1_000_000
            go_on.set()
            await sending
            wire.end()
            await until(lambda: sum(got) == 20_000_000)
            await wire.close()

    run(main())


def test_stopping_hangs_up_on_everybody():
    async def main():
        async with running(server()) as watch:
            await until(lambda: watch.up)
            wires = [await Wire.call(watch.transport.port) for _ in range(3)]
            await until(lambda: len(watch.connections) == 3)
        for wire in wires:
            assert await wire.hung_up()
            await wire.close()

    run(main())


def test_a_peer_that_does_not_read_is_given_up_and_not_waited_for_for_ever(monkeypatch):
    monkeypatch.setattr("edge_agent.transport.tcp_connection.WRITE_S", 0.05)

    async def main():
        told = []

        async def flooding(connection: Connection) -> None:
            try:
                while True:
                    await connection.write(b"x" * 100_000)
            except ConnectionError as error:
                told.append(str(error))

        async with running(server(), flooding) as watch:
            await until(lambda: watch.up)
            wire = await Wire.call(watch.transport.port)
            await until(lambda: told)
            await wire.close()
        assert told == ["the other side does not read"]

    run(main())
