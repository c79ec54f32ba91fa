"""Connections that fail or die at a chosen statement, put in the place of SQLite's."""

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_agent.store import connection

OnStatement = Callable[[str], None]


def intercept(monkeypatch: pytest.MonkeyPatch, before: OnStatement) -> None:
    """From now on ``before`` sees every statement first, on connections opened later."""

    class Cursor(sqlite3.Cursor):
        def execute(self, sql, *more):
            before(sql)
            return super().execute(sql, *more)

    class Connection(sqlite3.Connection):
        def execute(self, sql, *more):
            before(sql)
            return super().execute(sql, *more)

        def executemany(self, sql, *more):
            before(sql)
            return super().executemany(sql, *more)

        def cursor(self, factory=Cursor):
            return super().cursor(factory)

    def connect(path: Path) -> sqlite3.Connection:
        return sqlite3.connect(path, timeout=0.1, isolation_level=None, check_same_thread=False, factory=Connection)

    monkeypatch.setattr(connection, "connect", connect)


class Faults:
    """Raises like SQLite when a statement begins with what is armed."""

    def __init__(self) -> None:
        self.armed: dict[str, tuple[str, int]] = {}
        self.left = 0

    def arm(self, beginning: str, *, code: str = "SQLITE_IOERR_FSYNC", times: int = 1) -> None:
        self.armed = {beginning: (code, times)}
        self.left = times

    def __call__(self, sql: str) -> None:
        for beginning, (code, _) in self.armed.items():
            if sql.startswith(beginning) and self.left:
                self.left -= 1
                raise sqlite_error(code)


def sqlite_error(code: str) -> sqlite3.Error:
    kinds = {"SQLITE_CORRUPT": sqlite3.DatabaseError}
    error = kinds.get(code, sqlite3.OperationalError)("as SQLite would say it")
    error.sqlite_errorname = code
    return error


def die_at(statement: int) -> OnStatement:
    """End this process, as kill -9 would, before the given statement."""
    seen = 0

    def before(sql: str) -> None:
        nonlocal seen
        seen += 1
        if seen == statement:
            os._exit(9)

    return before


def in_child(work: Callable[[], None]) -> int:
    """Run ``work`` in a forked child; its exit status. What it leaves open is left as a killed process leaves it."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException:  # noqa: BLE001  # whatever it is, the child must not go on as a second pytest
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def statements(work: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> int:
    """How many ``work`` makes, counted in a child, so that nothing of it is left here."""
    reading, writing = os.pipe()

    def counted() -> None:
        seen: list[str] = []
        intercept(monkeypatch, seen.append)
        work()
        os.write(writing, str(len(seen)).encode())

    assert in_child(counted) == 0
    count = int(os.read(reading, 20))
    os.close(reading)
    os.close(writing)
    return count
