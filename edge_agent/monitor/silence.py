"""An analyser that has sent nothing for longer than usual, counted only while it is at work.

Promised: up when the open time since the last complete message exceeds the gap, over with the next one. Not promised: a
gap that was learned; it is what the profile or the site says, and without one nothing is watched.
"""

from dataclasses import dataclass
from datetime import datetime

from edge_agent.clock import Clock
from edge_agent.monitor.alarms import Alarms
from edge_agent.opening_hours import OpeningHours
from edge_agent.times import rfc3339, spoken

CODE = "silent"


@dataclass(slots=True)
class _Quiet:
    last: datetime | None  # result, by the clock as it was then
    since: datetime  # counted from here


class Silence:
    def __init__(self, alarms: Alarms, clock: Clock) -> None:
        self._alarms = alarms
        self._clock = clock
        self._started = clock.now()
        self._quiet: dict[str, _Quiet] = {}

    def look(self, analyser: str, last: datetime | None, gap_s: int, hours: OpeningHours | None) -> None:
        """``last``: when its last message was complete. ``gap_s``: 0 if nobody said what is usual."""
        quiet = self._quiet.get(analyser)
        if quiet is None or quiet.last != last:
            quiet = self._quiet[analyser] = _Quiet(last, last or self._started)
        if gap_s and self._open_s(quiet.since, hours) > gap_s:
            self._alarms.raise_(CODE, analyser, since=rfc3339(last or self._started), gap=spoken(gap_s))
        else:
            self._alarms.clear(CODE, analyser)

    def forget(self, analyser: str) -> None:
        """It is configured no more."""
        self._quiet.pop(analyser, None)
        self._alarms.clear(CODE, analyser)

    def clock_moved(self) -> None:
        """The moments known are of another clock: count anew."""
        for quiet in self._quiet.values():
            quiet.since = self._clock.now()

    def _open_s(self, since: datetime, hours: OpeningHours | None) -> float:
        now = self._clock.now()
        return (now - since).total_seconds() if hours is None else hours.open_s(since, now)
