"""Moments in words: as people read them on this machine, and as programs read them anywhere."""

from collections.abc import Iterable
from datetime import UTC, datetime


def shown(moment: datetime | None) -> str:
    """Local time with its offset, to the second; "" for none."""
    return "" if moment is None else moment.astimezone().isoformat(sep=" ", timespec="seconds")


def rfc3339(moment: datetime) -> str:
    """UTC to the millisecond, with Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def spoken(seconds: float) -> str:
    """A length of time as people say it, in its two largest units: 45 s, 3 min 20 s, 9 h, 2 days 4 h."""
    left, parts = round(seconds), []
    for size, one, many in ((86_400, " day", " days"), (3600, " h", " h"), (60, " min", " min"), (1, " s", " s")):
        count, left = divmod(left, size)
        parts.append(f"{count}{one if count == 1 else many}" if count else "")
    first = next((i for i, part in enumerate(parts) if part), len(parts) - 1)
    return " ".join(part for part in parts[first : first + 2] if part) or "0 s"


def newest(moments: Iterable[datetime | None]) -> datetime | None:
    """The latest of those that are known."""
    return max((moment for moment in moments if moment is not None), default=None)
