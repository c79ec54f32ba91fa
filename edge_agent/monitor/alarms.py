"""What a person should know now: raised once, cleared once, each with one line in the log.

Promises: raising an alarm that is up changes its facts without another line; ``on_change`` hears every change.
Parameters name analysers, topics, files, times and counts, never anything of a patient. Not thread-safe: the event
loop's thread raises and clears. Does not survive a restart; what is still wrong is raised again.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from edge_agent.clock import Clock
from edge_agent.code import Severity
from edge_agent.codes import CODES, urgency
from edge_agent.sentences import sentence
from edge_agent.times import shown

_log = logging.getLogger(__name__)
_TIMES = ("at", "since")
_LEVELS = {Severity.WARNING: logging.WARNING, Severity.ERROR: logging.ERROR}


@dataclass(frozen=True, slots=True)
class Alarm:
    code: str
    severity: Severity
    since: datetime
    analyser: str  # "" = the agent as a whole
    params: Mapping[str, str]
    part: str = ""  # which of several links of the analyser

    @property
    def id(self) -> str:
        """One topic level; no code, analyser's id or link's name has a full stop."""
        return ".".join(word for word in (self.code, self.analyser, self.part) if word)

    @property
    def sentence(self) -> str:
        times = {name: _local(self.params[name]) for name in _TIMES if name in self.params}
        named = f"{self.analyser} ({self.part} link)" if self.part else self.analyser
        return sentence(self.code, {"analyser": named, **self.params, **times})

    @property
    def action(self) -> str:
        return CODES[self.code].action


def _local(text: str) -> str:
    """A moment as a person beside the analyser reads it; programs get it as it is."""
    try:
        return shown(datetime.fromisoformat(text))
    except ValueError:
        return text


class Alarms:
    def __init__(self, clock: Clock, on_change: Callable[[Alarm, bool], None] | None = None) -> None:
        """``on_change(alarm, up)`` is called after every change; assign it later if need be."""
        self._clock = clock
        self._active: dict[tuple[str, str, str], Alarm] = {}
        self.on_change = on_change

    def raise_(self, code: str, analyser: str = "", part: str = "", **params: str) -> None:
        """Raises KeyError for a code that is not in the table."""
        known = self._active.get((code, analyser, part))
        if known is not None and known.params == params:
            return
        since = known.since if known is not None else self._clock.now()
        alarm = Alarm(code, CODES[code].severity, since, analyser, params, part)
        self._active[code, analyser, part] = alarm
        if known is None:
            _log.log(_LEVELS[alarm.severity], "%s (%s) %s", alarm.sentence, alarm.id, alarm.action)
        self._tell(alarm, up=True)

    def clear(self, code: str, analyser: str = "", part: str = "") -> None:
        alarm = self._active.pop((code, analyser, part), None)
        if alarm is None:
            return
        _log.info("Over since now: %s (%s)", alarm.sentence, alarm.id)
        self._tell(alarm, up=False)

    def active(self) -> list[Alarm]:
        """Most urgent first, then oldest."""
        return sorted(self._active.values(), key=lambda a: (urgency(a.code), a.since, a.id))

    def is_up(self, code: str, analyser: str = "", part: str = "") -> bool:
        return (code, analyser, part) in self._active

    def _tell(self, alarm: Alarm, *, up: bool) -> None:
        if self.on_change is not None:
            self.on_change(alarm, up)
