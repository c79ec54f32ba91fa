"""A service manager's socket."""

import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PATIENCE_S = 20.0


class Manager:
    """Listens as systemd does; what came is kept in its order."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address.replace("@", "\0", 1) if address.startswith("@") else address)
        self._socket.setblocking(False)
        self.told: list[dict[str, str]] = []

    def listen(self) -> list[dict[str, str]]:
        """Everything told so far."""
        while True:
            try:
                datagram = self._socket.recv(65536).decode()
            except BlockingIOError:
                return self.told
            self.told.append(dict(line.split("=", 1) for line in datagram.split("\n")))

    def heard(self, key: str) -> int:
        """How often."""
        return sum(key in facts for facts in self.listen())

    def until(self, condition: Callable[[], object]) -> None:
        end = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < end, self.told
            time.sleep(0.005)

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager() -> Iterator[Manager]:
    # A short path: a socket's name has at most 107 bytes.
    with tempfile.TemporaryDirectory() as folder:
        made = Manager(str(Path(folder) / "notify"))
        yield made
        made.close()
