"""A serial line on a real pty: read and written by threads, unplugged, plugged in again."""

import asyncio
import os
import threading

import pytest
import serial
from support_ports import Pty, run, until
from support_transport import build, running

from edge_agent.transport.inbox import LIMIT


async def echo(connection):
    while data := await connection.read():
        await connection.write(data.upper())


def test_bytes_go_both_ways_in_order():
    async def main():
        with Pty() as pty:
            async with running(build(f"serial://{pty.path}"), echo) as watch:
                await until(lambda: watch.up)
                text = bytes(range(97, 123)) * 300
                for start in range(0, len(text), 100):
                    part = text[start : start + 100]
                    assert await pty.ask(part, len(part)) == part.upper()

    run(main())


def test_control_bytes_pass_untouched():
    async def main():
        every = bytes(range(256)) * 4  # among them XON, XOFF, CR, LF, DEL, FF: nothing may be translated
        with Pty() as pty:
            async with running(build(f"serial://{pty.path}?baudrate=19200")) as watch:
                await until(lambda: watch.up)
                await pty.send(every)
                await until(lambda: watch.received and len(watch.received[0]) == len(every))
                assert bytes(watch.received[0]) == every

    run(main())


def test_a_port_that_does_not_exist_is_one_sentence_and_is_opened_when_it_appears(tmp_path):
    async def main():
        name = tmp_path / "usb-adapter"
        async with running(build(f"serial://{name}"), echo) as watch:
            await until(lambda: watch.states)
            assert watch.reason == f"{name} does not exist."
            with Pty() as pty:
                name.symlink_to(pty.path)
                await until(lambda: watch.up)
                assert await pty.ask(b"hello", 5) == b"HELLO"
                assert [s.up for s in watch.states] == [False, True]

    run(main())


def test_unplugged_and_plugged_in_under_another_number_it_goes_on(tmp_path):
    async def main():
        name = tmp_path / "usb-adapter"
        first, second = Pty(), Pty()
        with first, second:
            assert first.path != second.path
            name.symlink_to(first.path)
            async with running(build(f"serial://{name}")) as watch:
                await until(lambda: watch.up)
                await first.send(b"before")
                await until(lambda: watch.received and watch.received[0] == b"before")
                name.unlink()
                first.unplug()
                await until(lambda: not watch.up)
                assert watch.ended == 1
                await until(lambda: watch.reason == f"{name} does not exist.")
                name.symlink_to(second.path)
                await until(lambda: watch.up)
                await second.send(b"after")
                await until(lambda: len(watch.received) == 2 and watch.received[1] == b"after")

    run(main())


def test_a_port_another_program_holds_is_said_to_be_in_use():
    async def main():
        with Pty() as pty:
            holder = serial.Serial(str(pty.path), exclusive=True)
            async with running(build(f"serial://{pty.path}")) as watch:
                await until(lambda: watch.states)
                assert watch.reason == f"{pty.path} is in use by another program."
                holder.close()
                await until(lambda: watch.up)

    run(main())


def test_our_own_port_cannot_be_opened_by_a_second_program():
    async def main():
        with Pty() as pty:
            async with running(build(f"serial://{pty.path}")) as watch:
                await until(lambda: watch.up)
                with pytest.raises(serial.SerialException):
                    serial.Serial(str(pty.path), exclusive=True)
            serial.Serial(str(pty.path), exclusive=True).close()  # and after the end it can

    run(main())


def test_what_is_no_serial_port_is_said_to_be_none():
    async def main():
        async with running(build("serial:///dev/null")) as watch:
            await until(lambda: watch.states)
        assert watch.reason.startswith("/dev/null does not work: Could not configure port")

    run(main())


def test_writing_to_an_unplugged_port_is_a_connection_error():
    async def main():
        told = []

        async def late(connection):
            while await connection.read():
                pass
            with pytest.raises(ConnectionError):
                await connection.write(b"x")
            told.append(True)

        with Pty() as pty:
            async with running(build(f"serial://{pty.path}"), late) as watch:
                await until(lambda: watch.up)
                pty.unplug()
                await until(lambda: told)

    run(main())


def test_a_session_that_does_not_read_stops_the_thread_instead_of_filling_memory():
    async def main():
        go_on, got, connections = asyncio.Event(), [], []

        async def lazy(connection):
            connections.append(connection)
            await go_on.wait()
            while data := await connection.read():
                got.append(len(data))

        with Pty() as pty:
            async with running(build(f"serial://{pty.path}"), lazy) as watch:
                await until(lambda: watch.up)
                total = 3 * LIMIT
                sending = asyncio.create_task(pty.send(b"x" * total))
                await until(lambda: connections and connections[0]._handed_over >= LIMIT)
                assert not sending.done()
                assert connections[0]._inbox.size < 2 * LIMIT
                go_on.set()
                await sending
                await until(lambda: sum(got) == total)

    run(main())


def test_stopping_leaves_no_thread_and_no_open_descriptor():
    async def main():
        with Pty() as pty:
            before = len(os.listdir("/proc/self/fd"))
            async with running(build(f"serial://{pty.path}")) as watch:
                await until(lambda: watch.up)
            assert not [t for t in threading.enumerate() if str(pty.path) in t.name]
            assert len(os.listdir("/proc/self/fd")) == before

    run(main())


def test_threads_bear_a_loop_that_has_closed():
    with Pty() as pty:
        loop = asyncio.new_event_loop()

        async def leave_running():
            task = asyncio.ensure_future(build(f"serial://{pty.path}").run(echo, lambda _: None))
            await until(lambda: [t for t in threading.enumerate() if t.name == f"read {pty.path}"])
            return task

        task = loop.run_until_complete(leave_running())
        reader = next(t for t in threading.enumerate() if t.name == f"read {pty.path}")
        task._log_destroy_pending = False
        loop.close()
        os.write(pty.master, b"too late")
        reader.join(5)
        assert not reader.is_alive()


def test_a_damaged_byte_is_delivered_as_nul_by_the_driver():
    """INPCK without IGNPAR and PARMRK: termios(3). A pty makes no line errors, so the setting is what can be seen."""
    import termios

    async def main():
        with Pty() as pty:
            async with running(build(f"serial://{pty.path}?parity=E")) as watch:
                await until(lambda: watch.up)
                iflag = termios.tcgetattr(pty.master)[0]
                assert iflag & termios.INPCK
                assert not iflag & (termios.IGNPAR | termios.PARMRK | termios.ISTRIP)

    run(main())
