"""Moments in words: as people read them on this machine, and as programs read them anywhere."""

from datetime import UTC, datetime


def shown(moment: datetime | None) -> str:
    """Local time with its offset, to the second; "" for none."""
    return "" if moment is None else moment.astimezone().isoformat(sep=" ", timespec="seconds")


def rfc3339(moment: datetime) -> str:
    """UTC to the millisecond, with Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
