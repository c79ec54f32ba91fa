"""Times as the database keeps them: whole microseconds since 1970-01-01 UTC. No floating point on the way."""

from datetime import UTC, datetime, timedelta

LATEST = 253_402_300_799_999_999  # the last moment of the year 9999: what is later is no moment
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_us(moment: datetime) -> int:
    """Raises TypeError for a time without a zone."""
    return (moment - _EPOCH) // _MICROSECOND


def from_us(value: int) -> datetime:
    """A number no agent wrote (its row went bad) is the first or the last moment there is.

    So one bad row costs its own result at most, and not every message it is looked at for; the audit names the row.
    """
    return _EPOCH + timedelta(microseconds=min(max(value, 0), LATEST))


def maybe_from_us(value: int | None) -> datetime | None:
    return None if value is None else from_us(value)
