"""Run on the walk's machine: what analysers were told is safe (ledgers named here), set against what was filed."""

import sys
from pathlib import Path

from simulators.analyser_ledger import read
from simulators.central_ledger import CentralLedger
from simulators.oracle import compare


def main() -> int:
    filed, *sent = (Path(name) for name in sys.argv[1:])
    rows = [row for ledger in sent for row in read(ledger)]
    own = {row.specimen for row in rows}
    book = CentralLedger(filed, read_only=True)
    verdict = compare(rows, [filing for filing in book.filings() if filing.observation.specimen in own])
    sys.stdout.write(f"{verdict.sentence()}\n")
    if not verdict.flawless:
        sys.stdout.write(f"{verdict.table()}\n")
    return 0 if rows and verdict.flawless else 1


if __name__ == "__main__":
    sys.exit(main())
