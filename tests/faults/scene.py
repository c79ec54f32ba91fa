"""A small laboratory whose analyser sends a few messages when it is told, for faults at counted moments.

One agent, one broker, one management system and one data directory for all of a test's trials; before each trial all
is filed, so that each begins alike.
"""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self
from unittest.mock import patch

from end_to_end.lab import PREFIX, Bench, running_broker, until
from end_to_end.onlooker import Onlooker, onlooker
from faults.scale import seed
from faults.standby import NONE, StandbyAgent, standing_by
from faults.switch import TcpSwitch

from simulators.analyser import Plan, SendReport, send
from simulators.analyser_ledger import Row
from simulators.central import Central, CentralOptions
from simulators.lis01_sender import Timers
from simulators.oracle import Verdict, compare

QUICK = "ack_timeout_s = 2\nretry_max_s = 1"
PATIENCE_S = 60.0


class Portions:
    """One analyser in a thread of its own that sends ``count`` messages each time it is told."""

    def __init__(self, plan: Plan, url: str, timers: Timers) -> None:
        self._plan, self._url, self._timers = plan, url, timers
        self._stop = threading.Event()
        self._may = threading.Semaphore(0)
        self._wanted = self._sent = 0
        self._thread = threading.Thread(target=self._send, name=f"analyser {plan.analyser}", daemon=True)
        self._report: SendReport | None = None

    def _send(self) -> None:
        self._may.acquire()
        if not self._stop.is_set():
            send(self._plan, self._url, progress=self._told, timers=self._timers, stop=self._stop)

    def _told(self, report: SendReport) -> None:
        self._report = report
        self._sent += 1
        self._may.acquire()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._may.release()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive(), f"{self._thread.name} still sends"

    def begin(self, count: int) -> None:
        self._wanted += count
        self._may.release(count)

    @property
    def done(self) -> bool:
        """All that was begun is acknowledged."""
        return self._sent == self._wanted

    def finish(self) -> None:
        until(lambda: self.done, PATIENCE_S, "the analyser's messages are acknowledged")

    @property
    def rows(self) -> list[Row]:
        return [] if self._report is None else list(self._report.rows)


class Scene:
    """``switch``: in the agent's connection to the broker."""

    def __init__(
        self, agent: StandbyAgent, analyser: Portions, central: Central, switch: TcpSwitch, seen: Onlooker
    ) -> None:
        self.agent, self.analyser, self.central, self.switch = agent, analyser, central, switch
        self._seen = seen

    def all_filed(self) -> bool:
        """Seen from outside, so that the agent's calls are its own."""
        complete = sum(row.complete for row in self.analyser.rows)
        return self.analyser.done and self.central.ledger.totals()["filed_results"] >= complete

    def alarmed(self, code: str) -> bool:
        """As a monitor at the broker sees it; the agent answers no question while its store does not work."""
        return code in self._seen.alarms()

    def drained(self) -> None:
        """Everything the store has is filed, in it and at the management system."""
        until(self.agent.nothing_waits, PATIENCE_S, "everything is filed")

    def round(self, messages: int) -> None:
        """Without a fault."""
        self.analyser.begin(messages)
        self.analyser.finish()
        self.drained()

    def verdict(self) -> Verdict:
        return compare(self.analyser.rows, list(self.central.ledger.filings()))


@contextmanager
def scene(
    folder: Path,
    bench: Bench,
    *,
    to: str = "",
    data: Path | None = None,
    defect: str = NONE,
    tail: str = "",
    timers: Timers | None = None,
    samples: tuple[str, ...] = (),
) -> Iterator[Scene]:
    """``to``: where the analyser sends, if not to the bench's port. ``data``: the agent's folder."""
    with ExitStack() as stack:
        stack.enter_context(patch("simulators.analyser.BACKOFF", (0.03,)))  # it comes back at once
        broker = stack.enter_context(running_broker(folder / "broker"))
        place = data or folder / "agent"
        place.mkdir(exist_ok=True)
        switch = stack.enter_context(TcpSwitch(broker.port))
        agent = StandbyAgent(place, f"mqtt://127.0.0.1:{switch.port}", [bench], QUICK, tail)
        agent.defect = defect
        stack.enter_context(standing_by(agent))
        central = stack.enter_context(Central(CentralOptions(broker.url, validate="none")))
        plan = Plan(bench.profile, count=10**9, seed=seed(), analyser=bench.id, samples=samples)
        analyser = stack.enter_context(Portions(plan, to or bench.url, timers or Timers(busy_s=0.2)))
        seen = stack.enter_context(onlooker("127.0.0.1", broker.port, PREFIX, "alarm/#"))
        made = Scene(agent, analyser, central, switch, seen)
        made.round(2)
        yield made
