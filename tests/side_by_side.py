"""All tests, as three runs beside each other: faults and laboratories wait much, and the others compute meanwhile.

The output of the first two comes when all have ended. Arguments go to each. Exit 1 when one failed.
"""

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[1]
APART = ("tests/faults", "tests/end_to_end")


def pytest(*arguments: str, output: IO[bytes] | None = None) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "pytest", "-q", *sys.argv[1:], *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output and subprocess.STDOUT)


def log(folder: str) -> Path:
    return ROOT / "build" / f"{Path(folder).name}.log"


def main() -> int:
    (ROOT / "build").mkdir(exist_ok=True)
    with ExitStack() as stack:
        runs = [pytest(folder, output=stack.enter_context(log(folder).open("wb"))) for folder in APART]
        runs.append(pytest(*(f"--ignore={folder}" for folder in APART)))
        codes = [run.wait() for run in runs]
    for folder in APART:
        print(f"\n{folder}:\n{log(folder).read_text(encoding='utf-8', errors='replace')}", end="", flush=True)
    return int(any(codes))


if __name__ == "__main__":
    sys.exit(main())
