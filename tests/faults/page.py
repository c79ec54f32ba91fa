"""Writes the table of docs/reliability.md from the file of outcomes: ``python -m faults.page``."""

import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from faults.outcomes_file import Outcome, read

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
BEGIN, END = "<!-- table: written by `make faults` -->", "<!-- end of the table -->"
HEAD = ("scenario", "faults", "which is", "acknowledged", "lost", "doubled", "altered", "on another specimen")


def rows(outcomes: Iterable[Outcome]) -> Iterator[tuple[str, ...]]:
    for o in outcomes:
        counted = (o.acknowledged, o.lost, o.doubled, o.altered, o.misattributed)
        yield (o.scenario, f"{o.trials} {o.kind}", o.bound, *(f"{n:,}" for n in counted))


def lines(outcomes: Iterable[Outcome]) -> Iterator[str]:
    """For a terminal."""
    for o in outcomes:
        found = f"{o.lost} lost, {o.doubled} doubled, {o.altered} altered, {o.misattributed} misattributed"
        yield f"{o.scenario}: {o.trials} {o.kind} ({o.bound}), {o.acknowledged} acknowledged"
        yield f"    {found}; {o.seconds:.0f} s"
        if o.note:
            yield f"    {o.note}"
        yield f"    control: {o.control or 'NONE'}"


def table(outcomes: Iterable[Outcome]) -> str:
    """Markdown."""
    found = sorted((o for o in outcomes if o.trials), key=lambda o: o.scenario)
    text = [f"| {' | '.join((*HEAD, 'with the protection off'))} |", f"|{' --- |' * (len(HEAD) + 1)}"]
    for row, o in zip(rows(found), found, strict=True):
        text.append("| " + " | ".join(cell.replace("|", "\\|") for cell in (*row, o.control or "-")) + " |")
    notes = [f"- {o.scenario}: {o.note}" for o in found if o.note]
    return "\n".join([*text, "", *notes, "", *_not_run({o.harness for o in found})]).strip()


def _not_run(there: Collection[str]) -> Iterator[str]:
    """Harnesses the table says nothing about."""
    absent = [path.stem for path in sorted(Path(__file__).parent.glob("test_*.py")) if path.stem not in there]
    if absent:
        yield f"Not in the table, for want of a full run without a failure since they changed: {', '.join(absent)}."


def write() -> None:
    page = PAGE.read_text(encoding="utf-8")
    made = f"{BEGIN}\n\n{table(o for o in read() if o.full)}\n\n{END}"
    PAGE.write_text(re.sub(f"{re.escape(BEGIN)}.*{re.escape(END)}", lambda _: made, page, flags=re.S), encoding="utf-8")


if __name__ == "__main__":
    write()
