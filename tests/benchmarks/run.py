"""`make bench`: everything in docs/benchmarks.md measured anew. `--only NAME ...` measures and writes nothing."""

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.kit import Finding, Size
from benchmarks.page import PAGE, machine, written
from benchmarks.table import BENCHMARKS, ROWS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="of the large store (default: 1000000)")
    parser.add_argument(
        "--only", nargs="+", choices=list(BENCHMARKS), default=[], help="some, and leave the page alone"
    )
    parser.add_argument("--folder", type=Path, help="where stores are made: the disk that is measured")
    words = parser.parse_args()
    with TemporaryDirectory(dir=words.folder) as folder:
        findings = _measured(Size(Path(folder), rows=(1_000, words.rows)), words.only or list(BENCHMARKS))
    if not words.only:
        PAGE.write_text(written(findings, machine()), encoding="utf-8")
        print(f"Written: {PAGE.name}")


def _measured(size: Size, names: list[str]) -> dict[str, Finding]:
    targets = {row.name: row.target for row in ROWS}
    findings: dict[str, Finding] = {}
    for name in names:
        began = time.monotonic()
        for found in BENCHMARKS[name](size):
            findings[found.row] = found
            verdict = {True: "met", False: "NOT MET", None: "-"}[found.met]
            print(f"{found.row}: {found.measured}; reference: {found.reference}. {targets[found.row]}: {verdict}")
            for line in found.more:
                print(f"    {line}")
        print(f"    ({time.monotonic() - began:.0f} s)", flush=True)
    return findings


if __name__ == "__main__":
    main()
