"""What is said of a run: while it goes on, at its end, and in docs/mutation.md."""

import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence

from mutation.ledger import NOTICED, Ledger, Verdict, score
from mutation.mutants import Mutant
from mutation.scope import PASS_MARK, Project

_SAVE_S = 20.0


class Progress:
    def __init__(self, total: int, ledger: Ledger) -> None:
        self._total = total
        self._ledger = ledger
        self._done = 0
        self._lived = 0
        self._saved = time.monotonic()
        self._lock = threading.Lock()

    def one(self, mutant: Mutant, what: str) -> None:
        with self._lock:
            self._done += 1
            self._lived += what not in NOTICED
            if time.monotonic() - self._saved > _SAVE_S or self._done == self._total:
                self._ledger.save()
                self._saved = time.monotonic()
                print(f"... {self._done} of {self._total} tried, {self._lived} unnoticed", file=sys.stderr, flush=True)


def summary(counted: Sequence[Mutant], ledger: Ledger, *, sampled: bool) -> Iterator[str]:
    """What survived, a line per module, and the score."""
    for mutant in counted:
        verdict = ledger.verdict(mutant)
        if verdict is not None and verdict.what not in NOTICED:
            yield f"{mutant.module}:{mutant.line}: {verdict.what}: {mutant.name}"
    for module in sorted({m.module for m in counted}):
        one = score(ledger.verdict(m) for m in counted if m.module == module)
        yield f"{one.part:6.1%} {one.noticed:5} of {one.tried:5}  {module}"
    total = score(ledger.verdict(m) for m in counted)
    yield f"{total.part:6.1%} {total.noticed:5} of {total.tried:5}  in all; the pass mark is {PASS_MARK:.0%}"
    if sampled:
        low, high = total.interval
        yield f"drawn by chance: with 95 % confidence the score of all is between {low:.1%} and {high:.1%}"


def write(project: Project, found: Sequence[Mutant], harmless: Mapping[str, Mapping[str, str]], ledger: Ledger) -> None:
    (project.root / "docs" / "mutation.md").write_text("\n".join(_page(found, harmless, ledger)) + "\n", "utf-8")


def _page(found: Sequence[Mutant], harmless: Mapping[str, Mapping[str, str]], ledger: Ledger) -> Iterator[str]:
    yield "# Would a test notice?"
    yield ""
    yield "Written by `make mutation` (`tests/mutation/`, whose README says how). Each module below is changed in every"
    yield "small way, one at a time; a change that makes a test fail is noticed. Changes nobody could notice are not"
    yield "counted and are listed with the reason in `tests/mutation/equivalent.toml`. Where not all were tried, those"
    yield "tried were drawn by chance."
    yield ""
    yield "| module | changes | tried | noticed | score | not counted |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: |"
    all_of_them: list[Verdict | None] = []
    for module in sorted({m.module for m in found}):
        mine = [m for m in found if m.module == module]
        counted = [m for m in mine if m.name not in harmless.get(module, {})]
        verdicts = [ledger.verdict(m) for m in counted]
        all_of_them += verdicts
        one = score(verdicts)
        part = f"{one.part:.0%}" if one.tried else "-"
        yield f"| `{module}` | {len(counted)} | {one.tried} | {one.noticed} | {part} | {len(mine) - len(counted)} |"
    total = score(all_of_them)
    yield f"| all | {len(all_of_them)} | {total.tried} | {total.noticed} | {total.part:.1%} | |"
    yield ""
    low, high = total.interval
    yield f"Pass mark: {PASS_MARK:.0%}. With 95 % confidence the score of all is between {low:.1%} and {high:.1%}."
