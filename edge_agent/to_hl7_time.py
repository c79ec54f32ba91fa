"""HL7 times (TS) from the text of an analyser's clock.

An analyser writes local time without saying where (LIS02-A2 §5.6.2: the sender's zone); the offset comes from the zone
configured for it. What is no time, or cannot be one, is left out and kept in a note. The hour that a clock change makes
happen twice, or not at all, has no single offset: only its date is sent, and the text is kept in a note.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

from hl7.text import NULL

_FIRST_YEAR, _LAST_YEAR = 2000, 2099  # a clock that lost its battery says 1970, 1980 or 0000
_FIRST_BIRTH = 1850
_LENGTHS = frozenset({8, 10, 12, 14})  # YYYYMMDD[HH[MM[SS]]]
_DATE_LENGTHS = _LENGTHS | {4, 6}
_EARLIEST = "00010101000000"
_PARTS = ((0, 4), (4, 6), (6, 8), (8, 10), (10, 12), (12, 14))
_MAX_OFFSET = "1400"


@dataclass(frozen=True, slots=True)
class Moment:
    """``text`` is HL7 TS or "". ``complete`` is False when it says less than the analyser sent."""

    text: str
    complete: bool = True


_NEVER = Moment("")
_NOT_SAID = ("", NULL)
_UNUSABLE = Moment("", complete=False)


def stamp(at: datetime, zone: tzinfo) -> str:
    """A moment of our own clock, to the second, with the zone's offset."""
    return at.astimezone(zone).strftime("%Y%m%d%H%M%S%z")


def moment(sent: str, zone: ZoneInfo) -> Moment:
    """A time as sent: YYYYMMDD, or more digits down to the second and fractions of it, with or without an offset."""
    if sent in _NOT_SAID:
        return _NEVER
    body, offset = _split(sent)
    digits, point, fraction = body.partition(".")
    if not _is_time(digits, _LENGTHS) or (point and not _is_fraction(digits, fraction)):
        return _UNUSABLE
    wall = _wall(digits, zone)
    if wall is None or not _FIRST_YEAR <= wall.year <= _LAST_YEAR:
        return _UNUSABLE
    if offset:
        return Moment(sent) if _is_offset(offset) else _UNUSABLE
    return _day(digits, wall) if len(digits) == 8 else _with_offset(body, digits, wall)


def plain_date(sent: str) -> Moment:
    """A date of birth or expiry as sent, YYYY[MM[DD[HH[MM[SS]]]]], when the calendar has it. It belongs to no zone."""
    if sent in _NOT_SAID:
        return _NEVER
    wall = _wall(sent, UTC) if _is_time(sent, _DATE_LENGTHS) else None
    return _UNUSABLE if wall is None or not _FIRST_BIRTH <= wall.year <= _LAST_YEAR else Moment(sent)


def _split(sent: str) -> tuple[str, str]:
    """The time and its offset ("" or sign and digits)."""
    at = max(sent.rfind("+"), sent.rfind("-"))
    return (sent, "") if at < 0 else (sent[:at], sent[at:])


def _is_time(digits: str, lengths: frozenset[int]) -> bool:
    return len(digits) in lengths and digits.isascii() and digits.isdigit()


def _is_fraction(digits: str, fraction: str) -> bool:
    return len(digits) == 14 and len(fraction) in (1, 2, 3, 4) and fraction.isascii() and fraction.isdigit()


def _is_offset(offset: str) -> bool:
    hours_minutes = offset[1:]
    well_formed = len(hours_minutes) == 4 and hours_minutes.isascii() and hours_minutes.isdigit()
    return well_formed and hours_minutes <= _MAX_OFFSET and hours_minutes[2:] < "60"


def _wall(digits: str, zone: tzinfo) -> datetime | None:
    """The moment on the analyser's wall; None when the calendar has no such moment."""
    full = digits + _EARLIEST[len(digits) :]
    year, month, day, hour, minute, second = (int(full[a:b]) for a, b in _PARTS)
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=zone)
    except ValueError:
        return None


def _day(digits: str, wall: datetime) -> Moment:
    """A date alone, with the offset its day starts with; without one where that midnight is the hour of the change."""
    return Moment(digits + f"{wall:%z}" if _has_one_offset(wall) else digits)


def _with_offset(body: str, digits: str, wall: datetime) -> Moment:
    # A repeated or skipped hour: either offset would be a guess, and an hour wrong half of the time.
    if not _has_one_offset(wall):
        return Moment(_day(digits[:8], wall.replace(hour=0, minute=0, second=0)).text, complete=False)
    return Moment(body + f"{wall:%z}")


def _has_one_offset(wall: datetime) -> bool:
    """False in the hour that a clock change makes happen twice, and in the one it skips."""
    return wall.utcoffset() == wall.replace(fold=1).utcoffset()
