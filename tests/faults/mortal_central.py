"""The management system as a process that ends itself without warning: ``mortal_central.py URL LEDGER POINT AFTER``.

POINT is where it dies once it has taken AFTER deliveries off the broker, "" for nowhere.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from end_to_end.lab import ROOT, until

from simulators.central import Central, CentralOptions
from simulators.central_desk import Reply, Ruling
from simulators.central_ledger import CentralLedger
from simulators.central_link import Item

POINTS = ("received", "filing", "filed", "answered")


class MortalCentral(Central):
    """``point``: one of POINTS: before its ledger, inside its transaction, after it, or before the PUBACK."""

    def __init__(self, options: CentralOptions, point: str, after: int) -> None:
        super().__init__(options)
        self._point, self._after = point, after

    def _die_at(self, point: str) -> None:
        if point == self._point and self.received >= self._after:
            os.kill(os.getpid(), signal.SIGKILL)

    def _file(self, items: list[Item]) -> None:
        self._die_at("received")
        super()._file(items)

    def _enter(self, item: Item) -> Ruling | None:
        ruling = super()._enter(item)
        self._die_at("filing")
        return ruling

    def _answer(self, ruling: Ruling, reply: Reply) -> None:
        self._die_at("filed")
        super()._answer(ruling, reply)
        self._die_at("answered")


class CentralProcess:
    """Starts it, sees it die, starts it again; its ledger is one file all along."""

    def __init__(self, url: str, file: Path) -> None:
        self._url, self._file = url, file
        CentralLedger(file).close()
        self.ledger = CentralLedger(file, read_only=True)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        self.ledger.close()

    def start(self, point: str = "", after: int = 0) -> None:
        command = [sys.executable, str(Path(__file__)), self._url, str(self._file), point, str(after)]
        self._process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT}/tests"})

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(20)

    def dies(self, patience: float = 60.0) -> None:
        process = self._process
        assert process is not None
        until(lambda: process.poll() is not None, patience, "the management system dies")
        assert process.returncode == -signal.SIGKILL

    def wait_until(self, condition: Callable[[dict[str, int]], bool], patience: float) -> bool:
        until(lambda: condition(self.ledger.totals()), patience, "its ledger has more")
        return True


def _main(url: str, ledger: str, point: str, after: str) -> None:
    options = CentralOptions(url, ledger=Path(ledger), validate="none")
    with MortalCentral(options, point, int(after)):
        signal.pause()


if __name__ == "__main__":
    _main(*sys.argv[1:])
