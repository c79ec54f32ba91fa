"""What a data directory still holds that nobody has confirmed, asked while no agent runs on it.

Promised: the lock of a running agent is respected; database and log are afterwards what they were before, also those an
agent left that was killed; "nothing" is said only of a database that was read, or where there never was one. Not
promised: that every damage is recognised; whoever deletes on this answer deletes what the database itself calls done.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edge_agent.clock import SystemClock
from edge_agent.store.connection import Database
from edge_agent.store.directory import DirectoryLock, database_files, hidden_name, refuse_half_salvaged
from edge_agent.store.errors import DirectoryError, StoreCorruptError
from edge_agent.store.wal import read_log

_MESSAGES = (
    "SELECT count(*) FROM outbox WHERE state IN ('queued', 'at-broker', 'rejected', 'blocked') OR replay_at IS NOT NULL"
)
_RESULTS = "SELECT ifnull(sum(value), 0) FROM counter WHERE kind IN ('held', 'failed')"
_UNREAD = "SELECT count(*) FROM transmission WHERE converted = 0"
_BROKEN = "SELECT count(*) FROM transmission WHERE state = 'interrupted'"


@dataclass(frozen=True, slots=True)
class Unfiled:
    """Counts, no content."""

    messages: int = 0  # not confirmed; what a person set aside is done
    results: int = 0  # held or failed
    unread: int = 0  # transmissions received and not converted
    interrupted: int = 0  # transmissions whose rest never came

    def __bool__(self) -> bool:
        return any((self.messages, self.results, self.unread, self.interrupted))

    def words(self) -> str:
        """For a sentence: "2 messages not filed, 1 result held"."""
        return ", ".join(self._parts()) or "nothing"

    def _parts(self) -> Iterator[str]:
        if self.messages:
            yield f"{self.messages} {_noun('message', self.messages)} not filed"
        if self.results:
            yield f"{self.results} {_noun('result', self.results)} held or failed"
        if self.unread:
            yield f"{self.unread} {_noun('transmission', self.unread)} not read yet"
        if self.interrupted:
            yield f"{self.interrupted} interrupted {_noun('transmission', self.interrupted)}"


def count_unfiled(data_dir: Path) -> Unfiled:
    """Raises OpenError (StoreLockedError while an agent runs), StorageFailedError."""
    try:
        refuse_half_salvaged(data_dir)
        if not database_files(data_dir)[0].exists():
            _refuse_remains(data_dir)
            return Unfiled()
        lock = DirectoryLock(data_dir)
    except OSError as error:
        raise DirectoryError(os.strerror(error.errno or 0)) from error
    try:
        return _count(data_dir)
    finally:
        lock.release()


def _refuse_remains(data_dir: Path) -> None:
    """Without its database the log still holds the newest results; a hidden database holds all of them."""
    database, log, _ = database_files(data_dir)
    for name in (log, hidden_name(database)):
        if name.exists() and name.stat().st_size:
            raise StoreCorruptError(f"{name.name} is there without {database.name}")


def _count(data_dir: Path) -> Unfiled:
    if read_log(database_files(data_dir)[1]).damaged:
        raise StoreCorruptError("its log (-wal) has bad frames before good ones")
    database = Database(data_dir, SystemClock())
    database.open()
    try:
        if database.value("PRAGMA user_version") == 0:
            return Unfiled()  # made by a start that did not get as far as its tables
        return Unfiled(*(database.value(sql) for sql in (_MESSAGES, _RESULTS, _UNREAD, _BROKEN)))
    finally:
        database.close_untouched()  # the next start compares the log with what it knows of it


def _noun(noun: str, count: int) -> str:
    return noun if count == 1 else f"{noun}s"
