"""Alarms about something that happened once: over when it has not happened again for a while.

Nothing tells that such a thing is over, so time does. They do not survive a restart.
"""

from datetime import timedelta

from edge_agent.clock import Clock
from edge_agent.monitor.alarms import Alarms


class Passing:
    def __init__(self, alarms: Alarms, clock: Clock, lasts: timedelta) -> None:
        self._alarms = alarms
        self._clock = clock
        self._lasts_s = lasts.total_seconds()
        self._seen: dict[tuple[str, str], float] = {}

    def happened(self, code: str, analyser: str = "", **params: str) -> None:
        self._seen[code, analyser] = self._clock.monotonic()
        self._alarms.raise_(code, analyser, **params)

    def expire(self) -> None:
        """Clear what has not happened again. Call it now and then."""
        now = self._clock.monotonic()
        for (code, analyser), at in list(self._seen.items()):
            if now - at >= self._lasts_s:
                del self._seen[code, analyser]
                self._alarms.clear(code, analyser)
