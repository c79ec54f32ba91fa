"""Analysers that send without pause while something is broken, and the count at the end."""

import threading
from collections.abc import Sequence
from dataclasses import replace
from types import TracebackType
from typing import Self

from end_to_end.lab import AgentProcess, Bench, until

from simulators.analyser import Plan, SendReport, send
from simulators.analyser_ledger import Row
from simulators.central import Central
from simulators.oracle import Verdict, compare

ENDLESS = 1_000_000


class Traffic:
    """A sender per bench, each in a thread of its own, from ``with`` until ``stop``.

    Senders are real ones: they resend what was not acknowledged, and write down what was.
    """

    def __init__(
        self, benches: Sequence[Bench], seed: int, *, rate: float = 10, count: int = ENDLESS, **more: object
    ) -> None:
        self._stop = threading.Event()
        self._reports: list[SendReport] = []
        plans = [
            replace(Plan(bench.profile, count=count, rate=rate, seed=seed + number, analyser=bench.id), **more)
            for number, bench in enumerate(benches)
        ]
        self._threads = [
            threading.Thread(target=self._send, args=(plan, bench.url), name=f"analyser {bench.id}")
            for plan, bench in zip(plans, benches, strict=True)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _send(self, plan: Plan, url: str) -> None:
        self._reports.append(send(plan, url, stop=self._stop))

    def stop(self, patience: float = 60.0) -> None:
        """No new transmission; returns when every sender has ended."""
        self._stop.set()
        self.join(patience)

    def join(self, patience: float = 120.0) -> None:
        """Until every sender has sent its count."""
        for thread in self._threads:
            thread.join(patience)
            assert not thread.is_alive(), f"{thread.name} still sends"

    @property
    def rows(self) -> list[Row]:
        """Every observation sent, with whether it was acknowledged. Complete after ``stop`` or ``join``."""
        return [row for report in self._reports for row in report.rows]


def count(traffic: Traffic, agent: AgentProcess, central: Central, patience: float = 120.0) -> Verdict:
    """Wait until everything is filed, then set what analysers were told against what came."""
    until(agent.nothing_waits, patience, "everything is filed")
    return compare(traffic.rows, list(central.ledger.filings()))
