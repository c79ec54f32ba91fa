"""Messages the broker had, or refused for now, that go out again: same id, same bytes, later.

Unlimited in number and in time (invariant 7). Holds ids and times, never payloads: a management system that is silent
for a week costs a few megabytes. Rejected messages are not here: the store keeps their times.
"""

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from random import Random

from edge_agent.clock import Clock
from edge_agent.publisher.backoff import delay

BASE_S = 5.0
NOT_YET_S = 5.0  # when a due message may not go, it is looked at again this much later


class Why(StrEnum):
    UNANSWERED = "unanswered"  # at the broker, no answer in time
    LOST = "lost"  # at a broker that forgot our session, or is another one now
    REFUSED = "refused"  # the broker said: later


@dataclass(slots=True)
class Waiting:
    """One message. ``due`` is monotonic seconds."""

    id: str
    why: Why
    due: float
    attempt: int


class Retries:
    def __init__(self, retry_max_s: float, clock: Clock, rng: Random) -> None:
        self._cap_s = retry_max_s
        self._clock = clock
        self._rng = rng
        self._waiting: dict[str, Waiting] = {}
        self._heap: list[tuple[float, str]] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, message: str) -> bool:
        return message in self._waiting

    def __iter__(self) -> Iterator[Waiting]:
        return iter(self._waiting.values())

    def add(self, entry: Waiting) -> None:
        self._waiting[entry.id] = entry
        heapq.heappush(self._heap, (entry.due, entry.id))

    def again(self, entry: Waiting, why: Why) -> None:
        """After one more try that came to nothing."""
        wait = delay(entry.attempt, base_s=min(BASE_S, self._cap_s), cap_s=self._cap_s, rng=self._rng)
        entry.why, entry.due = why, self._clock.monotonic() + wait
        entry.attempt += 1
        self.add(entry)

    def not_yet(self, entry: Waiting) -> None:
        entry.due = self._clock.monotonic() + NOT_YET_S
        self.add(entry)

    def all_lost(self) -> None:
        """The broker forgot us: everything it had taken is due now."""
        now = self._clock.monotonic()
        for entry in list(self._waiting.values()):
            if entry.why is Why.UNANSWERED:
                entry.why, entry.due = Why.LOST, now
                self.add(entry)

    def remove(self, message: str) -> Waiting | None:
        return self._waiting.pop(message, None)

    def pop_due(self, allowed: Callable[[Waiting], bool]) -> Waiting | None:
        """The longest due message that is allowed to go now."""
        now = self._clock.monotonic()
        while (due := self.next_due()) is not None and due <= now:
            entry = self._waiting.pop(heapq.heappop(self._heap)[1])
            if allowed(entry):
                return entry
            self.not_yet(entry)
        return None

    def next_due(self) -> float | None:
        while self._heap:
            due, message = self._heap[0]
            entry = self._waiting.get(message)
            if entry is not None and entry.due == due:
                return due
            heapq.heappop(self._heap)  # removed, or its time was changed
        return None
