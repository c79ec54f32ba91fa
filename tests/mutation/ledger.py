"""What became of each mutant, kept in a file between runs, and the score that follows from it.

A verdict holds while the module is as it was; that a mutant survived holds while the tests are, too.
"""

import json
import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from mutation.mutants import Mutant

NOTICED = ("killed", "timeout")


@dataclass(frozen=True, slots=True)
class Verdict:
    what: str  # killed, timeout, survived; untouched when no test runs its line
    by: str = ""  # the test that failed
    tests: str = ""  # digest of the tests it survived


class Ledger:
    def __init__(self, path: Path, digests: Mapping[str, str], tests: str) -> None:
        """``digests``: of the modules as they are now; ``tests``: of all tests."""
        self._path = path
        self._digests = digests
        self._tests = tests
        kept = json.loads(path.read_text("utf-8")) if path.exists() else {}
        self._verdicts: dict[str, dict[str, Verdict]] = {
            module: {name: Verdict(**verdict) for name, verdict in one["verdicts"].items()}
            for module, one in kept.items()
            if digests.get(module) == one["digest"]
        }

    def verdict(self, mutant: Mutant) -> Verdict | None:
        """None: not tried yet, or not since something changed."""
        found = self._verdicts.get(mutant.module, {}).get(mutant.name)
        return found if found is None or found.what in NOTICED or found.tests == self._tests else None

    def write(self, mutant: Mutant, what: str, by: str = "") -> None:
        tests = "" if what in NOTICED else self._tests
        self._verdicts.setdefault(mutant.module, {})[mutant.name] = Verdict(what, by, tests)

    def save(self) -> None:
        """All at once: a run that is stopped goes on where it was."""
        kept = {
            module: {"digest": self._digests[module], "verdicts": {n: asdict(v) for n, v in verdicts.items()}}
            for module, verdicts in sorted(self._verdicts.items())
        }
        new = self._path.with_suffix(".new")
        new.write_text(json.dumps(kept, indent=1), "utf-8")
        new.replace(self._path)


@dataclass(frozen=True, slots=True)
class Score:
    tried: int
    noticed: int

    @property
    def part(self) -> float:
        return self.noticed / self.tried if self.tried else 1.0

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's, 95 %: where the score of all mutants is, when these were drawn from them by chance."""
        if not self.tried:
            return 0.0, 1.0
        z, n, p = 1.96, self.tried, self.part
        middle = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
        return middle - half, middle + half


def score(verdicts: Iterable[Verdict | None]) -> Score:
    known = [verdict for verdict in verdicts if verdict is not None]
    return Score(len(known), sum(verdict.what in NOTICED for verdict in known))


def equivalent(path: Path) -> dict[str, dict[str, str]]:
    """Mutants that change nothing anybody could notice: module -> name -> why. They are not counted."""
    return tomllib.loads(path.read_text("utf-8")) if path.exists() else {}
