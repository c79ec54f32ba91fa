"""A serial port, local or behind an RFC 2217 terminal server.

Promised: opened for us alone; opened again after it was unplugged and plugged in, under whatever number, when it is
named by /dev/serial/by-id; a port that is not there is a sentence, not a crash. Construction touches nothing.
"""

import asyncio
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import serial

from edge_agent.clock import Clock
from edge_agent.transport.backoff import Backoff
from edge_agent.transport.base import OnConnection, OnState
from edge_agent.transport.calls import serve
from edge_agent.transport.errors import sentence
from edge_agent.transport.line_errors import Counters, LineErrors, counters
from edge_agent.transport.port_url import SerialUrl
from edge_agent.transport.report import StateReport
from edge_agent.transport.serial_threads import Port, SerialConnection
from edge_agent.transport.tcp_connection import watch_peer
from edge_agent.transport.threads import in_thread

WRITE_S = 5.0  # flow control that holds one answer back for so long means a dead line
POLL_S = 1.0  # RFC 2217 only: pyserial cannot interrupt that read
STEADY_S = 10.0

Opener = Callable[[SerialUrl], Port]


class SerialPort:
    def __init__(self, url: SerialUrl, *, clock: Clock, backoff: Backoff, opener: Opener | None = None) -> None:
        self._url = url
        self._clock = clock
        self._backoff = backoff
        self._opener = opener or open_port
        self._connection: SerialConnection | None = None

    @property
    def line_errors(self) -> LineErrors | None:
        """Since the port was opened last; None where nothing counts them."""
        return self._connection.line_errors if self._connection else None

    async def run(self, on_connection: OnConnection, on_state: OnState) -> None:
        report = StateReport(self._clock, on_state)
        while True:
            report.down(await self._once(on_connection, report))
            await asyncio.sleep(self._backoff.next())

    async def _once(self, on_connection: OnConnection, report: StateReport) -> str:
        """Open and serve until the port is gone; returns why."""
        try:
            connection = await self._open()
        except (OSError, ValueError) as error:  # ValueError: a setting this port cannot do
            return sentence(self._url.name, error)
        began = self._clock.monotonic()
        try:
            report.up()
            await serve(connection, on_connection)
        finally:
            await connection.join()
        if self._clock.monotonic() - began >= STEADY_S:
            self._backoff.reset()
        return sentence(self._url.name, connection.lost_by)

    async def _open(self) -> SerialConnection:
        opening = in_thread(lambda: self._opener(self._url))
        try:
            port = await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_close_again)  # the thread cannot be stopped, and must not leave the port locked
            raise
        loop = asyncio.get_running_loop()
        self._connection = SerialConnection(port, self._url.name, loop, None if self._url.remote else _counters(port))
        self._connection.start()
        return self._connection


def _close_again(opening: "asyncio.Future[Port]") -> None:
    if opening.exception() is None:
        in_thread(opening.result().close)


def _counters(port: Port) -> Counters | None:
    return counters(port.fileno()) if isinstance(port, serial.Serial) and hasattr(port, "fileno") else None


def open_port(url: SerialUrl) -> Port:
    """Open what ``url`` names. Raises OSError (SerialException is one) or ValueError."""
    settings: dict[str, Any] = {
        "baudrate": url.baudrate,
        "bytesize": url.bytesize,
        "parity": url.parity,
        "stopbits": url.stopbits,
        "rtscts": url.rtscts,
        "xonxoff": url.xonxoff,
        "dsrdtr": url.dsrdtr,
    }
    if url.remote:
        port = serial.serial_for_url(url.device, timeout=POLL_S, **settings)
        _watch(port)
        return port
    port = serial.Serial(url.device, timeout=None, write_timeout=WRITE_S, exclusive=True, **settings)
    try:
        _mark_damaged_bytes(port)
    except OSError:
        port.close()
        raise
    return port


def _watch(port: object) -> None:
    """Notice a dead terminal server. pyserial does not offer its socket; without it a pulled cable is never noticed."""
    sock = getattr(port, "_socket", None)
    if isinstance(sock, socket.socket):
        watch_peer(sock)


def _mark_damaged_bytes(port: serial.Serial) -> None:
    """Have the driver deliver a byte with a parity or framing error as NUL (INPCK without IGNPAR and PARMRK).

    LIS01-A2 §6.5.1: a frame with a character error is refused. pyserial clears INPCK, and a damaged byte would pass.
    """
    if sys.platform == "win32":
        return
    import termios

    try:
        attributes = termios.tcgetattr(port.fileno())
        attributes[0] |= termios.INPCK
        termios.tcsetattr(port.fileno(), termios.TCSANOW, attributes)
    except termios.error as error:  # not an OSError, though it carries an errno
        raise OSError(*error.args) from None


def steady_name(device: str, links: Path = Path("/dev/serial/by-id")) -> str:
    """The name under /dev/serial/by-id that means ``device`` now; "" if there is none or it is one already."""
    if Path(device).parent == links or not links.is_dir():
        return ""
    target = Path(device).resolve()
    return next((str(link) for link in sorted(links.iterdir()) if link.resolve() == target), "")
