"""Moments as people read them on this machine."""

from datetime import datetime


def shown(moment: datetime | None) -> str:
    """Local time with its offset, to the second; "" for none."""
    return "" if moment is None else moment.astimezone().isoformat(sep=" ", timespec="seconds")
