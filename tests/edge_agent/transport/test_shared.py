"""One port for several analysers, told apart by their address."""

import asyncio

from support_ports import Wire, run, until
from support_transport import Watch, build

from edge_agent.transport.base import Guarded
from edge_agent.transport.shared import SharedListener


def test_each_caller_reaches_the_analyser_that_names_its_address_and_a_stranger_none():
    async def main():
        server = build("tcp-server://127.0.0.1:0", peer=["127.0.0.2", "127.0.0.3"])
        listener = SharedListener(server)
        watches = [Watch(listener.share([peer])) for peer in ("127.0.0.2", "127.0.0.3")]
        refused = []
        tasks = [asyncio.create_task(listener.run())]
        for watch in watches:
            assert isinstance(watch.transport, Guarded)
            watch.transport.on_refused = lambda why, address: refused.append(address)
            tasks.append(asyncio.create_task(watch.transport.run(watch.collect, watch.states.append)))
        await until(lambda: all(w.up for w in watches))
        for address, text in (("127.0.0.3", b"three"), ("127.0.0.2", b"two"), ("127.0.0.4", b"four")):
            wire = await Wire.call(server.port, local=address)
            if address == "127.0.0.4":
                assert await wire.hung_up()
            else:
                await wire.send(text)
            await wire.close()
        await until(lambda: all(w.ended for w in watches))
        assert [bytes(w.received[0]) for w in watches] == [b"two", b"three"]
        assert refused == ["127.0.0.4", "127.0.0.4"]  # either analyser may be the one that is missed
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    run(main())


def test_the_end_of_a_share_ends_its_own_connections_and_lets_each_finish_what_it_began():
    async def main():
        server = build("tcp-server://127.0.0.1:0")
        listener = SharedListener(server)
        goes, stays = Watch(listener.share(["127.0.0.2"])), Watch(listener.share(["127.0.0.3"]))
        finishing, go_on = asyncio.Event(), asyncio.Event()
        finished = []

        async def session(connection):
            try:
                await connection.read()
            finally:  # as a session that waits for its last commit
                finishing.set()
                await go_on.wait()
                finished.append(connection.peer)

        tasks = [asyncio.create_task(listener.run()), asyncio.create_task(stays.transport.run(stays.collect, print))]
        going = asyncio.create_task(goes.transport.run(session, goes.states.append))
        await until(lambda: goes.up)
        one, other = await Wire.call(server.port, local="127.0.0.2"), await Wire.call(server.port, local="127.0.0.3")
        await until(lambda: stays.connections and server._open.keys() > set(stays.connections))
        going.cancel()
        await finishing.wait()
        assert not going.done()
        tasks[0].cancel()  # the whole port is closed, too, before it has finished
        await asyncio.sleep(0)
        go_on.set()
        await asyncio.gather(going, *tasks[:1], return_exceptions=True)
        assert len(finished) == 1
        assert stays.ended == 0  # cancelled with the port, not by the other share's end
        await one.close()
        await other.close()
        tasks[1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    run(main())


def test_a_share_that_ends_after_its_port_does_not_disturb_what_is_being_finished():
    """An agent that stops cancels both, and the port is often the quicker one."""

    async def main():
        server = build("tcp-server://127.0.0.1:0")
        listener = SharedListener(server)
        goes = Watch(listener.share(["127.0.0.2"]))
        finishing, go_on = asyncio.Event(), asyncio.Event()
        finished = []

        async def session(connection):
            try:
                await connection.read()
            finally:  # as a session that waits for its last commit
                finishing.set()
                await go_on.wait()
                finished.append(connection.peer)

        port = asyncio.create_task(listener.run())
        going = asyncio.create_task(goes.transport.run(session, goes.states.append))
        await until(lambda: goes.up)
        wire = await Wire.call(server.port, local="127.0.0.2")
        await until(lambda: goes.transport._open)
        port.cancel()
        await finishing.wait()
        going.cancel()
        await until(lambda: goes.transport._on_connection is None)
        go_on.set()
        await asyncio.gather(going, port, return_exceptions=True)
        assert len(finished) == 1
        await wire.close()

    run(main())
