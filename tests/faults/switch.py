"""A TCP connection and a serial cable with a switch in them."""

import contextlib
import os
import socket
import termios
import threading
import tty
from types import TracebackType
from typing import Self

from support_free_port import free_port


class _Lines:
    """Accepts on ``port`` and carries bytes both ways until it is switched off; a caller is turned away meanwhile."""

    def __init__(self) -> None:
        self.port = free_port()
        self._lock = threading.Lock()
        self._on = True
        self._ended = False
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._thread = threading.Thread(target=self._accept, name="switch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._ended = True
        self.off()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)

    def on(self) -> None:
        with self._lock:
            self._on = True

    def off(self) -> None:
        """Connections end at once, as when a process on the other side dies."""
        with self._lock:
            self._on = False
            for end in self._open:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()
            self._open.clear()

    def again(self) -> None:
        """Off and on."""
        self.off()
        self.on()

    def _accept(self) -> None:
        while True:
            try:
                caller, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                if not self._on or self._ended:
                    caller.close()
                    continue
                try:
                    ends = self._connected(caller)
                except OSError:
                    caller.close()
                    continue
                caller.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._open += [end for end in ends if isinstance(end, socket.socket)]

    def _connected(self, caller: socket.socket) -> tuple[object, ...]:
        """Begin to carry; the ends of this connection."""
        raise NotImplementedError


def _carry(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


class TcpSwitch(_Lines):
    """Between a client and the server on ``to``."""

    def __init__(self, to: int) -> None:
        super().__init__()
        self._to = to

    def _connected(self, caller: socket.socket) -> tuple[object, ...]:
        server = socket.create_connection(("127.0.0.1", self._to), 10)
        server.settimeout(None)
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for ends in ((caller, server), (server, caller)):
            threading.Thread(target=_carry, args=ends, name="switch-wire", daemon=True).start()
        return caller, server


class SerialSwitch(_Lines):
    """A pseudo-terminal for the agent (``path``); the analyser calls ``port`` and so learns at once of a dead agent.

    Over a real cable it would learn it from the silence of 15 s. What a dead agent did not read is gone, as on a
    UART.
    """

    def __init__(self) -> None:
        super().__init__()
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.path = os.ttyname(self._slave)
        self._caller: socket.socket | None = None
        self._back = threading.Thread(target=self._answers, name="switch-back", daemon=True)
        self._back.start()

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        super().__exit__(kind, error, trace)
        os.close(self._slave)  # the reader of the other end ends
        self._back.join(10)
        os.close(self._master)

    def off(self) -> None:
        super().off()
        self._caller = None
        with contextlib.suppress(OSError, termios.error):
            termios.tcflush(self._slave, termios.TCIOFLUSH)

    def _connected(self, caller: socket.socket) -> tuple[object, ...]:
        self._caller = caller
        threading.Thread(target=self._sends, args=(caller,), name="switch-wire", daemon=True).start()
        return (caller,)

    def _sends(self, caller: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := caller.recv(65536):
                os.write(self._master, data)

    def _answers(self) -> None:
        with contextlib.suppress(OSError):
            while data := os.read(self._master, 4096):
                caller = self._caller
                if caller is not None:
                    with contextlib.suppress(OSError):
                        caller.sendall(data)
