"""A sender that gave up and asked again while the process was frozen, or the network: all of it comes at once."""

import pytest
from support_ports import run
from support_session import ACK, ENQ, EOT, MESSAGE, FaultyStore, rig, store_in, talk

GAVE_UP = [
    ((), ENQ + EOT + ENQ),
    ((), ENQ + EOT + ENQ + EOT + ENQ),
    ((ENQ,), MESSAGE[0] + ENQ),
    ((ENQ,), MESSAGE[0] + EOT + ENQ),
]


@pytest.mark.parametrize(("answered", "at_once"), GAVE_UP)
def test_who_gave_up_while_the_line_stood_gets_one_answer(tmp_path, answered: tuple[bytes, ...], at_once: bytes):
    """The process was frozen, or the network: all of it comes at once, and only the last ENQ waits for an answer."""

    async def main(store: FaultyStore):
        async with rig(store) as r:
            wire = await r.call()
            assert await talk(wire, *answered) == [ACK] * len(answered)
            await wire.send(at_once)
            assert await wire.answer(1) == ACK
            assert await talk(wire, *MESSAGE) == [ACK] * 4
            assert await wire.unread() == b""

    with store_in(tmp_path) as store:
        run(main(store))


def test_otherwise_it_would_take_each_answer_for_that_to_what_it_sends_next(tmp_path, monkeypatch):
    """Negative control of the test above."""
    monkeypatch.setattr("drivers.protocols.lis01.Receiver.overtaken", False)

    async def main(store: FaultyStore):
        async with rig(store) as r:
            wire = await r.call()
            await wire.send(ENQ + EOT + ENQ)
            assert await wire.answer(2) == ACK * 2

    with store_in(tmp_path) as store:
        run(main(store))
