"""A host written for these tests alone: plain sockets, answers by a script, nothing shared with sender or agent."""

import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

HANG_UP = b"hang up"
Script = Callable[[str, int, bytes], bytes | None]


def everything_good(_event: str, _number: int, _data: bytes) -> bytes | None:
    return b"\x06"


class FakeHost:
    """``script(event, number, data)`` answers the number-th "enq" or "frame" (from 0): bytes, None for silence."""

    def __init__(self, script: Script = everything_good) -> None:
        self.script = script
        self.enqs = 0
        self.frames: list[bytes] = []
        self.accepted: list[bytes] = []
        self.eots = 0
        self.connections = self.ended = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            self._serve(connection)
            self.ended += 1

    def _serve(self, connection: socket.socket) -> None:
        data = b""
        while True:
            try:
                more = connection.recv(100_000)
            except OSError:
                return
            if not more:
                return
            data = self._take(connection, data + more)
            if data == HANG_UP:
                connection.close()
                return

    def _take(self, connection: socket.socket, data: bytes) -> bytes:
        while data:
            if data[:1] == b"\x05":
                answer, data = self.script("enq", self.enqs, b""), data[1:]
                self.enqs += 1
            elif data[:1] == b"\x04":
                self.eots += 1
                data = data[1:]
                continue
            elif b"\r\n" in data:
                frame, data = data[: data.index(b"\r\n") + 2], data[data.index(b"\r\n") + 2 :]
                answer = self.script("frame", len(self.frames), frame)
                self.frames.append(frame)
                if answer == b"\x06":
                    self.accepted.append(frame)
            else:
                return data
            if answer == HANG_UP:
                return HANG_UP
            if answer:
                connection.sendall(answer)
        return b""

    def settle(self) -> None:
        """Wait until everything that was sent has been read: every connection is at its end."""
        deadline = time.monotonic() + 5
        while self.connections == 0 or self.ended < self.connections:
            assert time.monotonic() < deadline, "a connection did not end"
            time.sleep(0.002)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            connection.close()
        self._thread.join(5)


@pytest.fixture
def host() -> Iterator[FakeHost]:
    fake = FakeHost()
    yield fake
    fake.close()


# Worked by hand after LIS02-A2 §6 to §12; the sums were added up separately (LIS01-A2 §6.3.1.2).
SMALL = (
    b"\x05"
    b"\x021H|\\^&|||AN-200^SN42^1.3|||||||P|LIS02-A2|20240301101500\r\x0345\r\n"
    b"\x022P|1||PID77\r\x0382\r\n"
    b"\x023O|1|498151||^^^GLU|R||20240301093000||||||||SER||||||||||F\r\x0357\r\n"
    b"\x024R|1|^^^GLU|<0.3|mmol/L|3.9 to 5.6|<||F||jd|20240301101000|20240301101200|AN-200\r\x0364\r\n"
    b"\x025L|1|N\r\x0308\r\n"
    b"\x04"
)
SMALL_EXPECTED = {
    "source": "standards, worked example",
    "held": [],
    "specimens": [
        {
            "id": "498151",
            "role": "P",
            "patient_id": "PID77",
            "observations": [
                {
                    "code": "GLU",
                    "value": "<0.3",
                    "unit": "mmol/L",
                    "flags": ["<"],
                    "status": "F",
                    "completed": "20240301101200",
                }
            ],
        }
    ],
}


@pytest.fixture
def devices(tmp_path: Path) -> Path:
    """A folder of devices with one device, ``bench``, that has one sample."""
    sample = tmp_path / "devices" / "bench" / "samples" / "glucose"
    sample.mkdir(parents=True)
    (sample / "wire.bin").write_bytes(SMALL)
    (sample / "expected.json").write_text(json.dumps(SMALL_EXPECTED), "utf-8")
    return tmp_path / "devices"


MOSQUITTO = """\
listener {port} 127.0.0.1
allow_anonymous true
persistence false
set_tcp_nodelay true
max_queued_messages 0
"""


@pytest.fixture(scope="session")
def mosquitto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A real broker on a free port of this machine."""
    program = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    assert program, "mosquitto is not installed: run `make install-tools`"
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    configuration = tmp_path_factory.mktemp("mosquitto") / "mosquitto.conf"
    configuration.write_text(MOSQUITTO.format(port=port), "utf-8")
    process = subprocess.Popen([program, "-c", str(configuration)], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 10
    while not _listening(port):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    yield port
    process.terminate()
    process.wait(10)


def _listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
