"""How many published messages may wait for one management system's answer.

Half of the slots are kept for results received since the connection came up (or since the management system came
back), so that a backlog of hours never delays a fresh STAT. The backlog and the retry lane share the other half, the
retry lane at most a quarter of all. A slot is held from publishing to the answer, or until ``ack_timeout_s`` is over.
"""

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from itertools import takewhile

from edge_agent.clock import Clock


class Lane(StrEnum):
    FRESH = "fresh"
    BACKLOG = "backlog"
    RETRY = "retry"
    PROBE = "probe"  # the one message that asks whether a silent management system is back


@dataclass(frozen=True, slots=True)
class _Slot:
    lane: Lane
    until: float


class Window:
    def __init__(self, unfiled: int, ack_timeout_s: float, clock: Clock) -> None:
        self._unfiled = unfiled
        self._old = max(1, unfiled - unfiled // 2)  # for backlog and retries together
        self._retries = max(1, unfiled // 4)
        self._timeout_s = ack_timeout_s
        self._clock = clock
        self._slots: dict[str, _Slot] = {}  # in the order they were taken, which is that of ``until``
        self._held: Counter[Lane] = Counter()

    def __len__(self) -> int:
        return len(self._slots)

    def __contains__(self, message: str) -> bool:
        return message in self._slots

    def room(self, lane: Lane) -> int:
        """How many more messages this lane may publish now."""
        free = self._unfiled - len(self._slots)
        old = self._held[Lane.BACKLOG] + self._held[Lane.RETRY]
        if lane is Lane.FRESH:
            return max(0, free)
        if lane is Lane.BACKLOG:
            return max(0, min(free, self._old - old))
        if lane is Lane.RETRY:
            return max(0, min(free, self._old - old, self._retries - self._held[Lane.RETRY]))
        return 1

    def take(self, message: str, lane: Lane) -> None:
        self.give_back(message)
        self._slots[message] = _Slot(lane, self._clock.monotonic() + self._timeout_s)
        self._held[lane] += 1

    def give_back(self, message: str) -> bool:
        """Whether it held a slot."""
        slot = self._slots.pop(message, None)
        if slot is not None:
            self._held[slot.lane] -= 1
        return slot is not None

    def overdue(self) -> list[str]:
        """Messages whose answer did not come in time, longest waiting first; their slots are still held."""
        now = self._clock.monotonic()
        return [message for message, _ in takewhile(lambda held: held[1].until <= now, self._slots.items())]

    def deadline(self) -> float | None:
        return next((slot.until for slot in self._slots.values()), None)
