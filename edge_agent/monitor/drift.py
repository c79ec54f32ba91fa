"""How far an analyser's clock is from this machine's: the median over its last messages.

Promised: one odd message raises nothing; a clock set right is believed after three. Not promised: more than the
analyser says; one that sends no time is not judged.
"""

from collections import deque
from statistics import median

from edge_agent.monitor.alarms import Alarms
from edge_agent.times import spoken

CODE = "drift"
LAST, ENOUGH = 5, 3
# People read result times to the minute; less than two minutes may be a message that waited, or seconds cut off.
LIMIT_S = 120.0
_HALF_HOUR_S = 1800
_ZONE_SLACK_S = 90.0  # a wrong zone on a clock that is nearly right


class Drift:
    def __init__(self, alarms: Alarms) -> None:
        self._alarms = alarms
        self._heard: dict[str, deque[float]] = {}

    def heard(self, analyser: str, ahead_s: float) -> None:
        """A message said a time ``ahead_s`` seconds after (negative: before) that of its arrival."""
        self._heard.setdefault(analyser, deque(maxlen=LAST)).append(ahead_s)
        ahead = self.ahead_s(analyser)
        if ahead is None:
            return
        if abs(ahead) > LIMIT_S:
            self._alarms.raise_(CODE, analyser, what=in_words(ahead))
        else:
            self._alarms.clear(CODE, analyser)

    def ahead_s(self, analyser: str) -> int | None:
        """Whole seconds; None before enough messages came."""
        heard = self._heard.get(analyser, ())
        return round(median(heard)) if len(heard) >= ENOUGH else None

    def forget(self, analyser: str) -> None:
        """What was heard says nothing any more: this machine's clock was moved, or the analyser is another."""
        self._heard.pop(analyser, None)
        self._alarms.clear(CODE, analyser)

    def analysers(self) -> list[str]:
        return list(self._heard)


def in_words(ahead_s: int) -> str:
    """Whole half hours are a time zone or a summer time, not a clock that runs wrong."""
    steps = round(ahead_s / _HALF_HOUR_S)
    side = "ahead" if ahead_s > 0 else "behind"
    if steps and abs(ahead_s - steps * _HALF_HOUR_S) <= _ZONE_SLACK_S:
        return f"{spoken(abs(steps) * _HALF_HOUR_S)} {side}, as with a wrong time zone or summer time"
    return f"{spoken(abs(ahead_s))} {side}"
