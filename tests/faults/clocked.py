"""The agent under a wall clock of its own, set while it runs (libfaketime); its steady clock is the machine's."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from end_to_end.lab import Bench
from faults.ability import library
from faults.defective import DefectiveAgent


class ClockedAgent(DefectiveAgent):
    def __init__(self, folder: Path, broker_url: str, benches: Sequence[Bench], mqtt: str = "", tail: str = "") -> None:
        super().__init__(folder, broker_url, benches, mqtt, tail)
        self._file = folder / "wall-clock"
        self.ahead = timedelta()
        self.set(timedelta())
        self.more = {
            **super().more,
            "LD_PRELOAD": str(library("libfaketime.so.1")),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",  # it is for an old glibc; here each turn of a thread would cost 50 ms
            "NO_FAKE_STAT": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def set(self, ahead: timedelta) -> None:
        """How far its wall clock is ahead of the true one, from now on."""
        aside = self._file.with_suffix(".new")
        aside.write_text(f"{ahead.total_seconds():+.3f}\n", encoding="ascii")
        aside.rename(self._file)
        self.ahead = ahead

    def set_to(self, moment: datetime) -> None:
        self.set(moment - datetime.now(UTC))

    def now(self) -> datetime:
        """What its wall clock shows."""
        return datetime.now(UTC) + self.ahead

    def cpu_s(self) -> float:
        """Seconds of a core it has used so far (proc(5), utime and stime in ticks of 1/100 s)."""
        assert self.process is not None
        fields = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100
