"""What an analyser's clock shows when it sends, against the time its message came. Pure.

The header's time (LIS02-A2 §6, H.14) is that of sending. A result's time (R.13) is earlier by however long the result
has waited, so without a header's time it is evidence only when it lies in the future.
"""

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from drivers.canonical import Report
from edge_agent.to_hl7_time import moment

_TO_THE_MINUTE = len("202406121200+0900")


def ahead_s(reports: Sequence[Report], came: datetime, zone: ZoneInfo) -> float | None:
    """Seconds the clock is ahead (negative: behind); None where nothing can be told."""
    for report in reports[:1]:
        if (sent := _instant(report.sent, zone)) is not None:
            return (sent - came).total_seconds()
    times = [
        at
        for report in reports
        for specimen in report.specimens
        for o in specimen.observations()
        if (at := _instant(o.completed, zone)) is not None
    ]
    ahead = max(((at - came).total_seconds() for at in times), default=0.0)
    return ahead if ahead > 0 else None


def _instant(sent: str, zone: ZoneInfo) -> datetime | None:
    """None for what is no time, for a date alone, and for the hour that a clock change makes happen twice."""
    said = moment(sent, zone)
    if not said.complete or len(said.text) < _TO_THE_MINUTE:
        return None
    return datetime.fromisoformat(f"{said.text[:8]}T{said.text[8:]}")
