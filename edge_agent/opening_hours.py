"""When an analyser is at work: weekdays and times of the place where it stands.

``mon-fri 07:00-19:00, sat 08:00-13:00``; without days every day; an end that is not after its start lies on the next
day. Times are of the wall clock there, so a night in which clocks change is an hour shorter or longer: a time that
occurs twice begins at the first and ends at the second, a time that is skipped counts as that much later.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Self
from zoneinfo import ZoneInfo

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = timedelta(days=1)
_RULE = re.compile(r"(?:([a-z]{3})(?:-([a-z]{3}))? +)?(\d\d):(\d\d) ?- ?(\d\d):(\d\d)")
_MIDNIGHT = 24 * 60


class HoursError(ValueError):
    """Not opening hours; the text says how they are written."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Minutes after midnight; ``end`` is beyond 24 hours when it lies on the next day."""

    days: frozenset[int]  # of its start; Monday is 0
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class OpeningHours:
    """No rules: always open."""

    rules: tuple[Rule, ...]
    zone: ZoneInfo

    @classmethod
    def parse(cls, text: str, zone: ZoneInfo) -> Self:
        """``text`` may be empty. Raises HoursError."""
        return cls(tuple(_rule(part.strip()) for part in text.split(",")) if text.strip() else (), zone)

    def open_s(self, since: datetime, until: datetime) -> float:
        """The seconds between two moments in which it was open."""
        if not self.rules:
            return max(0.0, (until - since).total_seconds())
        total, counted = timedelta(0), since
        for start, end in sorted(self._spells(since, until)):
            begin, over = max(start, counted), min(end, until)
            if over > begin:
                total, counted = total + (over - begin), over
        return total.total_seconds()

    def _spells(self, since: datetime, until: datetime) -> Iterator[tuple[datetime, datetime]]:
        """Every spell that can touch the time between the two, in UTC. They may overlap."""
        day, last = since.astimezone(self.zone).date() - _DAY, until.astimezone(self.zone).date()
        while day <= last:
            for rule in self.rules:
                if day.weekday() in rule.days:
                    yield self._instants(day, rule.start)[0], max(self._instants(day, rule.end))
            day += _DAY

    def _instants(self, day: date, minutes: int) -> tuple[datetime, datetime]:
        """The moments a wall clock there shows this: twice the same one, except where clocks change."""
        days, rest = divmod(minutes, _MIDNIGHT)
        wall = datetime.combine(day + days * _DAY, time(rest // 60, rest % 60), self.zone)
        return wall.astimezone(UTC), wall.replace(fold=1).astimezone(UTC)


def _rule(text: str) -> Rule:
    match = _RULE.fullmatch(text.lower())
    if match is None:
        raise HoursError(f"{text!r} is not hours such as 'mon-fri 07:00-19:00' or '22:00-06:00'")
    first, last, *clock = match.groups()
    start, end = _minutes(text, *clock[:2]), _minutes(text, *clock[2:])
    if start == _MIDNIGHT:
        raise HoursError(f"{text!r} begins at 24:00; write 00:00 and the next day")
    return Rule(_days(text, first, last), start, end if end > start else end + _MIDNIGHT)


def _minutes(text: str, hour: str, minute: str) -> int:
    found = int(hour) * 60 + int(minute)
    if found > _MIDNIGHT or int(minute) > 59:
        raise HoursError(f"{text!r} has a time no clock shows")
    return found


def _days(text: str, first: str | None, last: str | None) -> frozenset[int]:
    if first is None:
        return frozenset(range(7))
    try:
        begin, end = DAYS.index(first), DAYS.index(last or first)
    except ValueError:
        raise HoursError(f"{text!r} has a day that is none of {', '.join(DAYS)}") from None
    return frozenset((begin + n) % 7 for n in range((end - begin) % 7 + 1))
