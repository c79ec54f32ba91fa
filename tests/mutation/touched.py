"""Which test runs which lines of the modules: found by running all of them once, and kept.

A test is run again when its file or a module it runs has changed.
"""

import hashlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from mutation.scope import Project

_PLUGIN = """
import os
import sys
from mutation.touched import Recorder
import pytest
recorder = Recorder(sys.argv[2].split(), os.getcwd())
code = pytest.main([*sys.argv[3:], "-q", "--no-header", "--tb=no", "--timeout=0"], plugins=[recorder])
recorder.write(sys.argv[1])
"""


@dataclass(slots=True)
class Test:
    """A test that passes on the modules as they are."""

    id: str
    seconds: float
    lines: dict[str, set[int]] = field(default_factory=dict)  # module -> lines it ran

    @property
    def file(self) -> str:
        return self.id.partition("::")[0]


class Recorder:
    """A plugin of pytest. Lines of the modules only: every other frame is left alone."""

    def __init__(self, modules: Sequence[str], root: str) -> None:
        self._modules = {str(Path(root) / module): module for module in modules}
        self._now: dict[str, set[int]] = {}
        self._tests: dict[str, Test] = {}

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._now, began = {}, time.monotonic()
        threading.settrace(self._enter)
        sys.settrace(self._enter)
        try:
            yield
        finally:
            sys.settrace(None)
            threading.settrace(None)  # type: ignore[arg-type]  # None is allowed
        test = Test(item.nodeid, round(time.monotonic() - began, 3), self._now)
        if self._tests.get(item.nodeid) is not _FAILED:
            self._tests[item.nodeid] = test

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not report.passed:
            self._tests[report.nodeid] = _FAILED

    def write(self, path: str) -> None:
        good = [test for test in self._tests.values() if test is not _FAILED]
        found = [[t.id, t.seconds, {m: sorted(n) for m, n in t.lines.items()}] for t in good]
        Path(path).write_text(json.dumps(found), "utf-8")

    def _enter(self, frame: FrameType, _event: str, _argument: Any) -> Callable[..., Any] | None:
        module = self._modules.get(frame.f_code.co_filename)
        if module is None:
            return None
        lines = self._now.setdefault(module, set())

        def line(frame: FrameType, _event: str, _argument: Any) -> Callable[..., Any]:
            lines.add(frame.f_lineno)
            return line

        return line


_FAILED = Test("", 0.0)


def tests(project: Project) -> list[Test]:
    """Every passing test."""
    kept, files, modules = project.kept / "touched.json", project.test_files(), project.modules()
    now = {name: digest(project.root / name) for name in (*modules, *files)}
    before = json.loads(kept.read_text("utf-8")) if kept.exists() else {"digests": {}, "tests": []}
    known = [_test(row) for row in before["tests"]]
    stale = {name for name, found in now.items() if before["digests"].get(name) != found}
    again = {f for f in files if f in stale} | {t.file for t in known if stale & t.lines.keys()}
    good = [t for t in known if t.file in files and t.file not in again]
    if again:
        good += _run(project, sorted(again), kept.with_suffix(".new"))
        rows = [[t.id, t.seconds, {m: sorted(n) for m, n in t.lines.items()}] for t in good]
        kept.write_text(json.dumps({"digests": now, "tests": rows}), "utf-8")
    return good


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _run(project: Project, files: Sequence[str], into: Path) -> list[Test]:
    command = [sys.executable, "-c", _PLUGIN, str(into), " ".join(project.modules()), *files]
    subprocess.run(command, cwd=project.root, check=True, stdout=subprocess.DEVNULL)
    try:
        return [_test(row) for row in json.loads(into.read_text("utf-8"))]
    finally:
        into.unlink()


def _test(row: Sequence[Any]) -> Test:
    return Test(row[0], row[1], {module: set(lines) for module, lines in row[2].items()})
