"""A peer that speaks TLS (or not) in front of a plain Mosquitto, and keeps every byte the agent sends it.

Written on the standard library's in-memory TLS: ``raw`` is what came over the wire, ``clear`` what it was once
decrypted. It shares nothing with the agent's side but OpenSSL.
"""

import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

HOST = "127.0.0.1"
_SUPPORTED_VERSIONS = bytes.fromhex("002b0003020304")  # RFC 8446 §4.2.1: TLS 1.3 and nothing else
_NOTHING_KNOWN = bytes.fromhex("0a0a0003020304")  # an extension of the same length that means nothing (RFC 8701)


def speaks(certificate: tuple[Path, Path], newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    """A server's side with this certificate and key."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    context.maximum_version = newest
    return context


def without_tls_1_3(hello: bytes) -> bytes:
    """What somebody on the wire does who wants the older version: the offer of the newer one is made unreadable."""
    return hello.replace(_SUPPORTED_VERSIONS, _NOTHING_KNOWN)


@dataclass
class Peer:
    """``context`` None: no TLS at all. Assign another one, and the next connection meets it."""

    behind: int  # port of the Mosquitto
    context: ssl.SSLContext | None
    meddle: Callable[[bytes], bytes] = field(default=lambda data: data)
    raw: bytearray = field(default_factory=bytearray)
    clear: bytearray = field(default_factory=bytearray)
    connections: int = 0

    def start(self) -> "Peer":
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def stop(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept
        self._listener.close()
        for sock in self._open:
            sock.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        try:
            with sock, socket.create_connection((HOST, self.behind)) as broker:
                if self.context is None:
                    self._relay(sock, broker, _Plain())
                else:
                    self._relay(sock, broker, _Tls(self.context))
        except (OSError, ValueError):  # ssl.SSLError is an OSError; ValueError: closed meanwhile
            return

    def _relay(self, sock: socket.socket, broker: socket.socket, layer: "_Plain | _Tls") -> None:
        back = threading.Thread(target=_back, args=(broker, sock, layer), daemon=True)
        back.start()
        while data := sock.recv(65536):
            self.raw += data
            try:
                clear = layer.came(self.meddle(data))
            finally:
                sock.sendall(layer.outgoing())  # the alert, too
            self.clear += clear
            broker.sendall(clear)
        broker.shutdown(socket.SHUT_RDWR)
        back.join(5)


def _back(broker: socket.socket, sock: socket.socket, layer: "_Plain | _Tls") -> None:
    try:
        while data := broker.recv(65536):
            sock.sendall(layer.goes(data))
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        return


class _Plain:
    def came(self, data: bytes) -> bytes:
        return data

    def goes(self, data: bytes) -> bytes:
        return data

    def outgoing(self) -> bytes:
        return b""


class _Tls:
    def __init__(self, context: ssl.SSLContext) -> None:
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = context.wrap_bio(self._in, self._out, server_side=True)
        self._done = False
        self._lock = threading.Lock()

    def came(self, data: bytes) -> bytes:
        with self._lock:
            self._in.write(data)
            clear = b""
            try:
                if not self._done:
                    self._object.do_handshake()
                    self._done = True
                while piece := self._object.read(65536):
                    clear += piece
            except ssl.SSLWantReadError:
                pass
            return clear

    def goes(self, data: bytes) -> bytes:
        with self._lock:
            self._object.write(data)
            return self._out.read()

    def outgoing(self) -> bytes:
        with self._lock:
            return self._out.read()
