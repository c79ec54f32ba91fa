"""The alarms of delivery: which are up, and when they are over.

Counted ones (rejected, blocked) know their messages by id, so that the count falls when one is filed or set aside.
Those of a single event (a foreign acknowledgement, a retained command) are over when an hour passed without another.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta

from edge_agent.clock import Clock
from edge_agent.monitor.alarms import Alarms
from edge_agent.monitor.passing import Passing
from edge_agent.publisher.answers import Wrong
from edge_agent.publisher.outbox import Unfinished
from edge_agent.times import rfc3339

EVENT_LASTS = timedelta(hours=1)
GRAPHICS = "graphics-too-large"


class Troubles:
    def __init__(self, alarms: Alarms, clock: Clock) -> None:
        self._alarms = alarms
        self._rejected: defaultdict[str, set[str]] = defaultdict(set)
        self._blocked: defaultdict[str, set[str]] = defaultdict(set)
        self._topics: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        self._offline: dict[str, datetime] = {}
        self._events = Passing(alarms, clock, EVENT_LASTS)

    # The broker

    def taken(self, analyser: str, topic: str, *, nobody: bool) -> None:
        self._topic_well("broker-refused", analyser, topic)
        if nobody:
            self._topic_bad("no-subscriber", analyser, topic)
        else:
            self._topic_well("no-subscriber", analyser, topic)

    def refused(self, analyser: str, topic: str, reason: str) -> None:
        self._topic_bad("broker-refused", analyser, topic, reason=reason)

    def blocked(self, analyser: str, message: str, code: str, reason: str) -> None:
        if code == GRAPHICS:
            self._events.happened(GRAPHICS, analyser)
            return
        self._blocked[analyser].add(message)
        self._alarms.raise_("blocked", analyser, count=str(len(self._blocked[analyser])), reason=reason)

    def nothing_blocked(self) -> None:
        """All of them are tried again."""
        for analyser in list(self._blocked):
            self._blocked[analyser].clear()
            self._clear_blocked(analyser)

    def anew(self) -> None:
        """Another connection by other options: what the last one met is not known to be so any more."""
        for code, analyser in list(self._topics):
            self._alarms.clear(code, analyser)
        self._topics.clear()
        for consumer in list(self._offline):
            self.gate(consumer, None)
        self.unconfirmed(None)

    # The management system

    def rejected(self, analyser: str, message: str) -> None:
        self._rejected[analyser].add(message)
        self._count_rejected(analyser)

    def filed(self, analyser: str, message: str) -> None:
        for known in (self._rejected, self._blocked):
            known[analyser].discard(message)
        self._count_rejected(analyser)
        self._clear_blocked(analyser)

    def review(self, rejected: Iterable[Unfinished], blocked: Iterable[Unfinished]) -> None:
        """What the store really has: a person may have decided meanwhile."""
        analysers = {*self._rejected, *self._blocked}
        self._rejected, self._blocked = _by_analyser(rejected), _by_analyser(blocked)
        for analyser in analysers | self._rejected.keys():
            self._count_rejected(analyser)
            self._clear_blocked(analyser)
        self._events.expire()

    def wrong_ack(self, wrong: Wrong, analyser: str) -> None:
        self._events.happened(wrong, analyser)

    def retained(self, topic: str) -> None:
        self._events.happened("retained-command", topic=topic)

    def gate(self, consumer: str, since: datetime | None) -> None:
        """``since``: offline since; None = there again."""
        if since is None:
            self._offline.pop(consumer, None)
        else:
            self._offline[consumer] = since
        if not self._offline:
            self._alarms.clear("consumer-offline")
            return
        first = min(self._offline.values())
        self._alarms.raise_("consumer-offline", consumer=", ".join(sorted(self._offline)), since=rfc3339(first))

    def unconfirmed(self, since: datetime | None) -> None:
        if since is None:
            self._alarms.clear("unconfirmed")
        elif not self._alarms.is_up("unconfirmed"):
            self._alarms.raise_("unconfirmed", since=rfc3339(since))

    def _topic_bad(self, code: str, analyser: str, topic: str, **params: str) -> None:
        self._topics[code, analyser].add(topic)
        self._alarms.raise_(code, analyser, topic=topic, **params)

    def _topic_well(self, code: str, analyser: str, topic: str) -> None:
        """One alarm stands for all topics of an analyser: over when the last of them is well."""
        bad = self._topics[code, analyser]
        bad.discard(topic)
        if not bad:
            self._alarms.clear(code, analyser)

    def _count_rejected(self, analyser: str) -> None:
        count = len(self._rejected[analyser])
        if count:
            self._alarms.raise_("rejected", analyser, count=str(count))
        else:
            self._alarms.clear("rejected", analyser)

    def _clear_blocked(self, analyser: str) -> None:
        if not self._blocked[analyser]:
            self._alarms.clear("blocked", analyser)


def _by_analyser(rows: Iterable[Unfinished]) -> defaultdict[str, set[str]]:
    found: defaultdict[str, set[str]] = defaultdict(set)
    for row in rows:
        found[row.analyser].add(row.id)
    return found
