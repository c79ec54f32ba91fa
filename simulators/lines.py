"""The lines a simulated analyser speaks over: a TCP connection, a TCP listener, a serial port.

A ``Port`` is an address that can be opened again after the line was lost; a ``Line`` is one opened connection.
``read`` returns b"" when nothing came in time and raises ``LinkLostError`` when nothing can come any more.
"""

import os
import socket
from typing import Protocol
from urllib.parse import parse_qs, urlsplit

import serial

from simulators.errors import LineError, LinkLostError

CONNECT_S = 10.0


class Line(Protocol):
    def write(self, data: bytes) -> None: ...

    def read(self, timeout: float) -> bytes: ...

    def close(self) -> None: ...


class Port(Protocol):
    def connect(self) -> Line: ...

    def close(self) -> None: ...


class SocketLine:
    def __init__(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = connection

    def write(self, data: bytes) -> None:
        self._socket.settimeout(CONNECT_S)
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise _lost(error) from error

    def read(self, timeout: float) -> bytes:
        self._socket.settimeout(max(timeout, 0.001))
        try:
            data = self._socket.recv(4096)
        except TimeoutError:
            return b""
        except OSError as error:
            raise _lost(error) from error
        if not data:
            raise LinkLostError("The other side closed the connection.")
        return data

    def close(self) -> None:
        self._socket.close()


class SerialLine:
    def __init__(self, port: serial.Serial) -> None:
        self._port = port

    def write(self, data: bytes) -> None:
        try:
            self._port.write(data)
            self._port.flush()
        except (serial.SerialException, OSError) as error:
            raise _lost(error) from error

    def read(self, timeout: float) -> bytes:
        try:
            self._port.timeout = timeout
            first: bytes = self._port.read(1)
            return first + self._port.read(self._port.in_waiting) if first else b""
        except (serial.SerialException, OSError, TypeError) as error:  # TypeError: pyserial, port closed meanwhile
            raise _lost(error) from error

    def close(self) -> None:
        self._port.close()


class TcpPort:
    """The analyser calls the agent."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)

    def connect(self) -> Line:
        try:
            return SocketLine(socket.create_connection(self._address, CONNECT_S))
        except OSError as error:
            raise _lost(error) from error

    def close(self) -> None:
        """Nothing stays open between connections."""


class ListenPort:
    """The agent calls the analyser."""

    def __init__(self, host: str, port: int) -> None:
        try:
            self._listener = socket.create_server((host, port))
        except OSError as error:
            raise LineError(
                f"Cannot listen on {host}:{port}: {os.strerror(error.errno or 0)}.", "Choose a free port."
            ) from error
        self._listener.settimeout(CONNECT_S)

    @property
    def number(self) -> int:
        """The TCP port listened on; tells which one the system chose for port 0."""
        chosen: int = self._listener.getsockname()[1]
        return chosen

    def connect(self) -> Line:
        try:
            connection, _peer = self._listener.accept()
        except TimeoutError as error:
            raise LinkLostError("Nobody has connected yet.") from error
        return SocketLine(connection)

    def close(self) -> None:
        self._listener.close()


class SerialPort:
    def __init__(self, path: str, baudrate: int) -> None:
        self._path, self._baudrate = path, baudrate

    def connect(self) -> Line:
        try:
            return SerialLine(serial.Serial(self._path, self._baudrate, exclusive=True, write_timeout=CONNECT_S))
        except (serial.SerialException, OSError) as error:
            raise _lost(error) from error

    def close(self) -> None:
        """Nothing stays open between connections."""


def open_port(url: str) -> Port:
    """The port an address names. Opens nothing yet, except a listener. Raises ``LineError``."""
    parts = urlsplit(url)
    if parts.scheme in ("tcp", "tcp-listen"):
        host, number = parts.hostname, _number(url)
        if host is not None and number is not None:
            return TcpPort(host, number) if parts.scheme == "tcp" else ListenPort(host, number)
    if parts.scheme == "serial" and parts.path:
        rate = parse_qs(parts.query).get("baudrate", ["9600"])[0]
        if rate.isascii() and rate.isdigit():
            return SerialPort(parts.path, int(rate))
    raise LineError(
        f"{url} is not an address a simulator can use.",
        "Write tcp://host:port, tcp-listen://host:port or serial:///dev/name?baudrate=9600.",
    )


def _number(url: str) -> int | None:
    try:
        return urlsplit(url).port
    except ValueError:
        return None


def _lost(error: Exception) -> LinkLostError:
    why = getattr(error, "strerror", None) or str(error)
    return LinkLostError(f"The line was lost: {why}.", "Check that the other side runs and listens there.")
