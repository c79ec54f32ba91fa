"""Which program, on which machine, by which clock."""

import contextlib
import platform
import socket
import sqlite3
from dataclasses import dataclass
from typing import Self

from edge_agent.clock import Clock
from edge_agent.integrity import Verdict, examine
from edge_agent.monitor.host_clock import EARLIEST, synchronised
from edge_agent.version import __version__


@dataclass(frozen=True, slots=True)
class Machine:
    host: str
    system: str
    agent: str
    program: Verdict
    python: str
    sqlite: str
    sqlite_source: str  # which of SQLite's sources this library was built from
    clock_trusted: bool
    clock_kept: bool | None  # by a time server; None: unknown

    @classmethod
    def look(cls, clock: Clock) -> Self:
        with contextlib.closing(sqlite3.connect(":memory:")) as connection:
            source = str(connection.execute("SELECT sqlite_source_id()").fetchone()[0])
        return cls(
            host=socket.gethostname(),
            system=f"{_distribution()}, {platform.system()} {platform.release()} {platform.machine()}",
            agent=__version__,
            program=examine(),
            python=f"{platform.python_implementation()} {platform.python_version()}",
            sqlite=sqlite3.sqlite_version,
            sqlite_source=source,
            clock_trusted=clock.now() >= EARLIEST,
            clock_kept=synchronised(),
        )

    @property
    def clock_text(self) -> str:
        if not self.clock_trusted:
            return "wrong: it shows a year before this agent existed"
        return {True: "kept right by a time server", False: "not kept right by its time server", None: "unknown"}[
            self.clock_kept
        ]


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return "system unknown"
