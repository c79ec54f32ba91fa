"""docs/benchmarks.md: the table of one run."""

import platform
import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.kit import ROOT, Finding
from benchmarks.table import ROWS, Row

PAGE = ROOT / "docs" / "benchmarks.md"
_VERDICT = {True: "yes", False: "**no**", None: "-"}


def written(findings: Mapping[str, Finding], machine: str) -> str:
    head = [
        "# Speed and size",
        "",
        "Written by `make bench` (`tests/benchmarks/`), which runs everything below in one go. A figure is the median",
        "of several repeats with [least-most]; a row and its reference take turns, so compare ratios: absolute times",
        "differ by a factor of two between machines, and between quiet and busy hours of one machine.",
        "",
        machine,
        "",
        "| what | target | measured | reference in the same run | met |",
        "| --- | --- | --- | --- | --- |",
    ]
    body = [_line(row, findings[row.name]) for row in ROWS]
    more = [part for row in ROWS for part in _more(row, findings[row.name])]
    return "\n".join([*head, *body, "", *more, *_TAIL]) + "\n"


def machine() -> str:
    return (
        f"Run on {datetime.now(UTC):%Y-%m-%d}, {_processor()}, Linux {platform.release().partition('-')[0]}, "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, loopback. "
        "Other work ran on the same cores."
    )


def _processor() -> str:
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    names = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    return f"{text.count('processor	:')} cores ({names[0] if names else platform.machine()})"


def _line(row: Row, found: Finding) -> str:
    return f"| {row.what} | {row.target} | {found.measured} | {found.reference} | {_VERDICT[found.met]} |"


def _more(row: Row, found: Finding) -> list[str]:
    missed = found.met is False and row.why
    if not found.more and not missed:
        return []
    title = f"{row.what[0].upper()}{row.what[1:]}"
    lines = [f"## {title}", "", *(f"- {line}" for line in found.more)]
    if missed:
        lines += ["", f"Not met. {row.why}"] if found.more else [f"Not met. {row.why}"]
    return [*lines, ""]


_TAIL = [
    "## How it is measured",
    "",
    "- *Reference decoder, list-and-join, storing off, paho alone*: `tests/benchmarks/reference/`. Storing off is the",
    '  same build whose sessions are told "stored" at once, in the event loop; nothing else could be faster.',
    "- The load comes from a process of its own, as do the broker and the management system, on the same two cores.",
    "- *Management system*: a process that reads and writes MQTT in plain bytes, checks the digest, syncs a",
    "  ledger and answers, a batch at a time. It stands for another machine, so it is as cheap as it can be.",
    "- *Frames durable*: a COMMIT with `synchronous=FULL` before each ACK, shared by whoever waits.",
    "- *5 ms per sync*: fsync and fdatasync of a real disk, made slower by `reference/slow_sync.c`.",
    "- *1,000,000 rows*: all queued, each of another specimen; medians inside a transaction, without its COMMIT.",
    "- A wait is from the last byte written to the ACK read. A link whose ACK is late sends its next frame late, too.",
]
