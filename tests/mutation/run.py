"""`make mutation`: change the modules that must not lose a result in every small way, and see that a test fails.

Goes on where it was stopped; `--module PATH` for one module, `--sample N --seed S` for some drawn by chance, `--page`
writes docs/mutation.md. Exit 1 below the pass mark, or when an entry of equivalent.toml names no mutant.
"""

import hashlib
import multiprocessing
import os
import queue
import sys
import threading
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
from mutation import bench, page
from mutation.ledger import Ledger, equivalent, score
from mutation.mutants import Mutant, mutants
from mutation.scope import OURS, PASS_MARK, Project
from mutation.touched import Test, digest, tests

MOST_S = 30.0  # of tests for one mutant: one that lived so long counts as having survived
_FIRST = 25  # tests tried in the first fork; most mutants live no longer


class Slot:
    """One mutant at a time, in either kind of process."""

    def __init__(self, everything: dict[tuple[str, str], Mutant], files: Sequence[str]) -> None:
        def find(module: str, name: str) -> Mutant:
            return everything[module, name]

        self._lines = {}
        for kind, job, more in (("loaded", bench.loaded, (files,)), ("bare", bench.bare, ())):
            ours, theirs = multiprocessing.Pipe()
            multiprocessing.get_context("fork").Process(target=job, args=(theirs, find, *more), daemon=True).start()
            self._lines[kind] = ours

    def ready(self) -> None:
        for line in self._lines.values():
            line.recv()

    def end(self) -> None:
        for line in self._lines.values():
            line.send(None)

    def judge(self, mutant: Mutant, chosen: Sequence[Test], fair: dict[tuple[str, str], bool]) -> tuple[str, str]:
        """What became of it, and by which test.

        ``fair`` knows of each test that noticed something whether it passes in such a process without a change.
        """
        kind = "loaded" if mutant.where.in_function else "bare"
        rest = list(chosen)
        while rest:
            some = [test for test in rest[:_FIRST] if fair.get((kind, test.id), True)]
            what, by = self._ask(kind, mutant.module, mutant.name, some) if some else (bench.SURVIVED, "")
            if what == bench.UNSUITED:
                kind = "bare"
            elif what == bench.SURVIVED:
                rest = rest[_FIRST:]
            elif self._is_fair(kind, mutant.module, by, some, fair):
                return what, by
            elif not by:  # not even collected, without a change
                break
        return bench.SURVIVED, ""

    def _is_fair(
        self, kind: str, module: str, by: str, some: Sequence[Test], fair: dict[tuple[str, str], bool]
    ) -> bool:
        asked = [test for test in some if test.id == by] or some[:1]
        key = kind, by or f"importing {module}"
        if key not in fair:
            fair[key] = self._ask(kind, module, "", asked)[0] == bench.SURVIVED
        return fair[key]

    def _ask(self, kind: str, module: str, name: str, some: Sequence[Test]) -> tuple[str, str]:
        line = self._lines[kind]
        line.send((module, name, [(test.id, test.seconds) for test in some]))
        answer: tuple[str, str] = line.recv()
        return answer


class Choice:
    """The tests for a mutant: those that run its lines. First what found others of its function, then the file that has
    the module's name, then what runs few modules besides, then the quickest."""

    def __init__(self, known: Sequence[Test]) -> None:
        self._by_line: dict[str, dict[int, list[Test]]] = defaultdict(lambda: defaultdict(list))
        for test in known:
            for module, lines in test.lines.items():
                for line in lines:
                    self._by_line[module][line].append(test)
        self._found: dict[tuple[str, str], int] = defaultdict(int)

    def tests(self, mutant: Mutant) -> list[Test]:
        place = mutant.where.place
        touching = {test.id: test for test in self._touching(mutant)}.values()
        own = Path(mutant.module).stem
        ordered = sorted(
            touching,
            key=lambda t: (-self._found[place, t.id], own not in Path(t.file).stem, len(t.lines) // 4, t.seconds),
        )
        chosen, seconds = [], 0.0
        for test in ordered:
            seconds += test.seconds
            if chosen and seconds > MOST_S:
                break
            chosen.append(test)
        return chosen

    def _touching(self, mutant: Mutant) -> list[Test]:
        lines = self._by_line[mutant.module]
        found = [test for line, some in lines.items() if line in mutant.where.lines for test in some]
        if found or mutant.where.in_function:
            return found
        # Nothing of it runs but when it is imported (words, rows): whoever runs its package may notice.
        package = mutant.module.rpartition("/")[0]
        around = [m for m in self._by_line if m.rpartition("/")[0] == package]
        return [
            test
            for m in (around if not lines else [mutant.module])
            for some in self._by_line[m].values()
            for test in some
        ]

    def found(self, mutant: Mutant, test: str) -> None:
        self._found[mutant.where.place, test] += 1


@dataclass(frozen=True, slots=True)
class Work:
    """What the slots take from, and where they write."""

    todo: "queue.SimpleQueue[Mutant]"
    choice: Choice
    ledger: Ledger
    tell: page.Progress
    fair: dict[tuple[str, str], bool]

    def run(self, slot: Slot) -> None:
        slot.ready()
        while not self.todo.empty():
            mutant = self.todo.get()
            chosen = self.choice.tests(mutant)
            what, by = slot.judge(mutant, chosen, self.fair) if chosen else ("untouched", "")
            if by:
                self.choice.found(mutant, by)
            self.ledger.write(mutant, what, by)
            self.tell.one(mutant, what)
        slot.end()


@click.command()
@click.option("--module", "only", multiple=True, help="A path; several are possible.")
@click.option("--sample", type=click.IntRange(min=1), help="So many mutants, drawn by chance.")
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--workers", type=click.IntRange(min=1), default=2, show_default=True)
@click.option("--write-page", is_flag=True, help="Write docs/mutation.md.")
@click.option("--root", type=click.Path(path_type=Path), hidden=True, help="Another project: its modules and tests.")
def main(only: Sequence[str], sample: int | None, seed: int, workers: int, write_page: bool, root: Path | None) -> None:
    project = OURS if root is None else Project(root.resolve(), ("*_module.py",), (".",))
    os.chdir(project.root)
    project.kept.mkdir(exist_ok=True)
    found = [m for module in project.modules() for m in mutants(module, Path(module).read_text("utf-8"))]
    harmless = equivalent(project.equivalent)
    names = {(m.module, m.name) for m in found}
    unknown = [f"{module}: {name}" for module, some in harmless.items() for name in some if (module, name) not in names]
    counted = [m for m in found if m.name not in harmless.get(m.module, {}) and (not only or m.module in only)]
    if sample is not None:
        counted = drawn(counted, sample, seed)
    known = tests(project)
    ledger = Ledger(
        project.kept / "verdicts.json", {m: digest(Path(m)) for m in project.modules()}, _digest_of_tests(known)
    )
    _try_all([m for m in counted if ledger.verdict(m) is None], found, known, ledger, workers)
    result = score(ledger.verdict(m) for m in counted)
    for line in page.summary(counted, ledger, sampled=sample is not None):
        click.echo(line)
    for line in unknown:
        click.echo(f"equivalent.toml names what is no mutant: {line}")
    if write_page:
        page.write(project, found, harmless, ledger)
    sys.exit(1 if unknown or result.part < PASS_MARK else 0)


def _try_all(
    todo: Sequence[Mutant], everything: Sequence[Mutant], known: Sequence[Test], ledger: Ledger, workers: int
) -> None:
    if not todo:
        return
    waiting: queue.SimpleQueue[Mutant] = queue.SimpleQueue()
    for mutant in todo:
        waiting.put(mutant)
    by_name = {(m.module, m.name): m for m in everything}
    by_name |= {(m.module, ""): m.unchanged() for m in everything}
    files = sorted({test.file for test in known})
    slots = [Slot(by_name, files) for _ in range(workers)]
    shared = Work(waiting, Choice(known), ledger, page.Progress(len(todo), ledger), {})
    threads = [threading.Thread(target=shared.run, args=(slot,)) for slot in slots]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ledger.save()
    for kind, test in (one for one, is_fair in shared.fair.items() if not is_fair):
        click.echo(f"fails without a change in a {kind} process, asked no more: {test}", err=True)


def drawn(mutants: Sequence[Mutant], count: int, seed: int) -> list[Mutant]:
    """By chance, and mostly the same ones again after a module was changed."""
    return sorted(mutants, key=lambda m: hashlib.sha256(f"{seed} {m.module} {m.name}".encode()).digest())[:count]


def _digest_of_tests(known: Iterable[Test]) -> str:
    sha = hashlib.sha256()
    for name in sorted({test.file for test in known}):
        sha.update(Path(name).read_bytes())
    return sha.hexdigest()[:16]


if __name__ == "__main__":
    main()
