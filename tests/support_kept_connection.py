"""A connection to a broker that only keeps what it is given, in the place of the one made of paho-mqtt."""

from dataclasses import dataclass, field
from typing import Any

from edge_agent.publisher.events import Received


@dataclass
class Said:
    topic: str
    payload: bytes
    properties: Any
    retain: bool
    mid: int


@dataclass
class KeptConnection:
    """Takes what it is given until it is ``gone``; what comes of it is posted by the test."""

    number: int
    broker: Any
    options: Any
    will: bytes
    will_topic: str
    post: Any
    clock: Any
    overdue_at: float | None = None
    opened: bool = False
    most: int = 16
    gone: bool = False
    said: list[Said] = field(default_factory=list)
    flying: list[int] = field(default_factory=list)
    filters: list[tuple[str, bool]] = field(default_factory=list)
    acknowledged: list[int] = field(default_factory=list)
    closed: list[bool] = field(default_factory=list)

    def open(self) -> None:
        self.opened = True

    @property
    def room(self) -> int:
        return self.most - len(self.flying)

    @property
    def pending(self) -> int:
        return len(self.flying)

    def limit(self, receive_maximum: int) -> None:
        self.most = min(self.most, receive_maximum)

    def publish(self, topic: str, payload: bytes, properties: Any, *, retain: bool = False) -> int | None:
        assert self.room > 0
        if self.gone:
            return None
        mid = len(self.said) + 1
        self.said.append(Said(topic, payload, properties, retain, mid))
        self.flying.append(mid)
        return mid

    def answered(self, mid: int) -> None:
        self.flying.remove(mid)

    def give_up_if_overdue(self) -> None:
        """Nothing is overdue here; see test_lost_room.py."""

    def subscribe(self, filters: list[tuple[str, bool]]) -> int:
        self.filters = list(filters)
        return 77

    def acknowledge(self, message: Received) -> None:
        self.acknowledged.append(message.mid)

    def close(self, *, keep_will: bool = False, end_session: bool = False) -> None:
        self.closed.append(end_session)
        self.most = 0
