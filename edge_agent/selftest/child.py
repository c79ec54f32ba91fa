"""A receiving process that can be killed, and what it says.

It is forked, not started anew: the interpreter and its imports would cost a second a round. That is sound because the
command has one thread and no database open, no event loop runs in it, and the child never returns into it
(``os._exit``). What it shares with its parent is a loopback connection and a pipe; both ends of the connection are
made here, so that nobody else can call in.
"""

import contextlib
import json
import logging
import os
import select
import signal
import socket
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, Self

from edge_agent.selftest.receiving import Report

Body = Callable[[socket.socket, Report], None]


class Child:
    def __init__(self, pid: int, line: socket.socket, pipe: int) -> None:
        self.line = line  # the analyser's end
        self._pid = pid
        self._pipe = pipe
        self._said = b""
        self.status: int | None = None  # once it has ended; negative: by that signal

    @classmethod
    def start(cls, body: Body) -> Self:
        line, other = _connected()
        said, say = os.pipe()
        # A Ctrl-C in the newborn child would run the parent's clean-up there.
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT,))
        pid = os.fork()
        if pid == 0:
            _live(body, other, say, (line, said))
        other.close()
        os.close(say)
        child = cls(pid, line, said)
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT,))
        except KeyboardInterrupt:
            child.close()
            raise
        return child

    def report(self, patience_s: float) -> Mapping[str, Any] | None:
        """What it reports; None if it does not within that time, or has ended without."""
        end = time.monotonic() + patience_s
        while b"\n" not in self._said:
            readable, _, _ = select.select([self._pipe], [], [], max(end - time.monotonic(), 0.0))
            data = os.read(self._pipe, 65536) if readable else b""
            if not data:
                return None
            self._said += data
        report: Mapping[str, Any] = json.loads(self._said)
        return report

    def kill(self) -> None:
        """Returns when it is dead; its end of the line is closed then."""
        if self.status is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
            self.wait()

    def wait(self) -> int:
        if self.status is None:
            _, status = os.waitpid(self._pid, 0)
            self.status = os.waitstatus_to_exitcode(status)
        return self.status

    def ended(self) -> bool:
        """Whether it ended without being asked to."""
        if self.status is None:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
        return self.status is not None

    def close(self) -> None:
        """Whatever became of it, it is gone afterwards."""
        self.kill()
        self.line.close()
        os.close(self._pipe)


def _connected() -> tuple[socket.socket, socket.socket]:
    """Both ends of a connection over loopback TCP, the transport's own kind; nobody else is let in."""
    with socket.create_server(("127.0.0.1", 0), backlog=1) as server:
        line = socket.create_connection(server.getsockname())
        while True:
            other, caller = server.accept()
            if caller == line.getsockname():
                break
            other.close()
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return line, other


def _live(body: Body, line: socket.socket, say: int, not_ours: tuple[socket.socket, int]) -> NoReturn:
    """The child's whole life. Ctrl-C is for the parent, which ends it; the line ends when the parent does."""
    status = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        not_ours[0].close()
        os.close(not_ours[1])
        logging.disable(logging.CRITICAL)
        body(line, lambda facts: _write(say, json.dumps(facts).encode() + b"\n"))
        status = 0
    finally:
        if status:
            traceback.print_exc()  # nothing in it is anybody's data
        os._exit(status)


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
