"""Every harness in full, several at a time: ``python -m faults.run [--jobs 3] [test_power_store ...]``.

Each file of tests is a process of its own, with its own log and outcomes under build/faults/; then all outcomes are
put into one file and the table of docs/reliability.md is written. What measures times runs by itself, at the end.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

from faults import page
from faults.outcomes_file import FILE, read
from faults.scale import seed

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
KEPT = ROOT / "build" / "faults"
LONGEST = (
    "test_power_store",
    "test_disk_full",
    "test_model",
    "test_broker_faults",
    "test_broker_line",
    "test_kill_calls",
)
ALONE = ("test_backlog", "test_selftest_beside")  # they hold figures against figures of the same run
PATIENCE_S = 7200


def names() -> list[str]:
    """All files of tests, the longest first, so that none is left over at the end."""
    found = sorted(path.stem for path in HERE.glob("test_*.py"))
    return [*LONGEST, *(name for name in found if name not in LONGEST)]


def ran(name: str) -> bool:
    """Run one file; a line about it when it ends."""
    began = time.monotonic()
    results, log = KEPT / f"{name}.json", KEPT / f"{name}.log"
    results.unlink(missing_ok=True)
    env = {**os.environ, "FAULTS": "full", "FAULTS_SEED": str(seed()), "FAULTS_RESULTS": str(results)}
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "--timeout", str(PATIENCE_S), f"tests/faults/{name}.py"]
    with log.open("wb") as out:
        code = subprocess.run(command, cwd=ROOT, env=env, stdout=out, stderr=subprocess.STDOUT, check=False).returncode
    last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
    print(
        f"{'ok    ' if code == 0 else 'FAILED'} {time.monotonic() - began:6.0f} s  {name}: {' '.join(last)}", flush=True
    )
    return code == 0


def together(results: Iterable[str]) -> None:
    """One file of outcomes; those of files that were not run stay. What a run did not come to is not shown as found."""
    results, there = list(results), names()
    kept = {o.scenario: o for o in read() if o.harness in there and o.harness not in results}
    for name in results:
        kept |= {o.scenario: o for o in read(KEPT / f"{name}.json") if o.trials}  # else a control of another's count
    FILE.write_text(json.dumps([asdict(o) for o in kept.values()], indent=1, ensure_ascii=False), encoding="utf-8")


def unproved(results: Iterable[str]) -> list[str]:
    """Scenarios that were not counted, or whose count nothing has shown to find anything."""
    found = [o for name in results for o in read(KEPT / f"{name}.json")]
    proved = {o.scenario for o in found if o.trials} & {o.scenario for o in found if o.control}
    return sorted({o.scenario for o in found} - proved)


def missing(results: Iterable[str]) -> list[str]:
    """What the machine cannot do, each once."""
    logs = [(KEPT / f"{name}.log").read_text(encoding="utf-8", errors="replace") for name in results]
    return sorted({line for log in logs for line in log.splitlines() if line.startswith("missing: ")})


def main(arguments: Sequence[str]) -> int:
    """0 when all passed."""
    parser = argparse.ArgumentParser(prog="faults.run", description=__doc__)
    parser.add_argument("files", nargs="*", help="such as test_power_store; all without")
    parser.add_argument("--jobs", type=int, default=(os.cpu_count() or 1) + 1, help="most wait much")
    options = parser.parse_args(arguments)
    chosen = options.files or names()
    KEPT.mkdir(parents=True, exist_ok=True)
    print(f"FAULTS_SEED={seed()}; logs in {KEPT.relative_to(ROOT)}/", flush=True)
    with ThreadPoolExecutor(options.jobs) as pool:
        passed = list(pool.map(ran, (name for name in chosen if name not in ALONE)))
    passed += [ran(name) for name in chosen if name in ALONE]
    together(chosen)
    page.write()
    without, absent = unproved(chosen), missing(chosen)
    for line in (*(f"no count, or no control of it: {name}" for name in without), *absent):
        print(line)
    return 0 if all(passed) and (absent or not without) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
