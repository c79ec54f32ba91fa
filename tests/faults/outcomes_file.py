"""What the harnesses found, a line per scenario, kept in one JSON file that `docs/reliability.md` is made from.

A scenario is written by its latest run; others stay, and so does one that was run in full where this run is a sample.
FAULTS_RESULTS names the file.
"""

import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from faults.scale import FULL, seed

from simulators.oracle import FAULTS, Verdict

FILE = Path(os.environ.get("FAULTS_RESULTS") or Path(__file__).parents[2] / "build" / "faults.json")
RANDOM, ENUMERATED = "random", "enumerated"


@dataclass(frozen=True)
class Outcome:
    """One scenario. ``trials``: faults of its kind that were caused. ``points``: how many there are to enumerate."""

    scenario: str
    kind: str  # RANDOM or ENUMERATED
    trials: int
    points: int = 0
    acknowledged: int = 0
    lost: int = 0
    doubled: int = 0
    altered: int = 0
    misattributed: int = 0
    control: str = ""  # what was switched off, and what the same count found then
    note: str = ""
    full: bool = FULL
    seed: int = field(default_factory=seed)
    seconds: float = 0.0
    harness: str = ""  # the file of tests

    @property
    def clean(self) -> bool:
        return not (self.lost or self.doubled or self.altered or self.misattributed)

    @property
    def bound(self) -> str:
        """What no finding means: the rule of three for random trials, the share for enumerated points."""
        if self.kind == ENUMERATED:
            return f"{self.trials} of {self.points or self.trials} points"
        if not self.clean or self.trials <= 3:
            return "-"
        return f"below {300 / self.trials:.2g} % at 95 %"


class Outcomes:
    """The scenarios of one run."""

    def __init__(self) -> None:
        self._found: dict[str, Outcome] = {}
        self._controls: dict[str, str] = {}  # of a whole harness
        self._started, self._harness = time.monotonic(), ""

    def begin(self, harness: str = "") -> None:
        """Before each test, or each scenario in it; an outcome's seconds count from here."""
        self._started, self._harness = time.monotonic(), harness or self._harness

    def add(self, outcome: Outcome) -> Outcome:
        """Give what was counted; the control may come from another test, before or after."""
        known = self._found.get(outcome.scenario)
        outcome = replace(outcome, seconds=round(time.monotonic() - self._started, 1), harness=self._harness)
        if known is not None and not outcome.control:
            outcome = replace(outcome, control=known.control)
        self._found[outcome.scenario] = outcome
        return outcome

    def verdict(
        self, scenario: str, kind: str, trials: int, verdict: Verdict, *, points: int = 0, note: str = ""
    ) -> None:
        """Of a run through a whole laboratory, judged by the oracle; asserts that it is without fault."""
        counts = {name: len(verdict.of(name)) for name in ("lost", "doubled", "altered", "misattributed")}
        others = [f"{len(verdict.of(name))} {name}" for name in FAULTS if name not in counts and verdict.of(name)]
        note = "; ".join(filter(None, (", ".join(others), note)))
        self.add(Outcome(scenario, kind, trials, points, verdict.acknowledged, note=note, **counts))
        print(f"\n{scenario}: {trials} trials: {verdict.sentence()}")
        assert verdict.acknowledged > 0, "nothing was acknowledged, so nothing was tried"
        assert verdict.flawless, verdict.table()

    def control(self, scenario: str, switched_off: str, found: str) -> None:
        """The same count with a protection off. ``found``: what it said, such as "12 of 12 lost"."""
        text = f"{switched_off}: {found}"
        known = self._found.get(scenario)
        if known is None:
            known = Outcome(scenario, ENUMERATED, 0, harness=self._harness)
        control = f"{known.control}; {text}" if known.control and text not in known.control else text
        self._found[scenario] = replace(known, control=control)

    def control_of_all(self, switched_off: str, found: str) -> None:
        """Of a harness whose scenarios share a laboratory and a count: for those without one of their own."""
        self._controls[self._harness] = f"{switched_off}: {found}"

    def __iter__(self) -> Iterator[Outcome]:
        for outcome in self._found.values():
            yield replace(outcome, control=outcome.control or self._controls.get(outcome.harness, ""))

    def write(self) -> None:
        """Add to the file what this run found."""
        if not self._found:
            return
        kept = {o.scenario: o for o in read()}
        for outcome in self:
            old = kept.get(outcome.scenario)
            if old is not None and old.full and not outcome.full:
                continue  # the page shows what was run in full
            if outcome.trials == 0 and old is not None:
                outcome = replace(old, control=outcome.control)
            elif not outcome.control and old is not None:
                outcome = replace(outcome, control=old.control)
            kept[outcome.scenario] = outcome
        FILE.parent.mkdir(parents=True, exist_ok=True)
        FILE.write_text(json.dumps([asdict(o) for o in kept.values()], indent=1, ensure_ascii=False), encoding="utf-8")


def read(file: Path = FILE) -> list[Outcome]:
    return [Outcome(**line) for line in json.loads(file.read_text(encoding="utf-8"))] if file.exists() else []
