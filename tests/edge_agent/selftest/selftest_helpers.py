"""A configuration for the command, the command as a person types it, and a statement made of figures."""

import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from edge_agent.integrity import Verdict
from edge_agent.selftest.checking import Findings
from edge_agent.selftest.controls import Control
from edge_agent.selftest.machine import Machine
from edge_agent.selftest.medium import Device, Spread
from edge_agent.selftest.rounds import Tally
from edge_agent.selftest.statement import Statement
from edge_agent.store.directory import Mount

ROOT = Path(__file__).parents[3]
DISK = Device("sda", "ACME 870", False, "write back", True)
MACHINE = Machine("pc17", "Debian 12", "0.1.0", Verdict("0.1.0", 9, ()), "CPython 3.11", "3.40.1", "abc", True, True)


def configured(folder: Path, *, store: str = "") -> Path:
    """A configuration file; its data directory is there and empty."""
    (folder / "data").mkdir()
    config = folder / "edge-agent.toml"
    config.write_text(
        '[agent]\nsite = "seoul-01"\ngateway = "gw-01"\ndata_dir = "data"\n\n'
        f'[mqtt]\nurls = ["mqtts://broker.example:8883"]\nusername = "gw"\npassword_file = "secret"\n\n{store}\n',
        encoding="utf-8",
    )
    (folder / "secret").write_text("hush", encoding="utf-8")
    return config


def words(config: Path, *more: str) -> list[str]:
    return [sys.executable, "-W", "error", "-m", "edge_agent", "selftest", "--config", str(config), *more]


def selftest(config: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words(config, *more), cwd=ROOT, capture_output=True, text=True, timeout=120)


def script(text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A program of its own: what forks has one thread, which a test runner need not have."""
    command = [sys.executable, "-W", "error", "-c", text, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


def statement(**changes: object) -> Statement:
    """Of a test that passed without remarks."""
    tally = Tally(kills=200, acknowledged=6000, results=2000, messages=450, ack_s=[0.001] * 6000)
    tally.settings = {"journal_mode": "wal", "synchronous": "2", "locking_mode": "exclusive"}
    good = Statement(
        site="seoul-01",
        gateway="gw-01",
        data_dir="/var/lib/edge-agent",
        began=datetime(2026, 3, 1, 10, tzinfo=UTC),
        ended=datetime(2026, 3, 1, 10, 1, tzinfo=UTC),
        rounds=200,
        seed=7,
        tally=tally,
        controls=[Control("acknowledged before it was stored", True, "1 lost")],
        machine=MACHINE,
        mount=Mount("ext4", "rw,relatime", "/dev/sda2"),
        devices=[DISK],
        flush=Spread(300, 0.002, 0.004, 0.009),
        free_mb=9000,
    )
    return replace(good, **changes)  # type: ignore[arg-type]  # fields by name


def tally(findings: Findings | None = None, **changes: object) -> Tally:
    """Of that statement, with changes."""
    return replace(statement().tally, findings=findings or Findings(), **changes)  # type: ignore[arg-type]
