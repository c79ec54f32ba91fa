"""A line between an analyser and the agent that does one wrong thing when it is told to: TCP, or two pseudo-terminals.

Of what a real line does, two things are left out, because no receiver of LIS01 can help there: an answer that comes
twice, and noise that looks like an ENQ or EOT of its own. LIS01 numbers no answers.
"""

import contextlib
import os
import random
import select
import socket
import threading
import time
import tty
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

AT_ONCE = 4096
LOOK_S = 0.1
STANDING = 4  # half-open connections that are left standing
SILENT = (4, 5, 6, 21)  # EOT, ENQ, ACK, NAK

# Towards the agent, at a byte: one bit of it turned, lost, twice, some bytes between two writes, each byte alone, what
# comes within a moment in one piece, the connection gone, the connection left standing while another is begun.
# Towards the analyser: an answer lost, or later than its timer.
SERIAL_KINDS = ("flip", "lost", "doubled", "noise", "split", "glued")
KINDS = (*SERIAL_KINDS, "cut", "half-open", "answer lost", "answer late")


@dataclass
class Fault:
    kind: str
    at: int  # the byte towards the agent, or the answer towards the analyser, counted from when it was armed
    draw: random.Random
    late_s: float = 0.0
    done: bool = False


@dataclass
class _Wire:
    """One connection's two ends. A pump reads one and writes the other."""

    analyser: int
    agent: int
    closed: threading.Event = field(default_factory=threading.Event)
    last: threading.Lock = field(default_factory=threading.Lock)  # taken by the pump that ends first


class FaultyLine:
    """``arm`` a fault; it happens once. ``happened``: how many did, by kind."""

    def __init__(self) -> None:
        self.happened: dict[str, int] = {}
        self._fault: Fault | None = None
        self._passed = [0, 0]
        self._ending = threading.Event()
        self._threads: list[threading.Thread] = []

    def arm(self, fault: Fault) -> None:
        """To be called when nothing of what was sent before is on its way any more: one fault at a time."""
        self._passed = [0, 0]
        self._fault = fault

    @property
    def quiet(self) -> bool:
        """Whether every connection is over, and all that was under way on it."""
        return True

    def _start(self, target: object, *words: object) -> None:
        thread = threading.Thread(target=target, args=words, name="faulty-line", daemon=True)  # type: ignore[arg-type]
        self._threads = [known for known in self._threads if known.is_alive()] + [thread]
        thread.start()

    def _pump(self, wire: _Wire, *, to_agent: bool) -> None:
        source, target = (wire.analyser, wire.agent) if to_agent else (wire.agent, wire.analyser)
        try:
            while not self._ending.is_set() and not wire.closed.is_set():
                if not select.select([source], [], [], LOOK_S)[0]:
                    continue
                data = os.read(source, AT_ONCE)
                if not data:
                    break
                for piece in self._bent(wire, data, to_agent=to_agent):
                    _write(target, piece)
        except (OSError, ValueError):  # closed by the other pump
            pass
        finally:
            self._over(wire)

    def _over(self, wire: _Wire) -> None:
        """One end is gone: so is the other."""

    def _bent(self, wire: _Wire, data: bytes, *, to_agent: bool) -> Iterator[bytes]:
        passed = self._passed[to_agent]
        self._passed[to_agent] += len(data)
        fault = self._fault
        mine = fault is not None and not fault.done and (fault.kind.startswith("answer") is not to_agent)
        if fault is None or not mine or not passed <= fault.at < passed + len(data):
            yield data
            return
        fault.done = True
        self.happened[fault.kind] = self.happened.get(fault.kind, 0) + 1
        yield from self._wrong(wire, fault, data, fault.at - passed)

    def _wrong(self, wire: _Wire, fault: Fault, data: bytes, at: int) -> Iterator[bytes]:
        before, byte, behind = data[:at], data[at], data[at + 1 :]
        match fault.kind:
            case "flip":
                yield before + bytes((byte ^ (1 << fault.draw.randrange(8)),)) + behind
            case "lost" | "answer lost":
                yield before + behind
            case "doubled":  # of a control byte that is answered, the second would be answered, too
                yield before + bytes((byte,)) * (1 if byte in SILENT else 2) + behind
            case "noise":
                yield bytes(b for b in fault.draw.randbytes(fault.draw.randint(1, 40)) if b not in (4, 5)) + data
            case "split":
                for number in data:
                    yield bytes((number,))
                    time.sleep(0.001)
            case "glued":
                time.sleep(0.05)
                yield data
            case "answer late":
                time.sleep(fault.late_s)
                yield data
            case "cut":
                yield before
                wire.closed.set()
            case "half-open":
                self._leave_standing(wire)

    def _leave_standing(self, wire: _Wire) -> None:
        raise NotImplementedError

    def stop(self) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join(5)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()


class FaultyTcp(FaultyLine):
    """Analysers call ``url``; it calls the agent's port for each."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self._agent = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(LOOK_S)
        self.url = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        self._sockets: dict[int, socket.socket] = {}
        self._standing: list[socket.socket] = []
        self._start(self._accept)

    def _accept(self) -> None:
        while not self._ending.is_set():
            with contextlib.suppress(TimeoutError, ConnectionError):
                analyser, _ = self._listener.accept()
                agent = socket.create_connection(self._agent, 10)
                for end in (analyser, agent):
                    end.settimeout(None)
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    self._sockets[end.fileno()] = end
                wire = _Wire(analyser.fileno(), agent.fileno())
                self._start(lambda wire=wire: self._pump(wire, to_agent=True))
                self._start(lambda wire=wire: self._pump(wire, to_agent=False))

    @property
    def quiet(self) -> bool:
        return sum(thread.is_alive() for thread in self._threads) <= 1  # who accepts goes on

    def _leave_standing(self, wire: _Wire) -> None:
        """The agent sees nothing of it; the analyser's next call is another connection."""
        agent = self._sockets.pop(wire.agent)
        self._standing.append(agent)
        while len(self._standing) > STANDING:
            self._standing.pop(0).close()
        wire.closed.set()

    def _over(self, wire: _Wire) -> None:
        wire.closed.set()
        both_ended = not wire.last.acquire(blocking=False)
        for end in (wire.analyser, wire.agent):
            with contextlib.suppress(KeyError, OSError):
                self._sockets[end].shutdown(socket.SHUT_RDWR)
            if both_ended and (done := self._sockets.pop(end, None)) is not None:
                done.close()

    def stop(self) -> None:
        super().stop()
        for end in (*self._sockets.values(), *self._standing, self._listener):
            end.close()


class FaultySerial(FaultyLine):
    """Two pseudo-terminals: ``agent_end`` and ``analyser_end`` are device paths."""

    def __init__(self) -> None:
        super().__init__()
        masters, self._held = [], []
        for _ in range(2):
            master, slave = os.openpty()
            tty.setraw(slave)
            masters.append(master)
            self._held.append(slave)  # open, so that a port closed by one side does not hang up the line
        self.agent_end, self.analyser_end = (os.ttyname(slave) for slave in self._held)
        self._masters = masters
        wire = _Wire(masters[1], masters[0])
        self._start(lambda: self._pump(wire, to_agent=True))
        self._start(lambda: self._pump(wire, to_agent=False))

    @property
    def url(self) -> str:
        return f"serial://{self.analyser_end}"

    def stop(self) -> None:
        super().stop()
        for end in (*self._masters, *self._held):
            os.close(end)


def _write(target: int, data: bytes) -> None:
    while data:
        data = data[os.write(target, data) :]
