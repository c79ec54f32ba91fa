"""`make verify-main`, `make verify-run`: what must be shown, item by item, each by a command on a fresh clone.

The clone is made from the committed state of this checkout into an empty folder and set up as the README says. A line
per item; exit 0 only when every item holds.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
CAPTURES = os.environ.get("FIELD_CAPTURES") or str(ROOT.parent / "shared" / "captures")


@dataclass(frozen=True)
class Item:
    """One line of the list: ``figure`` is the part of the output that says how it went."""

    name: str
    command: Sequence[str]
    figure: str
    environment: Mapping[str, str]
    limit_s: float | None = None


def pytest(name: str, *paths: str, figure: str = r"\d+ passed.*", **environment: str) -> Item:
    command = (".venv/bin/python", "-m", "pytest", "-q", "-s", "-rs", "--timeout", "1500", *paths)
    return Item(name, command, figure, environment)


def make(name: str, target: str, figure: str = "", limit_s: float | None = None) -> Item:
    return Item(name, ("make", "--no-print-directory", target), figure, {}, limit_s)


MAIN = (
    make("install", ".venv/.run"),
    make("demo: three analysers, 300 results, all filed", "demo", r"\d+ of \d+ results filed.*", 90.0),
    make("make test", "test", r"\d+ passed.*", 720.0),
    pytest("captures end as results or held", "tests/end_to_end/test_captures.py"),
    pytest(
        "every split, prefix and byte flip",
        "tests/drivers/protocols",
        figure=r"[\w, ]+: \d+ of \d+ changed bytes undetected|\d+ passed.*",
    ),
    pytest(
        "the judge refuses the spoiled, accepts ours",
        "tests/spoiled",
        "tests/judge",
        "tests/end_to_end/test_samples_to_hl7.py",
    ),
    pytest(
        "kills at random moments", "tests/faults/test_kill_agent.py", figure=r"killed at random moments: \d+ trials: .*"
    ),
    pytest("outages, 2,000 messages", "tests/end_to_end/test_outages.py", figure=r"\d+ messages: .*", MESSAGES="2000"),
    pytest("failures are visible as what they are", "tests/end_to_end/test_visible_failures.py"),
    pytest("trace from bytes to receipt", "tests/end_to_end/test_trace.py"),
)


def run(item: Item, folder: Path, log: Path) -> tuple[bool, str, float]:
    started = time.monotonic()
    environment = {**os.environ, "FIELD_CAPTURES": CAPTURES, **item.environment}
    done = subprocess.run(item.command, cwd=folder, env=environment, capture_output=True, text=True)
    took = time.monotonic() - started
    output = done.stdout + done.stderr
    log.write_text(output, encoding="utf-8")
    figures = re.findall(item.figure, output) if item.figure else []
    held = done.returncode == 0 and not re.search(r"\d+ skipped", output)
    if item.limit_s is not None and took > item.limit_s:
        return False, f"took {took:.0f} s, {item.limit_s:.0f} s are allowed", took
    return held, "; ".join(dict.fromkeys(figures[-10:])), took


RUN = (
    make("install", ".venv/.dev"),
    make("bare Debian 12 to a filed result, by the package alone", "deb-walk", r"(?m)^ok .*", 900.0),
    pytest("exposure offline; the end-to-end path under the unit's confinement", "tests/edge_agent/service"),
    pytest("every bad TLS peer refused, 0 bytes of payload", "tests/edge_agent/publisher/test_tls_matrix.py"),
    pytest("every foreign topic refused", "tests/edge_agent/publisher/test_access_list.py"),
    pytest("no patient data outside the store", "tests/end_to_end/test_no_patient_data.py"),
    pytest("the contract, both ways", "tests/end_to_end/test_contract.py", "tests/end_to_end/test_example_consumer.py"),
    make("1,000 gateways on one broker", "fleet", r"(?m)^(?:\d+ results|\d+ different|lost after).*"),
    pytest(
        "reload, backup, restore, decommission, profiles, production",
        "tests/end_to_end/test_reload.py",
        "tests/end_to_end/test_backup_restore.py",
        "tests/end_to_end/test_decommission.py",
        "tests/end_to_end/test_changed_profile.py",
        "tests/end_to_end/test_into_production.py",
    ),
    make("bench", "bench", r"(?m)^\w[\w -]*: .*: (?:met|NOT MET)$"),
)
LISTS = {"main": MAIN, "run": RUN}


def main(name: str) -> int:
    folder = Path(tempfile.mkdtemp(prefix=f"verify-{name}-"))
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder / "clone")], check=True)
    failed = 0
    for number, item in enumerate(LISTS[name], start=1):
        held, figure, took = run(item, folder / "clone", folder / f"{number}.log")
        failed += not held
        mark = "ok    " if held else "FAILED"
        sys.stdout.write(f"{mark} {took:6.0f} s  {item.name}: {figure or '-'}\n")
        if not held:
            sys.stdout.write(f"               see {folder / f'{number}.log'}\n")
        sys.stdout.flush()
    shutil.rmtree(folder / "clone")
    sys.stdout.write(f"What each printed: {folder}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
