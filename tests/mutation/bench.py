"""Where a mutant meets the tests: a process that has everything loaded, forked for each mutant.

Two kinds. *Loaded*: pytest has collected every test, the modules are imported; in the fork the functions that differ
are given their changed code, and the tests chosen are run one by one. *Bare*: for a change that works when a module is
imported (a constant, a default, a table): pytest and the libraries are loaded, no module of ours is; the fork imports
the changed one in place of the module and lets pytest collect the tests anew.

A fork ends at the first test that fails. One that takes five times as long as usual, and ten seconds, is stopped:
that counts as noticed. What a stopped test left running is in the fork's process group and ends with it.
"""

import contextlib
import gc
import importlib
import importlib.abc
import importlib.machinery
import os
import select
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.connection import Connection
from types import CodeType, FunctionType
from typing import Any

import pytest
from mutation.mutants import Mutant
from mutation.scope import dotted

SURVIVED, KILLED, TIMEOUT, UNSUITED = "survived", "killed", "timeout", "unsuited"
_QUIET = ("-q", "--no-header", "--tb=no", "--timeout=0")
_PATIENCE_S = 10.0
_STARTING_S = 4.0  # pytest, the modules and the tests' own, loaded anew
Request = tuple[str, str, list[tuple[str, float]]]  # module, name of the mutant, tests and their usual seconds
Find = Callable[[str, str], Mutant]


class LoadedBench:
    """A plugin of pytest that answers requests instead of running what was collected."""

    def __init__(self, line: Connection, find: Find) -> None:
        self._line = line
        self._find = find
        self._failed = False
        self._functions: dict[tuple[str, str, int], list[FunctionType]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._failed = self._failed or report.failed

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        items = {item.nodeid: item for item in session.items}
        for function in gc.get_objects():
            if isinstance(function, FunctionType):
                self._functions.setdefault(_key(function.__code__), []).append(function)
        gc.freeze()
        self._line.send("ready")
        while request := self._line.recv():
            self._line.send(self._serve(request, items))
        return True

    def _serve(self, request: Request, items: Mapping[str, pytest.Item]) -> tuple[str, str]:
        module, name, tests = request
        changed = _codes(self._find(module, name).code(os.path.abspath(module)))
        todo = [(test, seconds) for test, seconds in tests if test in items]

        def child(tell: Callable[[int], None]) -> int:
            if not self._patch(changed):
                return 2
            for number, (test, _) in enumerate(todo):
                tell(number)
                item = items[test]
                item.config._tmp_path_factory._basetemp = None  # type: ignore[attr-defined]  # one of the fork's own
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
                if self._failed:
                    return 1
            return 0

        verdict, last = _in_a_fork(child, [seconds for _, seconds in todo])
        return verdict, todo[last][0] if last >= 0 and verdict in (KILLED, TIMEOUT) else ""

    def _patch(self, changed: Mapping[tuple[str, str, int], CodeType]) -> bool:
        """Put the changed code into living functions; false when one of them cannot take it."""
        for key, code in changed.items():
            for function in self._functions.get(key, ()):
                if function.__code__ != code:
                    try:
                        function.__code__ = code
                    except ValueError:  # it uses other variables of the function around it
                        return False
        return True


class BareBench:
    def __init__(self, line: Connection, find: Find) -> None:
        self._line = line
        self._find = find

    def run(self) -> None:
        self._line.send("ready")
        while request := self._line.recv():
            self._line.send(self._serve(request))

    def _serve(self, request: Request) -> tuple[str, str]:
        module, name, tests = request
        code = self._find(module, name).code(os.path.abspath(module))

        def child(tell: Callable[[int], None]) -> int:
            sys.meta_path.insert(0, _Finder(dotted(module), code))
            tell(0)
            begun = _Begun({test: number for number, (test, _) in enumerate(tests, start=1)}, tell)
            found = pytest.main([*_QUIET, "-x", *(test for test, _ in tests)], plugins=[begun])
            return 0 if found is pytest.ExitCode.OK else 1

        verdict, last = _in_a_fork(child, [_STARTING_S, *(seconds for _, seconds in tests)])
        return verdict, tests[last - 1][0] if last > 0 and verdict in (KILLED, TIMEOUT) else ""


class _Begun:
    """A plugin of pytest that tells which test begins."""

    def __init__(self, numbers: Mapping[str, int], tell: Callable[[int], None]) -> None:
        self._numbers = numbers
        self._tell = tell

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._tell(self._numbers[nodeid])


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives the changed code to whoever imports the module."""

    def __init__(self, name: str, code: CodeType) -> None:
        self._name = name
        self._code = code

    def find_spec(self, name: str, *_: Any) -> importlib.machinery.ModuleSpec | None:
        if name != self._name:
            return None
        spec = importlib.machinery.ModuleSpec(name, self, origin=self._code.co_filename)
        spec.has_location = True
        return spec

    def exec_module(self, module: Any) -> None:
        exec(self._code, module.__dict__)


def _in_a_fork(child: Callable[[Callable[[int], None]], int], usual: Sequence[float]) -> tuple[str, int]:
    """What became of it, and the number of the test it got to. ``child`` tells each test it begins."""
    reading, writing = os.pipe()
    folder = tempfile.mkdtemp(prefix="mutant-")
    process = os.fork()
    if not process:
        code = 1
        with contextlib.suppress(BaseException):
            os.setsid()
            os.environ["TMPDIR"] = tempfile.tempdir = folder
            code = child(lambda number: _write(writing, number.to_bytes(2)))
        os._exit(code)
    os.close(writing)
    ended = os.pidfd_open(process)
    try:
        number = -1
        while ready := select.select([reading, ended], [], [], 5 * usual[max(number, 0)] + _PATIENCE_S)[0]:
            if reading in ready and (told := os.read(reading, 2)):
                number = int.from_bytes(told)
            elif ended in ready:
                _, status = os.waitpid(process, 0)
                process = 0
                return {0: SURVIVED, 2: UNSUITED}.get(os.waitstatus_to_exitcode(status), KILLED), number
        return TIMEOUT, number
    finally:
        os.close(reading)
        os.close(ended)
        _end(process)
        shutil.rmtree(folder, ignore_errors=True)


def _write(pipe: int, number: bytes) -> None:
    os.write(pipe, number)


def _end(process: int) -> None:
    if process:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process, signal.SIGKILL)
        os.waitpid(process, 0)


def _key(code: CodeType) -> tuple[str, str, int]:
    return code.co_filename, code.co_qualname, code.co_firstlineno


def _codes(code: CodeType) -> dict[tuple[str, str, int], CodeType]:
    """The functions of a module by where they stand, those inside of others too."""
    return {_key(one): one for one in _inner(code)}


def _inner(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _inner(constant)


def silence() -> None:
    """The tests' own output is of no interest: only whether they fail."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)


def loaded(line: Connection, find: Find, files: Sequence[str]) -> None:
    """The life of a process that has collected the tests in ``files``."""
    silence()
    pytest.main([*_QUIET, *files], plugins=[LoadedBench(line, find)])


def bare(line: Connection, find: Find) -> None:
    silence()
    # No plugin of pytest (hypothesis): it warns of one that was there before it, and a warning is an error here.
    for library in ("cryptography.x509", "paho.mqtt.client", "pydantic", "serial", "sqlite_utils", "asyncio"):
        importlib.import_module(library)
    BareBench(line, find).run()
