"""How many published messages may wait for one management system's answer.

Half of the slots are kept for results received since the connection came up (or since the management system came
back), so that a backlog of hours never delays a fresh STAT. The backlog and the retry lane share the other half, the
retry lane at most a quarter of all. A slot is held from publishing to the answer, or until ``ack_timeout_s`` is over.
"""

from dataclasses import dataclass
from enum import StrEnum

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
        self._slots: dict[str, _Slot] = {}

    def __len__(self) -> int:
        return len(self._slots)

    def __contains__(self, message: str) -> bool:
        return message in self._slots

    def room(self, lane: Lane) -> int:
        """How many more messages this lane may publish now."""
        free = self._unfiled - len(self._slots)
        old = self._count(Lane.BACKLOG) + self._count(Lane.RETRY)
        if lane is Lane.FRESH:
            return max(0, free)
        if lane is Lane.BACKLOG:
            return max(0, min(free, self._old - old))
        if lane is Lane.RETRY:
            return max(0, min(free, self._old - old, self._retries - self._count(Lane.RETRY)))
        return 1

    def take(self, message: str, lane: Lane) -> None:
        self._slots[message] = _Slot(lane, self._clock.monotonic() + self._timeout_s)

    def give_back(self, message: str) -> bool:
        """Whether it held a slot."""
        return self._slots.pop(message, None) is not None

    def overdue(self) -> list[str]:
        """Messages whose answer did not come in time, longest waiting first; their slots are still held."""
        now = self._clock.monotonic()
        late = [(slot.until, message) for message, slot in self._slots.items() if slot.until <= now]
        return [message for _, message in sorted(late)]

    def deadline(self) -> float | None:
        return min((slot.until for slot in self._slots.values()), default=None)

    def _count(self, lane: Lane) -> int:
        return sum(slot.lane is lane for slot in self._slots.values())
