"""Topics of the gateway's own that the broker's access list forbids: one alarm stands for all of them.

It names the one that has been forbidden longest and no other until that one passes: the alarm is itself published, on
a topic that may be forbidden, and would never come to rest if it named what was refused last.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from edge_agent.monitor.alarms import Alarms


@dataclass(frozen=True, slots=True)
class _Refusal:
    reason: str
    retained: bool  # what was said last is missing at the broker


class Forbidden:
    def __init__(self, alarms: Alarms) -> None:
        self._alarms = alarms
        self._topics: dict[str, _Refusal] = {}

    def __contains__(self, topic: str) -> bool:
        return topic in self._topics

    def retained(self) -> Iterator[str]:
        return (topic for topic, refusal in self._topics.items() if refusal.retained)

    def add(self, topic: str, reason: str, *, retained: bool) -> None:
        self._topics[topic] = _Refusal(reason, retained)
        self._name_first()

    def passed(self, topic: str) -> bool:
        """The broker took something said there; whether it had been forbidden."""
        if self._topics.pop(topic, None) is None:
            return False
        self._name_first()
        return True

    def clear(self) -> None:
        self._topics.clear()
        self._name_first()

    def _name_first(self) -> None:
        topic = next(iter(self._topics), None)
        if topic is None:
            self._alarms.clear("broker-refused")
        else:
            self._alarms.raise_("broker-refused", topic=topic, reason=self._topics[topic].reason)
