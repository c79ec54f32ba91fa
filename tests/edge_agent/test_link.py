"""One analyser's link: its alarms follow the port, and strangers are named once."""

import asyncio
import random

from support_ports import Wire, run, until
from support_session import ACK, ENQ, MESSAGE, NAK, RECORDS, SOURCE, Rig, bad, rig, store_in, talk

from drivers.protocols.lis01 import Dialect
from edge_agent.clock import SystemClock
from edge_agent.link import Link
from edge_agent.monitor.alarms import Alarms
from edge_agent.transport.open import transport_for


def test_a_port_that_is_not_there_raises_link_down_and_its_coming_clears_it(tmp_path):
    async def main(store):
        name = tmp_path / "usb-adapter"
        made = Rig(store, Dialect(), SystemClock(), url=f"serial://{name}")
        before = made.link.status()
        assert (before.up, before.since, before.reason) == (False, None, "The port was not tried yet.")
        task = asyncio.create_task(made.link.run())
        await until(lambda: made.codes() == {"link-down"})
        (alarm,) = made.alarms.active()
        assert alarm.sentence == f"xn1 is not connected: {name} does not exist."
        status = made.link.status()
        assert (status.link, status.reason) == ("down", f"{name} does not exist.")
        assert status.since is not None
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    with store_in(tmp_path / "data") as store:
        run(main(store))


def test_of_two_links_the_alarm_names_the_one_that_is_down(tmp_path):
    async def main(store):
        alarms = Alarms(SystemClock())
        gone, there = f"serial://{tmp_path}/usb-adapter", "tcp-server://127.0.0.1:0"
        links = [two_links(store, alarms, part, url) for part, url in (("results", gone), ("orders", there))]
        tasks = [asyncio.create_task(link.run()) for link in links]
        await asyncio.gather(*(link.tried() for link in links))
        (alarm,) = alarms.active()
        assert alarm.id == "link-down.xn1.results"
        assert alarm.sentence == f"xn1 (results link) is not connected: {tmp_path}/usb-adapter does not exist."
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    with store_in(tmp_path / "data") as store:
        run(main(store))


def two_links(store, alarms, part, url):
    transport = transport_for(url, peer=(), clock=SystemClock(), rng=random.Random(1))
    return Link(
        "xn1", transport, SOURCE, Dialect(), store, SystemClock(), alarms, lambda: None, lambda: False, part=part
    )


def test_a_stranger_raises_one_alarm_and_one_line_however_often_it_knocks(tmp_path, caplog):
    async def main(store):
        async with rig(store, peer=["127.0.0.9"]) as r:
            for _ in range(20):
                stranger = await Wire.call(r.transport.port)
                assert await stranger.hung_up()
                await stranger.close()
            assert r.codes() == {"peer-refused"}
            assert r.transport.refused == 20
            r.link._no_longer_refused()
            assert r.codes() == set()

    with store_in(tmp_path) as store:
        run(main(store))
    assert caplog.text.count("127.0.0.1") == 1


def test_a_full_port_raises_an_alarm_of_its_own(tmp_path):
    async def main(store):
        async with rig(store, cap=1) as r:
            first = await r.call()
            assert await talk(first, ENQ) == [ACK]
            second = await r.call()
            assert await second.hung_up()
            assert r.codes() == {"connections-full"}
            assert await talk(first, *MESSAGE) == [ACK] * 4

    with store_in(tmp_path) as store:
        run(main(store))


def test_what_came_and_was_of_no_use_is_counted_for_people(tmp_path):
    async def main(store):
        async with rig(store) as r:
            before = r.link.status()
            assert (before.asked, before.unframed, before.refused, before.refused_for) == (None, 0, 0, "")
            wire = await r.call()
            assert await talk(wire, b"what?" + ENQ, bad(1, RECORDS[0]), *MESSAGE) == [ACK, NAK, *[ACK] * 4]
            status = r.link.status()
            assert (status.unframed, status.refused, status.refused_for) == (5, 1, "checksum")
            assert status.asked is not None

    with store_in(tmp_path) as store:
        run(main(store))


def test_no_patient_data_reaches_the_log(tmp_path, caplog):
    async def main(store):
        async with rig(store) as r:
            wire = await r.call()
            await talk(wire, ENQ, *MESSAGE[:3])
            wire.reset()
            await r.ended()

    caplog.set_level("DEBUG")
    with store_in(tmp_path) as store:
        run(main(store))
    assert "interrupted" in caplog.text
    for secret in ("SID305", "PID123456", "Brown", "Bobby"):
        assert secret not in caplog.text
