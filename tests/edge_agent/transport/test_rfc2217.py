"""A serial line behind a terminal server that speaks RFC 2217; the server is pyserial's own PortManager over a pty."""

import contextlib
import select
import socket
import threading

import pytest
import serial
import serial.rfc2217
from support_free_port import free_port
from support_ports import Pty, run, until
from support_transport import build, running

# pyserial 3.5 starts its reader by calls that Python has deprecated
pytestmark = pytest.mark.filterwarnings("ignore:set(Daemon|Name):DeprecationWarning")


class PtySerial(serial.Serial):
    """A pty has no modem lines."""

    cts = dsr = ri = cd = False

    def _update_dtr_state(self) -> None: ...

    def _update_rts_state(self) -> None: ...


class TerminalServer:
    """One port, one caller at a time."""

    def __init__(self, pty: Pty) -> None:
        self._serial = PtySerial(str(pty.path), timeout=0)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._caller: socket.socket | None = None
        self._stop, self._stopper = socket.socketpair()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._lock = threading.Lock()
        self._thread.start()

    @property
    def baudrate(self) -> int:
        return int(self._serial.baudrate)

    def write(self, data: bytes) -> None:  # PortManager's own answers
        with self._lock:
            if self._caller is not None:
                self._caller.sendall(data)

    def _run(self) -> None:
        while True:
            ready, _, _ = select.select([self._listener, self._stop], [], [])
            if self._stop in ready:
                return
            self._caller, _ = self._listener.accept()
            try:
                if not self._serve(self._caller):
                    return
            finally:
                self._caller.close()
                self._caller = None

    def _serve(self, caller: socket.socket) -> bool:
        manager = serial.rfc2217.PortManager(self._serial, self)
        while True:
            ready, _, _ = select.select([caller, self._serial, self._stop], [], [])
            if self._stop in ready:
                return False
            if self._serial in ready:
                self.write(b"".join(manager.escape(self._serial.read(self._serial.in_waiting or 1))))
            if caller in ready:
                try:
                    data = caller.recv(1024)
                except ConnectionError:
                    return True
                if not data:
                    return True
                self._serial.write(b"".join(manager.filter(data)))

    def hang_up(self) -> None:
        if self._caller is not None:
            self._caller.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._stopper.sendall(b"x")
        self._thread.join()
        for part in (self._listener, self._stop, self._stopper, self._serial):
            part.close()


async def echo(connection):
    while data := await connection.read():
        await connection.write(data.upper())


def test_bytes_and_settings_go_through_and_a_lost_server_is_called_again():
    async def main():
        with Pty() as pty, contextlib.closing(TerminalServer(pty)) as server:
            async with running(build(f"rfc2217://127.0.0.1:{server.port}?baudrate=19200"), echo) as watch:
                await until(lambda: watch.up)
                assert server.baudrate == 19200
                assert await pty.ask(b"abc\xff\xffd\x05", 7) == b"ABC\xff\xffD\x05"  # 0xFF is doubled on the way
                server.hang_up()
                await until(lambda: not watch.up)
                await until(lambda: watch.up)
                assert await pty.ask(b"again", 5) == b"AGAIN"

    run(main())


def test_a_terminal_server_that_is_not_there_is_one_sentence():
    async def main():
        port = free_port()
        async with running(build(f"rfc2217://127.0.0.1:{port}"), echo) as watch:
            await until(lambda: watch.states)
        assert watch.reason.startswith(f"127.0.0.1:{port} ")
        assert watch.reason.endswith(".")

    run(main())
