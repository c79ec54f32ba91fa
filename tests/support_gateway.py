"""Everything of an agent but its ports and its broker: a real store and converter, the answers, the control socket."""

import asyncio
import os
import threading
from collections.abc import Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from support_conversion import Bench, bench, reader
from support_pipeline import GENERIC, records

from edge_agent.auditing import Auditing
from edge_agent.backup.serving import Backups
from edge_agent.clock import SystemClock
from edge_agent.configuration.file import load
from edge_agent.configuration.mqtt import mqtt_options
from edge_agent.control import ControlServer, socket_path
from edge_agent.converter import Reader
from edge_agent.decisions.delivery import Decisions
from edge_agent.link import LinkStatus
from edge_agent.monitor.alarms import Alarms
from edge_agent.monitor.payloads import Info
from edge_agent.monitor.presence import Presence
from edge_agent.monitor.program import Program
from edge_agent.pins import Pinned
from edge_agent.publisher.publisher import Publisher
from edge_agent.questions import Questions
from edge_agent.support.facts import Support

T = TypeVar("T")
ONE_GOOD = records(
    r"H|\^&|||BENCH-7|||||||P|LIS02-A2|20240612120000",
    "P|1||P-1017",
    "O|1|S24-0028||^^^NA|R",
    "R|1|^^^NA|140|mmol/L||N||F||||20240612102000",
    "L|1|N",
)
ONE_GOOD_ONE_HELD = records(  # the second specimen has no id
    r"H|\^&|||BENCH-7|||||||P|LIS02-A2|20240612120000",
    "P|1||P-1017",
    "O|1|S24-0028||^^^NA|R",
    "R|1|^^^NA|140|mmol/L||N||F||||20240612102000",
    "O|2|||^^^NA|R",
    "R|1|^^^NA|141|mmol/L||N||F||||20240612102000",
    "L|1|N",
)
STARTED = datetime(2024, 6, 12, 3, 0, tzinfo=UTC)
CONFIG = """\
[agent]
site = "seoul-01"
gateway = "gw-01"
data_dir = "data"

[mqtt]
urls = ["mqtt://127.0.0.1:1883"]

[[analyser]]
id = "an1"
profile = "lis02_generic"
mode = "production"
transport = "tcp-server://127.0.0.1:5600"
"""


class Port:
    """A link as the answers see it."""

    analyser_id = "an1"

    def __init__(self) -> None:
        self.state = LinkStatus("an1", True, STARTED, "", False, (), STARTED + timedelta(hours=1), None)

    def status(self) -> LinkStatus:
        return self.state

    def becomes(self, **changes: Any) -> None:
        self.state = replace(self.state, **changes)


class Gateway:
    def __init__(self, folder: Path, made: Bench) -> None:
        self.config = folder / "edge-agent.toml"
        self.config.write_text(CONFIG, encoding="utf-8")
        self.data_dir = folder / "data"
        self.bench = made
        clock = SystemClock()
        settings = load(self.config)
        self.alarms = Alarms(clock)
        self.presence = Presence("0.1.0", self.alarms, Info(version="0.1.0", site="seoul-01", gateway="gw-01"))
        self.presence.running()
        self.port = Port()
        self.pins = {"an1": Pinned(GENERIC, "")}
        publisher = Publisher(
            mqtt_options(self.config, settings), made.store, clock, Random(1), self.alarms, self.presence
        )
        self.questions = Questions(
            settings,
            "0.1.0",
            STARTED,
            made.store,
            publisher,
            self.alarms,
            [self.port],  # type: ignore[list-item]  # a stand-in
            made.readers,
            self.pins,
            self.presence,
            Program(self.alarms, after=self._nothing),
        )
        self.decided: list[str] = []
        self.decisions = Decisions(made.store, self.decided.append, lambda: made.converter.kick())
        self.backups = Backups(self.config, settings, made.store, clock)
        self.answers = {**self.questions.answers(), **self.decisions.answers(), **self.backups.answers()}
        self.answers |= Support(made.store, self.alarms, self.questions.status).answers()
        self.answers |= Auditing(made.store).answers()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="gateway", daemon=True)
        self.server = ControlServer(socket_path(self.data_dir), self.answers)

    async def _nothing(self) -> None: ...

    def run(self, job: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(job, self.loop).result(20)

    def answer(self, name: str, **arguments: object) -> Any:
        """Without the socket."""
        return self.run(self.answers[name]({"ask": name, "uid": os.getuid(), **arguments}))  # type: ignore[arg-type]  # coroutines all

    def start(self) -> None:
        self.thread.start()
        self.run(self.server.start())

    def stop(self) -> None:
        self.run(self.server.stop())
        self.run(asyncio.sleep(0))  # connections close
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()


@contextmanager
def gateway(folder: Path, by: Reader | None = None) -> Iterator[Gateway]:
    with bench(folder / "data", {"an1": by or reader()}) as made:
        running = Gateway(folder, made)
        running.start()
        try:
            yield running
        finally:
            running.stop()


@contextmanager
def having_received(folder: Path, text: bytes) -> Iterator[Gateway]:
    """An agent that read ``text``."""
    with gateway(folder) as running:
        running.bench.receive(text)
        running.bench.convert()
        yield running


def one_queued_one_held(folder: Path) -> AbstractContextManager[Gateway]:
    """An agent with one message queued and one result held."""
    return having_received(folder, ONE_GOOD_ONE_HELD)


def stopped_having_received(folder: Path, text: bytes) -> Path:
    """The configuration of an agent that does not run, with what became of ``text`` in its store."""
    config = folder / "edge-agent.toml"
    config.write_text(CONFIG, encoding="utf-8")
    with bench(folder / "data") as made:
        made.receive(text)
        made.convert()
    return config


def stopped_with_the_same(folder: Path) -> Path:
    """One message queued and one result held."""
    return stopped_having_received(folder, ONE_GOOD_ONE_HELD)
