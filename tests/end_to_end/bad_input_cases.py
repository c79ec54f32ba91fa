"""Frames written by hand, a line that counts every answer, and an ear on everything the agent publishes.

Nothing of the project is used to make a byte: records are typed out, and the two check digits are added up here.
"""

import re
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import paho.mqtt.client as paho
from end_to_end.lab import PREFIX, AgentProcess, Bench, running_agent, running_broker, until
from paho.mqtt.enums import CallbackAPIVersion

from edge_agent.errors import AgentError
from simulators.central import Central, CentralOptions

STX, ETX, EOT, ENQ, ACK, NAK = b"\x02", b"\x03", b"\x04", b"\x05", b"\x06", b"\x15"
_LETTERS = {ACK[0]: "A", NAK[0]: "N", EOT[0]: "E", ENQ[0]: "Q"}
_NAMES = {2: "STX", 3: "ETX", 4: "EOT", 5: "ENQ", 6: "ACK", 10: "LF", 13: "CR", 21: "NAK", 23: "ETB"}

QUICK = "ack_timeout_s = 2\nretry_max_s = 2"  # keys of [mqtt]

# What must never be seen outside the results themselves.
PATIENT, NAME, SPECIMEN, VALUE = "CANARY-7741", "김카나리", "CANSPC", "7741.774"
HEADER = r"H|\^&|||QA^1|||||||P|LIS2-A2|20260301120000"
END = "L|1|N"


def patient(number: int = 1, id_: str = PATIENT, name: str = NAME) -> str:
    return f"P|{number}||{id_}||{name}||19770401|F"


def order(specimen: str, number: int = 1, test: str = "GLU") -> str:
    return f"O|{number}|{specimen}||^^^{test}|R"


def result(value: str, code: str = "GLU", number: int = 1, unit: str = "mmol/L") -> str:
    return f"R|{number}|^^^{code}|{value}|{unit}||N||F||||20260301115500"


def tube(number: int) -> str:
    """A specimen id of these tests."""
    return f"{SPECIMEN}-{number:02}"


def plain(specimen: str, value: str) -> list[str]:
    """A message nobody could object to: one patient, one specimen, one result."""
    return [HEADER, patient(), order(specimen), result(value), END]


def frame(number: int, text: str | bytes, *, off_by: int = 0) -> bytes:
    """LIS01-A2 6.3: STX, number, record, CR, ETX, the sum of all behind STX in two digits, CR LF."""
    body = b"%d" % (number % 8) + (text.encode() if isinstance(text, str) else text) + b"\r" + ETX
    return STX + body + b"%02X" % ((sum(body) + off_by) % 256) + b"\r\n"


def frames(records: Sequence[str | bytes]) -> list[bytes]:
    """One record a frame, numbered from 1."""
    return [frame(number, record) for number, record in enumerate(records, start=1)]


def spelled(raw: bytes) -> str:
    """As `edge-agent trace` prints bytes."""
    return "".join(chr(b) if 0x20 <= b < 0x7F else f"<{_NAMES.get(b, f'{b:02X}')}>" for b in raw)


def spelled_length(text: str) -> int:
    return len(re.findall(r"<(?:[0-9A-F]{2}|[A-Z]{2,3})>|.", text))


class Line:
    """An analyser's end of the cable. ``answers``: every byte that ever came back, a letter each."""

    def __init__(self, port: int, sent: list[bytes]) -> None:
        self.answers = ""
        self._sent = sent
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: TracebackType | BaseException | None) -> None:
        if kind is None:
            self.hang_up()
        self._socket.close()

    def tell(self, *pieces: bytes) -> None:
        """Send in one go, without waiting. An answer is counted all the same, by whoever listens next."""
        self._sent += pieces
        self._socket.sendall(b"".join(pieces))

    def say(self, piece: bytes) -> str:
        """Send something that is answered; the answer's letter."""
        self.tell(piece)
        return self.hear()

    def hear(self) -> str:
        answer = "".join(_LETTERS.get(b, "?") for b in self._socket.recv(1))
        self.answers += answer
        return answer

    def send(self, records: Sequence[str | bytes]) -> None:
        """A whole transmission, each frame after the answer to the one before."""
        for piece in (ENQ, *frames(records)):
            self.say(piece)
        self.tell(EOT)

    def hang_up(self) -> None:
        """Close our side and listen until the agent closed its own: no answer can be missed."""
        self._socket.shutdown(socket.SHUT_WR)
        while self.hear():
            pass


@dataclass
class Ear:
    """All that goes over the broker: topics, properties, and the payloads of everything that is no result."""

    heard: list[str] = field(default_factory=list)
    results: list[bytes] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def on_message(self, message: paho.MQTTMessage) -> None:
        with self._lock:
            self.heard += [message.topic, repr(message.properties.json()) if message.properties else ""]
            if message.topic.startswith(f"{PREFIX}/up/"):
                self.results.append(bytes(message.payload))
            else:
                self.heard.append(bytes(message.payload).decode("utf-8"))

    def text(self) -> str:
        with self._lock:
            return "\n".join(self.heard)


@contextmanager
def ear_at(port: int) -> Iterator[Ear]:
    ear, ready = Ear(), threading.Event()
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    client.on_connect = lambda c, *_: c.subscribe("#", 1)
    client.on_subscribe = lambda *_: ready.set()
    client.on_message = lambda _c, _u, message: ear.on_message(message)
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        assert ready.wait(10)
        yield ear
    finally:
        client.disconnect()
        client.loop_stop()


@dataclass
class Ward:
    """The laboratory under test, asked as a person would ask it."""

    agent: AgentProcess
    central: Central
    ear: Ear
    benches: dict[str, Bench]
    table: list[tuple[str, str, str]] = field(default_factory=list)
    _sent: dict[str, list[bytes]] = field(default_factory=dict)

    def line(self, name: str) -> Line:
        return Line(self.benches[name].port, self._sent.setdefault(name, []))

    def filed(self, name: str) -> list[tuple[str, str, str]]:
        """(specimen, code, value) of every result the management system filed, images aside, in order."""
        found = [f.observation for f in self.central.ledger.filings(filed_only=True) if f.analyser == name]
        return [(o.specimen, o.code, o.value) for o in found if o.type != "ED" and not o.supplemental]

    def await_filed(self, name: str, *wanted: tuple[str, str]) -> None:
        """Exactly these (specimen, value), each once."""
        until(lambda: len(self.filed(name)) >= len(wanted), 20, f"{wanted} filed; {self.agent.tail()}")
        assert sorted((specimen, value) for specimen, _, value in self.filed(name)) == sorted(wanted)

    def await_held(self, name: str, *wanted: tuple[str, int]) -> str:
        """Exactly these (code, number of results) wait; the sentence a person reads about the first."""
        until(lambda: len(self._held(name)) >= len(wanted), 20, f"{wanted} held; {self._held(name)}")
        held = self._held(name)
        assert sorted((h["code"], h["results"]) for h in held) == sorted(wanted)
        return str(held[0]["sentence"])

    def nothing_is_held(self, name: str) -> bool:
        return not self._held(name)

    def _held(self, name: str) -> list[Any]:
        return [h for h in self.agent.ask("queue", limit=1000)["held"] if h["analyser"] == name]

    def alarms(self, name: str) -> dict[str, str]:
        """code -> sentence."""
        return {a["code"]: a["sentence"] for a in self.agent.ask("status")["alarms"] if a["analyser"] == name}

    def await_alarm(self, name: str, code: str) -> str:
        until(lambda: code in self.alarms(name), 20, f"{code}; {self.alarms(name)}")
        return self.alarms(name)[code]

    def transmissions(self, name: str) -> list[Any]:
        """Everything ever received on that analyser's port, as `trace --json` shows it."""
        return [t for t in self._all_transmissions() if t["analyser"] == name]

    def _all_transmissions(self) -> Iterator[Any]:
        number = 0
        while True:
            number += 1
            try:
                found = self.agent.ask("trace", id=f"t{number}")["transmissions"]
            except AgentError:  # the number after the last
                return
            yield from found

    def await_states(self, name: str, *states: str) -> None:
        """(state, reason) of each transmission, as "interrupted eot"."""
        until(lambda: self._states(name) == list(states), 20, f"{states}; {self._states(name)}")

    def _states(self, name: str) -> list[str]:
        return [f"{t['state']} {t['reason']}" for t in self.transmissions(name)]

    def refusals(self, name: str) -> list[str]:
        return [c["reason"] for t in self.transmissions(name) for c in t["wire"] if c["kind"] == "refused"]

    def everything_is_kept(self, name: str) -> bool:
        """Every byte ever sent is in a trace, in order; but for ENQ, EOT and the CR LF behind a frame."""
        kept = "".join(c["bytes"] for t in self.transmissions(name) for c in t["wire"])
        return kept == spelled(b"".join(p.removesuffix(b"\r\n") for p in self._sent[name] if p not in (ENQ, EOT)))

    def tried(self) -> list[str]:
        """The analysers that have sent something."""
        return list(self._sent)

    def row(self, what: str, outcome: str, sentence: str = "") -> None:
        self.table.append((what, outcome, sentence))

    def print_table(self) -> None:
        print(f"\n{'input':46} {'outcome':60} what a person reads")
        for what, outcome, sentence in self.table:
            print(f"{what:46} {outcome:60} {sentence or '-'}")

    def nothing_of_a_patient_is_seen(self) -> None:
        """Not in the log, not over MQTT beside the results, not by a command that is no trace, not as a file's name."""
        seen = {
            "log": self.agent.log.read_text(encoding="utf-8"),
            "mqtt": self.ear.text(),
            "status": self.agent.command("status").stdout,
            "queue": self.agent.command("queue").stdout,
            "files": "\n".join(str(path) for path in self.agent.folder.rglob("*")),
        }
        for canary in (PATIENT, "CANARY", NAME, "카나리", SPECIMEN, VALUE):
            assert [place for place, text in seen.items() if canary in text] == []
        assert all(seen.values())
        carried = b"".join(self.ear.results).decode("utf-8")
        assert all(canary in carried for canary in (PATIENT, NAME, SPECIMEN, VALUE))  # they were there to be seen


@contextmanager
def ward_in(folder: Path, benches: Sequence[Bench]) -> Iterator[Ward]:
    """One agent for all of them, a Mosquitto, a management system, and an ear on the broker."""
    with (
        running_broker(folder / "broker") as broker,
        running_agent(folder / "agent", broker.url, benches, mqtt="ack_timeout_s = 5") as agent,
        Central(CentralOptions(broker.url, validate="none")) as central,
        ear_at(broker.port) as ear,
    ):
        yield Ward(agent, central, ear, {bench.id: bench for bench in benches})


def taken(bench: Bench, number: int) -> None:
    """The analyser gives one message and is told that we have it."""
    with Line(bench.port, []) as line:
        line.send(plain(tube(number), VALUE))
    assert line.answers == "A" * 6


def filed(central: Central, agent: AgentProcess) -> list[str]:
    """The specimens, once nothing waits any more."""
    until(lambda: agent.nothing_waits() and "broker-down" not in agent.alarms(), 40, "everything is filed")
    return [f.observation.specimen for f in central.ledger.filings(filed_only=True)]
