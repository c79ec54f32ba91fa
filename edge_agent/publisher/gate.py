"""Whether a management system is there to take results.

Promises: while at least one instance may be online, results flow; while all known instances say offline, one waiting
message goes out every 60 s as a probe, and any answer opens the gate again, whatever the STATE topics say. Does not
promise that an open gate means somebody listens: only an acknowledgement means that.

STATE is `{online, timestamp}` retained, one topic per instance. A will carries its birth's timestamp, so a will that
comes late (after the instance's next birth) is older than that birth and is ignored.
"""

import json
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from math import isfinite

from edge_agent.clock import Clock

PROBE_S = 60.0


class BadStateError(ValueError):
    """A STATE payload that is not `{online, timestamp}`; nothing is concluded from it."""


@dataclass(slots=True)
class _Instance:
    online: bool
    timestamp: int | float


@dataclass(slots=True)
class _Consumer:
    instances: dict[str, _Instance] = field(default_factory=dict)
    overruled: bool = False  # an answer came while closed: open until some instance says offline anew
    farewells: int = 0  # how often an instance that was online said offline
    closed_since: datetime | None = None
    next_probe: float = 0.0


class Gate:
    def __init__(self, consumers: Collection[str], clock: Clock, probe_s: float = PROBE_S) -> None:
        self._clock = clock
        self._probe_s = probe_s
        self._consumers = {name: _Consumer() for name in consumers}

    def heard(self, consumer: str, instance: str, payload: bytes) -> None:
        """A STATE message. Raises BadStateError; an unknown consumer is nobody of ours."""
        known = self._consumers.get(consumer)
        if known is None:
            return
        if not payload:
            known.instances.pop(instance, None)
        else:
            self._take(known, instance, *_read(payload))
        self._settle(known)

    def farewells(self, consumer: str) -> int:
        """To be remembered when an acknowledgement comes, and given to ``answered`` once it is taken."""
        return self._consumers[consumer].farewells

    def answered(self, consumer: str, farewells: int) -> None:
        """An application acknowledgement came: somebody is there, whatever was said before it."""
        known = self._consumers[consumer]
        if known.farewells == farewells:
            known.overruled = True
        self._settle(known)

    def is_open(self, consumer: str) -> bool:
        return self._consumers[consumer].closed_since is None

    def closed_since(self, consumer: str) -> datetime | None:
        return self._consumers[consumer].closed_since

    def probe_due(self, consumer: str) -> bool:
        known = self._consumers[consumer]
        return known.closed_since is not None and self._clock.monotonic() >= known.next_probe

    def probed(self, consumer: str) -> None:
        self._consumers[consumer].next_probe = self._clock.monotonic() + self._probe_s

    def next_probe(self) -> float | None:
        """The monotonic time of the next probe of any closed gate."""
        return min((c.next_probe for c in self._consumers.values() if c.closed_since is not None), default=None)

    def _take(self, consumer: _Consumer, instance: str, online: bool, timestamp: int | float) -> None:
        known = consumer.instances.get(instance)
        if known is None:
            consumer.instances[instance] = _Instance(online, timestamp)
            consumer.overruled = consumer.overruled and online
            return
        if timestamp < known.timestamp:
            return
        if known.online and not online:
            consumer.overruled = False
            consumer.farewells += 1
        known.online, known.timestamp = online, timestamp

    def _settle(self, consumer: _Consumer) -> None:
        silent = bool(consumer.instances) and not any(i.online for i in consumer.instances.values())
        if silent and not consumer.overruled:
            if consumer.closed_since is None:
                consumer.closed_since = self._clock.now()
                consumer.next_probe = self._clock.monotonic() + self._probe_s
        else:
            consumer.closed_since = None


def _read(payload: bytes) -> tuple[bool, int | float]:
    try:
        said = json.loads(payload)
        online, timestamp = said["online"], said["timestamp"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise BadStateError("not a JSON object with online and timestamp") from None
    number = isinstance(timestamp, int | float) and not isinstance(timestamp, bool)
    # JSON as Python reads it has Infinity and NaN: nothing is ever later than the one, everything is than the other.
    if not isinstance(online, bool) or not number or (isinstance(timestamp, float) and not isfinite(timestamp)):
        raise BadStateError("online is true or false, timestamp a number of milliseconds")
    return online, timestamp
