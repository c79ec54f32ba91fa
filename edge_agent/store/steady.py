"""The store's own time: what is old, what is due and what is a repeat go by it, and nobody can set it.

Promised: while the agent runs, and over its restarts as long as the machine is not started anew, it goes on evenly
whatever is done to the wall clock. Over a start of the machine the wall clock is all there is to tell how long it was
off: no time for one that was set back, and never more than ``OFF_COUNTS``, so that a clock that comes up years ahead
makes nothing old. Not promised: to be the time of day. It began as what the wall clock showed when the store was made.
"""

from datetime import datetime, timedelta
from pathlib import Path

from edge_agent.clock import Clock
from edge_agent.store.times import from_us, to_us

OFF_COUNTS = timedelta(
    days=3
)  # a long weekend; what a machine that was off for longer keeps, it keeps that much longer
BOOT = Path("/proc/sys/kernel/random/boot_id")
_US = timedelta(microseconds=1)


class Steady:
    """Kept with the number of the last commit: ``note`` is what ``begin`` is given at the next start."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ahead = 0  # of the monotonic clock, microseconds
        self._boot = ""
        self.begun = False

    def begin(self, last_commit: str) -> None:
        """``last_commit``: number, wall clock and, behind them, the ``note`` of that moment; "" for a new store."""
        wall, monotonic, self._boot = to_us(self._clock.now()), self._monotonic(), _boot()
        words = last_commit.split()
        at = int(words[1]) if words else wall
        steady, then, boot = (int(words[2]), int(words[3]), words[4]) if len(words) == 5 else (at, 0, "")
        if boot == self._boot != "-" and monotonic >= then:
            steady += monotonic - then
        else:
            steady += min(max(wall - at, 0), OFF_COUNTS // _US)
        self._ahead = steady - monotonic
        self.begun = True

    def now_us(self) -> int:
        return self._monotonic() + self._ahead

    def note(self) -> str:
        monotonic = self._monotonic()
        return f"{monotonic + self._ahead} {monotonic} {self._boot}"

    def of(self, moment: datetime) -> int:
        """The store's time, in microseconds, for one that was counted from what the wall clock shows now."""
        return to_us(moment) - self._wall_ahead()

    def shown(self, value: int | None) -> datetime | None:
        """The other way: as long ago, or as far away, by the wall clock as it is by the store's time."""
        return None if value is None else from_us(value + self._wall_ahead())

    def _wall_ahead(self) -> int:
        return to_us(self._clock.now()) - self.now_us()

    def _monotonic(self) -> int:
        return round(self._clock.monotonic() * 1_000_000)


def _boot() -> str:
    """Another one after each start of the machine; "-" where it is not told."""
    try:
        return BOOT.read_text("ascii").strip() or "-"
    except OSError:
        return "-"
