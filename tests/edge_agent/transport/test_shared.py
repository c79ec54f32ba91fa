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
