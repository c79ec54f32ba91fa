"""This machine's clock: whether it can be right, whether it was moved, whether somebody keeps it right.

Moved: the wall clock against the steady one, between two looks. Cannot be right: before any release of this agent, as a
machine without a battery starts in 1970. Kept right: known only where systemd-timesyncd runs, by the file it leaves
(systemd-timesyncd.service(8)); anything else would need rights the service does not have, so it is said as unknown.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from edge_agent.clock import Clock
from edge_agent.monitor.alarms import Alarms
from edge_agent.times import spoken

EARLIEST = datetime(2024, 1, 1, tzinfo=UTC)  # no release is older
JUMP_S = 2.0  # a clock that is slewed moves 0.5 ms a second at most (adjtimex(2))
JUMP_SHOWN_S = 24 * 3600.0
SYNC_PATIENCE_S = 600.0  # after the start, and where the network is away for a while
TIMESYNC = Path("/run/systemd/timesync")


def synchronised() -> bool | None:
    """Whether timesyncd has set the clock since it started; None where it does not run."""
    return (TIMESYNC / "synchronized").exists() if TIMESYNC.is_dir() else None


class HostClock:
    def __init__(
        self, alarms: Alarms, clock: Clock, ask_synchronised: Callable[[], bool | None] = synchronised
    ) -> None:
        self._alarms = alarms
        self._clock = clock
        self._ask = ask_synchronised
        self._offset = self._now_offset()
        self._jump_s = 0
        self._jumped_at: float | None = None
        self._unsynchronised_since: float | None = None
        self.synchronised: bool | None = None

    @property
    def trusted(self) -> bool:
        """False: times of this machine say nothing."""
        return self._clock.now() >= EARLIEST

    def jumped_s(self, within_s: float) -> int:
        """Whole seconds of the newest jump, if it was not longer ago; else 0."""
        recent = self._jumped_at is not None and self._clock.monotonic() - self._jumped_at <= within_s
        return self._jump_s if recent else 0

    def look(self) -> bool:
        """Raise and clear the alarms. Whether the clock was moved since the last look."""
        moved = self._moved()
        self._look_for_source()
        said = [*self._jump_in_words(), *self._source_in_words()]
        self._switch("clock", bool(said), what=" and ".join(said))
        self._switch("clock-wrong", not self.trusted, year=str(self._clock.now().year))
        return moved

    def _moved(self) -> bool:
        offset = self._now_offset()
        moved, self._offset = offset - self._offset, offset
        if abs(moved) < JUMP_S:
            return False
        self._jump_s, self._jumped_at = round(moved), self._clock.monotonic()
        return True

    def _look_for_source(self) -> None:
        self.synchronised = self._ask()
        if self.synchronised is not False:
            self._unsynchronised_since = None
        elif self._unsynchronised_since is None:
            self._unsynchronised_since = self._clock.monotonic()

    def _jump_in_words(self) -> list[str]:
        jump = self.jumped_s(JUMP_SHOWN_S)
        return [f"was set {'forward' if jump > 0 else 'back'} by {spoken(abs(jump))}"] if jump else []

    def _source_in_words(self) -> list[str]:
        since = self._unsynchronised_since
        long = since is not None and self._clock.monotonic() - since >= SYNC_PATIENCE_S
        return ["is not kept right by its time server"] if long else []

    def _now_offset(self) -> float:
        return (self._clock.now() - EARLIEST) / timedelta(seconds=1) - self._clock.monotonic()

    def _switch(self, code: str, up: bool, **params: str) -> None:
        if up:
            self._alarms.raise_(code, **params)
        else:
            self._alarms.clear(code)
