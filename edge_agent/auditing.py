"""Verifying the store for a person who asks: by the running agent, or where none runs.

Promised: the running agent verifies in steps on the store's later lane, so no analyser waits for it; a stopped store is
left as it was found, its log included. Not promised: an end while storage does not work.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from edge_agent.clock import SystemClock
from edge_agent.control import Part, Stream
from edge_agent.errors import AgentError
from edge_agent.owner import as_owner
from edge_agent.store import schema
from edge_agent.store.connection import Database
from edge_agent.store.directory import DirectoryLock, database_files, hidden_name, put_back
from edge_agent.store.errors import DirectoryError, StoreCorruptError
from edge_agent.store.thread import StoreThread
from edge_agent.store.verification import Anchor, Course, Verification
from edge_agent.store.wal import read_log

Told = Callable[[str, int, int], None]  # step, done, of

_TELL_EVERY = 50  # steps


class Auditing:
    """The running agent's part."""

    def __init__(self, store: StoreThread) -> None:
        self._store = store

    def answers(self) -> Mapping[str, Stream]:
        return {"audit": self.audit}

    async def audit(self, request: Mapping[str, Any]) -> AsyncGenerator[Part, None]:
        """How far it is, and at last the verdict. Whoever goes away ends it."""
        named = request.get("anchor")
        anchor = parsed(str(named)) if named else None
        verification = await asyncio.wrap_future(self._store.later(lambda s: s.verification(anchor)))
        steps = 0
        while not await asyncio.wrap_future(self._store.later(lambda _: verification.step())):
            steps += 1
            if steps % _TELL_EVERY == 0:
                yield _course(verification.course)
        yield {"verdict": verdict(verification)}


def parsed(anchor: str) -> Anchor:
    """Raises AgentError."""
    try:
        return Anchor.parse(anchor.strip())
    except ValueError:
        raise AgentError(
            "The anchor is not an entry and its hash.",
            code="usage",
            action="Name both as `edge-agent status --json` or `health` tells them: 1234:9f86d081... (64 hex digits).",
        ) from None


def verdict(verification: Verification) -> dict[str, Any]:
    """For programs: what was found, what was looked at, and the head to be noted elsewhere."""
    finding, head = verification.finding, verification.head
    return {
        "intact": finding is None,
        "finding": {"table": finding.table, "row": finding.row, "text": finding.sentence} if finding else None,
        "verified": verification.counts,
        "head": {"entry": head[0], "hash": head[1]},
    }


def verify_stopped(data_dir: Path, anchor: Anchor | None, told: Told) -> dict[str, Any]:
    """The same where no agent runs. Raises OpenError (StoreLockedError while one does), AnchorError."""
    with _stopped(data_dir) as database:
        verification = Verification(database, anchor)
        while not verification.step():
            told(verification.course.step, verification.course.done, verification.course.of)
        return verdict(verification)


@contextlib.contextmanager
def _stopped(data_dir: Path) -> Iterator[Database]:
    with as_owner(data_dir):
        file = database_files(data_dir)[0]
        try:
            if not file.exists() and not hidden_name(file).exists():
                raise DirectoryError(f"there is no database in {data_dir}")
            lock = DirectoryLock(data_dir)
        except OSError as error:
            raise DirectoryError(os.strerror(error.errno or 0)) from error
        try:
            put_back(data_dir)
            if read_log(database_files(data_dir)[1]).damaged:
                raise StoreCorruptError("its log (-wal) has bad frames before good ones")
            database = Database(data_dir, SystemClock())
            database.open()
            try:
                schema.check(database)
                if schema.is_new(database):
                    raise DirectoryError(f"the database in {data_dir} was never used")
                if schema.is_old(database):
                    raise DirectoryError("an older version of the agent wrote the database; start this one on it first")
                yield database
            finally:
                database.close_untouched()
        finally:
            lock.release()


def _course(course: Course) -> Part:
    return {"step": course.step, "done": course.done, "of": course.of}
