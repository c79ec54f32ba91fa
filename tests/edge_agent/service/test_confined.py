"""The real agent under the system calls its unit allows: it starts, answers, and stops as ordered."""

import ctypes.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support_conversion import until
from support_free_port import free_port

from edge_agent.control import ask, follow, socket_path

ROOT = Path(__file__).parents[3]
UNIT = ROOT / "config" / "systemd" / "edge-agent.service"
LAUNCHER = Path(__file__).with_name("confined.py")

pytestmark = pytest.mark.skipif(
    not (shutil.which("systemd-analyze") and ctypes.util.find_library("seccomp")),
    reason="needs systemd-analyze and libseccomp: run `make install-tools` as root",
)


def confined(*code: str, unit: Path = UNIT) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, str(LAUNCHER), str(unit), sys.executable, "-c", *code]
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("call", "why"),
    [
        ("import os; os.chown('.', -1, 0)", "@privileged"),
        ("import os; os.nice(1)", "@resources"),
        ("import ctypes\n if ctypes.CDLL(None).ptrace(0, 0, 0, 0): raise PermissionError", "not in @system-service"),
        ("import mmap; mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC)", "MemoryDenyWriteExecute"),
    ],
)
def test_what_the_unit_forbids_is_refused_with_an_error_and_not_with_death(call: str, why: str) -> None:
    ran = confined(f"try:\n {call}\nexcept PermissionError:\n print('refused')")
    assert (ran.returncode, ran.stdout) == (0, "refused\n"), why + ran.stderr


def test_without_the_unit_the_same_call_is_granted() -> None:
    ran = subprocess.run([sys.executable, "-c", "import os; os.nice(1)"], check=False)
    assert ran.returncode == 0


@contextmanager
def running(folder: Path, manager: Any) -> Iterator[subprocess.Popen[bytes]]:
    config = folder / "edge-agent.toml"
    config.write_text(
        f'[agent]\nsite = "s"\ngateway = "g"\ndata_dir = "data"\n[mqtt]\nurls = ["mqtt://127.0.0.1:{free_port()}"]\n'
        f'[[analyser]]\nid = "an1"\nprofile = "lis02_generic"\ntransport = "tcp-server://127.0.0.1:{free_port()}"\n',
        encoding="utf-8",
    )
    agent = [sys.executable, "-W", "error", "-m", "edge_agent", "run", "--config", str(config)]
    environ = {**os.environ, "NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "300000"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, str(LAUNCHER), str(UNIT), *agent], cwd=ROOT, env=environ, stderr=log, umask=0o077
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait(20)


def test_the_agent_starts_stores_answers_and_stops_under_the_units_system_calls(tmp_path: Path, manager: Any) -> None:
    with running(tmp_path, manager) as process:
        manager.until(lambda: manager.heard("WATCHDOG") > 1 or process.poll() is not None)
        assert process.poll() is None, (tmp_path / "log").read_text(encoding="utf-8")
        [line] = [
            x for x in Path(f"/proc/{process.pid}/status").read_text("utf-8").splitlines() if x.startswith("Seccomp:")
        ]
        assert line.split()[1] == "2"  # a filter is on
        status = ask(tmp_path / "data", "status")
        assert status["store"]["ok"]
        assert [a["up"] for a in status["analysers"]] == [True]
        assert socket_path(tmp_path / "data").stat().st_mode & 0o777 == 0o660  # in spite of the umask
        sent = [part for part in follow(tmp_path / "data", "backup") if isinstance(part, bytes)]
        assert sent[0].startswith(b"SQLite format 3\0")  # a backup, too, is made within those calls
        process.terminate()
        assert process.wait(20) == 0
    until(lambda: not socket_path(tmp_path / "data").exists())
    assert "Traceback" not in (tmp_path / "log").read_text(encoding="utf-8")
