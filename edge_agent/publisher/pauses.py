"""Topics the broker's access list refuses: nothing of such a topic is sent but one message on trial, now and then.

Every other topic goes on. Holds the ids of the messages it keeps back, so that the store is not asked for them again.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from random import Random

from edge_agent.clock import Clock
from edge_agent.publisher.backoff import delay

BASE_S = 30.0


@dataclass(slots=True)
class _Pause:
    due: float
    attempt: int = 0
    ids: dict[str, None] = field(default_factory=dict)  # in the order they came
    trial: str = ""


class Pauses:
    def __init__(self, cap_s: float, clock: Clock, rng: Random) -> None:
        self._cap_s = cap_s
        self._clock = clock
        self._rng = rng
        self._topics: dict[str, _Pause] = {}

    def __contains__(self, topic: str) -> bool:
        return topic in self._topics

    def ids(self) -> Collection[str]:
        return [message for pause in self._topics.values() for message in pause.ids]

    def refused(self, topic: str, message: str) -> None:
        """The broker refused ``message``: its topic waits, longer every time."""
        pause = self._topics.setdefault(topic, _Pause(0.0))
        if not pause.trial or pause.trial == message:
            wait = delay(pause.attempt, base_s=min(BASE_S, self._cap_s), cap_s=self._cap_s, rng=self._rng)
            pause.due = self._clock.monotonic() + wait
            pause.attempt += 1
            pause.trial = ""
        self._first(pause, message)

    def keep(self, topic: str, message: str) -> None:
        """A message of a waiting topic turned up."""
        self._topics[topic].ids[message] = None

    def on_trial(self) -> str | None:
        """The one message of a topic whose time has come, oldest first."""
        now = self._clock.monotonic()
        for pause in self._topics.values():
            if pause.due <= now and not pause.trial and pause.ids:
                pause.trial = next(iter(pause.ids))
                return pause.trial
        return None

    def trial_lost(self, message: str) -> None:
        """The message on trial got no answer: its connection ended."""
        for pause in self._topics.values():
            if pause.trial == message:
                pause.trial = ""

    def passed(self, topic: str) -> bool:
        """The broker took a message of this topic; True if it was waiting. What was kept back may go."""
        return self._topics.pop(topic, None) is not None

    def forget(self, message: str) -> None:
        """The message was filed, blocked or set aside meanwhile."""
        for pause in self._topics.values():
            pause.ids.pop(message, None)
            if pause.trial == message:
                pause.trial = ""

    def next_due(self) -> float | None:
        return min((p.due for p in self._topics.values() if p.ids and not p.trial), default=None)

    def _first(self, pause: _Pause, message: str) -> None:
        if message not in pause.ids:
            pause.ids = {message: None, **pause.ids}
