"""A whole publisher on a clock moved by hand: real store, real link to a connection that only keeps what it is given.

What the broker does is said by the test (`connect`, `puback`, `comes`); what the publisher does by itself happens in
`wait`, at its time.
"""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from support_delivery import AtOnce, HighestDraw, Steps
from support_kept_connection import KeptConnection, Said
from support_publisher import GATEWAY, ROOT, SITE, queue_one
from support_settling_loop import SettlingLoop

from edge_agent.monitor.alarms import Alarms
from edge_agent.monitor.payloads import Info
from edge_agent.monitor.presence import Presence
from edge_agent.publisher import link
from edge_agent.publisher.events import Cause, Connected, Ended, Event, PubackCame, Received, Subscribed
from edge_agent.publisher.options import MqttOptions
from edge_agent.publisher.publisher import Publisher
from edge_agent.states import MessageState
from edge_agent.store.errors import StorageFailedError
from edge_agent.store.rows import Route
from edge_agent.store.store import Store


class Lane(AtOnce):
    """The store's second lane.

    ``failing``: a disk that takes nothing, ``lying``: one that reports an error and took it, ``holding``: a busy store.
    """

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.failing = self.lying = self.holding = False
        self.jobs = 0
        self._held: list[tuple[Future[Any], Any]] = []

    def later(self, job: Any) -> "Future[Any]":
        self.jobs += 1
        waits: Future[Any] = Future()
        if self.lying:
            super().later(job)
        if self.failing or self.lying:
            waits.set_exception(StorageFailedError("disk full"))
        elif self.holding:
            self._held.append((waits, job))
        else:
            return super().later(job)
        return waits

    def let_go(self) -> None:
        self.holding = False
        held, self._held = self._held, []
        for waits, job in held:
            waits.set_result(super().later(job).result())


@dataclass
class Owed:
    """What came from the broker: whether the gateway has acknowledged it."""

    connection: KeptConnection
    mid: int

    @property
    def acknowledged(self) -> bool:
        return self.mid in self.connection.acknowledged


class Whole:
    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> None:
        self.made: list[KeptConnection] = []
        monkeypatch.setattr(link, "Connection", self._make)
        self.clock = Steps()
        self.loop = SettlingLoop(self.clock)
        self.store = Store.open(folder, self.clock, reserve_mb=0, low_water_mb=0, allow_unsafe=True)
        self.lane = Lane(self.store)
        fields = {"urls": ("mqtt://a.example",), "site": SITE, "gateway": GATEWAY, **options}
        self.options = MqttOptions(**fields)
        self._mids = 0

        self.begin()

    def begin(self) -> None:
        """As at a start of the agent; also once more, after a stop."""
        self.alarms = Alarms(self.clock)
        self.presence = Presence("0.1.0", self.alarms, Info(version="0.1.0", site=SITE, gateway=GATEWAY))
        self.presence.running()
        store: Any = self.lane
        self.publisher = Publisher(self.options, store, self.clock, HighestDraw(5), self.alarms, self.presence)
        self.task = self.loop.create_task(self.publisher.run())
        self.wait(0)

    def end(self) -> None:
        self.lane.failing = self.lane.lying = self.lane.holding = False
        try:
            if not self.task.done():
                self.publisher.stop()
                self.wait(4)
        finally:
            self.loop.close()
            self.store.close()

    def wait(self, seconds: float) -> None:
        self.loop.let_pass(seconds)
        if self.task.done() and not self.task.cancelled():
            self.task.result()

    def do(self, job: Any, seconds: float = 0) -> Any:
        """A coroutine of the publisher's, given so much time; its task."""
        task = self.loop.create_task(job)
        self.wait(seconds)
        return task

    # The broker

    def _make(self, *arguments: Any) -> KeptConnection:
        self.made.append(KeptConnection(*arguments))
        return self.made[-1]

    @property
    def now(self) -> KeptConnection:
        return self.made[-1]

    def connect(self, *, session: bool = True) -> None:
        """The newest connection comes up, everything is granted and our nonce comes back."""
        one = self.now
        one.post(Connected(one.number, 0, session, 100, None))
        self.wait(0)
        one.post(Subscribed(one.number, 77, (1,) * len(one.filters)))
        self.wait(0)
        self.comes("down/echo", next(said.payload for said in reversed(one.said) if said.topic.endswith("/echo")))
        self.take_notes()

    def take_notes(self) -> None:
        """The broker takes what the gateway said about itself, the results excepted."""
        for said in [s for s in self.now.said if s.mid in self.now.flying and not _is_result(s)]:
            self.puback_mid(said.mid)

    def live(self, seconds: float) -> None:
        """`wait` on a broker that takes notes and brings nonces back."""
        end = self.clock.seconds + seconds
        while self.clock.seconds < end:
            self.wait(min(60.0, end - self.clock.seconds))
            self.take_notes()

    def comes(self, name: str, payload: bytes, *, retained: bool = False, on: KeptConnection | None = None) -> Owed:
        """A PUBLISH under our root, or under the prefix where ``name`` begins with an underscore."""
        return self._comes(name, payload, retained, None, on)

    def _comes(
        self, name: str, payload: bytes, retained: bool, correlation: bytes | None, on: KeptConnection | None
    ) -> Owed:
        one, self._mids = on or self.now, self._mids + 1
        topic = f"ivd/v1/{name}" if name.startswith("_") else f"{ROOT}/{name}"
        one.post(Received(one.number, 1000 + self._mids, 1, topic, payload, retained, correlation, ()))
        self.wait(0)
        return Owed(one, 1000 + self._mids)

    def ack(self, message: str, code: str = "AA", consumer: str = "ivd", on: KeptConnection | None = None) -> Owed:
        """The management system's answer to ``message``."""
        return self._comes(f"down/ack/{consumer}", _ack(message, code), False, message.encode(), on)

    def answer(self, message: str, mid: int = 5000) -> Received:
        """The same, to be posted."""
        topic = f"{ROOT}/down/ack/ivd"
        return Received(self.now.number, mid, 1, topic, _ack(message, "AA"), False, message.encode(), ())

    def consumer_says(self, online: bool, at: int, consumer: str = "ivd") -> Owed:
        payload = b'{"online": %s, "timestamp": %d}' % (b"true" if online else b"false", at)
        return self.comes(f"_central/{consumer}/a/state", payload, retained=True)

    def together(self, *events: Event) -> None:
        """All of it before the publisher has looked."""
        for event in events:
            self.now.post(event)
        self.wait(0)

    def puback(self, message: str, code: int = 0) -> None:
        """The broker's answer to the newest publication of ``message``."""
        self.puback_mid(next(s.mid for s in reversed(self.now.said) if _id(s) == message), code)

    def puback_mid(self, mid: int, code: int = 0) -> None:
        self.now.post(PubackCame(self.now.number, mid, code, ""))
        self.wait(0)

    def ended(self, cause: Cause = Cause.DROPPED, on: KeptConnection | None = None) -> None:
        one = on or self.now
        one.post(Ended(one.number, cause, None, "it ended"))
        self.wait(0)

    # What there is

    def queue(self, route: Route = Route.RESULT, **more: Any) -> str:
        """One message more; its id. The publisher is told."""
        message = self.put(route, **more)
        self.publisher.kick()
        self.wait(0)
        return message

    def put(self, route: Route = Route.RESULT, **more: Any) -> str:
        """One message more in the store, of which the publisher hears nothing."""
        return queue_one(self.store, "", "xn1", route, **{"stat": False, "graphics": False, "filler": 0, **more})

    def at_broker(self) -> str:
        message = self.queue()
        self.puback(message)
        assert self.state(message) is MessageState.AT_BROKER
        return message

    def sent(self, on: KeptConnection | None = None) -> list[str]:
        """Ids of the results handed to a connection, in their order."""
        return [_id(said) for said in (on or self.now).said if _is_result(said)]

    def said(self, name: str, on: KeptConnection | None = None) -> list[bytes]:
        """What was published under a name of ours."""
        return [said.payload for said in (on or self.now).said if said.topic == f"{ROOT}/{name}"]

    def state(self, message: str) -> MessageState:
        row = self.store.message(message)
        assert row is not None
        return row.state

    def codes(self) -> set[str]:
        return {alarm.code for alarm in self.alarms.active()}

    def other_options(self, **changes: Any) -> MqttOptions:
        return replace(self.options, **changes)


MakeWhole = Callable[..., Whole]


def _ack(message: str, code: str) -> bytes:
    """Written by hand."""
    msh = "MSH|^~\\&|IVD|CENTRAL|||20240301||ACK^R22^ACK|1|P|2.5.1"
    return f"{msh}\rMSA|{code}|{message}\r".encode()


def _is_result(said: Said) -> bool:
    return "/up/xn1/" in said.topic


def _id(said: Said) -> str:
    return said.payload.split(b"|")[9].decode() if _is_result(said) else ""
