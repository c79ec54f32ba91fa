"""A laboratory whose every patient is a canary, and everything of it that can be seen without opening the store.

The management system is written out here, because it has to say things no honest one says. What it and the analysers
say themselves is not searched: only what the agent made of it.
"""

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from end_to_end.canaries import BORN, LATIN, NAME, PATIENT, VALUE, hits, in_words
from end_to_end.lab import PREFIX, ROOT, AgentProcess
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

BY_PURPOSE = re.compile(rf"{re.escape(PREFIX)}/up/[^/]+/(result|qc|validation|query)")
FROM_OUTSIDE = re.compile(r".*/(down/(?!echo).*|_central/.*)")
QUOTED = f"patient {PATIENT} {NAME} {LATIN} born {BORN}: {VALUE} is implausible"
NOBODY = 65534
STARTER = Path(__file__).with_name("defective_agent.py")
# Everything is imported before the rights are given up, so that the commands run as a user who may read nothing here.
_AS_NOBODY = f"""
import importlib, os, pkgutil, sys
import edge_agent.cli
from edge_agent.cli.main import main
for module in pkgutil.iter_modules(edge_agent.cli.__path__):
    importlib.import_module("edge_agent.cli." + module.name)
os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})
main()
"""


class CanaryAgent(AgentProcess):
    """Started with defects built in, at debug, with everything that listens to an agent beside it."""

    form = "text"
    crash = False

    def launch(self) -> None:
        words = ["-X", "faulthandler", str(STARTER), "run", "--config", str(self.config)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *words, "--log-level", "debug", "--log-format", self.form],
                cwd=self.folder / "here",
                stdout=log,
                stderr=log,
                env=self.environment(),
            )

    def environment(self) -> dict[str, str]:
        more = {
            "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}",
            "NOTIFY_SOCKET": str(self.folder / "notify"),
            "WATCHDOG_USEC": "3000000",
            "TMPDIR": str(self.folder / "temporary"),
            "EDGE_AGENT_CRASH": "1" if self.crash else "",
        }
        return {**os.environ, **more}

    def as_nobody(self, *words: str) -> subprocess.CompletedProcess[bytes]:
        """A command typed by a user of this machine who has no business with results."""
        return subprocess.run(
            [sys.executable, "-c", _AS_NOBODY, *words], cwd=ROOT, capture_output=True, timeout=60, check=False
        )


@dataclass
class Witness:
    """Hears every topic, as somebody does who may read all of the broker."""

    seen: list[bytes] = field(default_factory=list)
    carried: list[bytes] = field(default_factory=list)
    topics: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def hear(self, message: paho.MQTTMessage) -> None:
        with self._lock:
            self.topics.add(message.topic)
            if FROM_OUTSIDE.fullmatch(message.topic):
                return
            self.seen += [message.topic.encode(), repr(vars(message.properties) if message.properties else "").encode()]
            (self.carried if BY_PURPOSE.fullmatch(message.topic) else self.seen).append(bytes(message.payload))

    def all(self) -> bytes:
        with self._lock:
            return b"\n".join(self.seen)


@dataclass
class Clerk:
    """Files what it gets. Of the analyser ``rejected`` it refuses everything, and says why in the patient's words."""

    refuses: str = "rejected"
    misleads: str = "misled"
    answered: set[str] = field(default_factory=set)
    _client: Any = None

    def take(self, client: paho.Client, message: paho.MQTTMessage) -> None:
        self._client = client
        analyser = message.topic.split("/")[-2]
        id_ = bytes(message.payload).split(b"\r", 1)[0].split(b"|")[9].decode()
        if analyser == self.misleads and id_ not in self.answered:
            self.mislead(id_)
        self.say(id_, "AE" if analyser == self.refuses else "AA", QUOTED if analyser == self.refuses else "")
        self.answered.add(id_)

    def say(self, id_: str, code: str, text: str = "", *, about: str = "", digest: str = "") -> None:
        lines = [
            f"MSH|^~\\&|IVD|C|||20260301120000||ACK^R22^ACK|A-{time.monotonic_ns()}|P|2.5.1||||||UNICODE UTF-8",
            f"MSA|{code}|{about or id_}|{text}",
            *([f"ERR|||207^{text}^HL70357|E||||{text}|{text}"] if text else []),
        ]
        self.send("".join(line + "\r" for line in lines).encode(), id_, digest)

    def send(self, payload: bytes, id_: str, digest: str = "", consumer: str = "ivd") -> None:
        properties = Properties(PacketTypes.PUBLISH)
        properties.CorrelationData = id_.encode()
        properties.UserProperty = [("note", QUOTED), *([("digest", digest)] if digest else [])]
        self._client.publish(f"{PREFIX}/down/ack/{consumer}", payload, 1, False, properties)

    def mislead(self, id_: str) -> None:
        """Answers that close nothing: about somebody else's message, of other bytes, and no HL7 at all."""
        self.say(id_, "AA", QUOTED, about=PATIENT)
        self.say(PATIENT, "AA", QUOTED, about=id_)
        self.say(id_, "AA", QUOTED, digest=PATIENT)
        for nonsense in (QUOTED.encode(), QUOTED.encode("euc-kr", "replace"), f"MSH|^~\\&|{QUOTED}".encode()):
            self.send(nonsense, id_)
        state = f"ivd/v1/_central/ivd/{PATIENT}/state"
        self._client.publish(state, json.dumps({"online": QUOTED, "timestamp": PATIENT}), 1, True)


@contextmanager
def _connected(
    port: int, *filters: str, hears: Callable[[paho.Client, paho.MQTTMessage], None]
) -> Iterator[paho.Client]:
    ready = threading.Event()
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    client.on_connect = lambda c, *_: c.subscribe([(name, SubscribeOptions(qos=1)) for name in filters])
    client.on_subscribe = lambda *_: ready.set()
    client.on_message = lambda c, _u, message: hears(c, message)
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        assert ready.wait(10)
        yield client
    finally:
        client.disconnect()
        client.loop_stop()


@contextmanager
def listening(port: int) -> Iterator[Witness]:
    witness = Witness()
    with _connected(port, "#", hears=lambda _, message: witness.hear(message)):
        yield witness


@contextmanager
def filing(port: int) -> Iterator[Clerk]:
    clerk = Clerk()
    with _connected(port, f"{PREFIX}/up/+/result", f"{PREFIX}/up/+/qc", hears=clerk.take) as client:
        now = time.time_ns() // 1_000_000
        client.publish("ivd/v1/_central/ivd/one/state", json.dumps({"online": True, "timestamp": now}), 1, True)
        yield clerk


@contextmanager
def notified(path: Path) -> Iterator[list[bytes]]:
    """What a service manager is told."""
    told: list[bytes] = []
    ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    ear.bind(str(path))
    ear.settimeout(0.1)
    done = threading.Event()

    def listen() -> None:
        while not done.is_set():
            with contextlib.suppress(TimeoutError):
                told.append(ear.recv(65536))

    thread = threading.Thread(target=listen)
    thread.start()
    try:
        yield told
    finally:
        done.set()
        thread.join()
        ear.close()


def metrics(port: int) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as answer:
        return bytes(answer.read())


def process_facts(pid: int) -> bytes:
    """What other users may read of a process, and what they could if it were theirs."""
    folder = Path(f"/proc/{pid}")
    return b"\n".join((folder / name).read_bytes() for name in ("cmdline", "environ", "comm", "status", "maps"))


def names_under(folder: Path) -> bytes:
    return "\n".join(str(path) for path in folder.rglob("*")).encode()


def assert_clean(seen: Mapping[str, bytes]) -> None:
    """Every place was looked at, and no canary is in any of them."""
    assert [place for place, text in seen.items() if not text] == []
    found = {place: hits(text) for place, text in seen.items() if hits(text)}
    assert found == {}, "\n".join(in_words(seen[place]) for place in found)
