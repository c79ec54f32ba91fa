"""Who this store is, kept beside the database, so that a copied or restored database is recognised.

Promised: a message id is never given out twice, and a database that is older than what this directory has seen (a copy
put back, a log that went missing) gets a new identity for what comes next; rows in it keep their ids and bytes.
Two files say what was seen: ``identity.json`` (synced; ids are promised in blocks before any is used) and
``agent.witness`` (a commit count written after each COMMIT, not synced: exact after a crash of the process, possibly
behind after a power failure). Not promised: recognising a copy that was made while the agent ran, within the current
block of ids, and put back after a power failure; even then no id is given out twice.
"""

import contextlib
import json
import os
import secrets
import string
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from edge_agent.store import audit
from edge_agent.store.connection import Database
from edge_agent.store.directory import RESTORED, SALVAGED, database_files, sync_directory
from edge_agent.store.errors import StoreCorruptError
from edge_agent.store.rows import Reserved
from edge_agent.store.times import from_us
from edge_agent.store.wal import Log

FILE = "identity.json"
WITNESS = "agent.witness"
BLOCK = 1000
_OLDER = "the database is older than this directory"
_NEW = "the database is new"
_LETTERS = string.digits + string.ascii_uppercase


def random_identity() -> str:
    return "".join(secrets.choice(_LETTERS) for _ in range(8))


@dataclass(frozen=True, slots=True)
class _Known:
    """``identity.json``: ids up to ``reserved`` are in the database, ids up to ``promised`` may have been used."""

    identity: str
    reserved: int
    promised: int
    ended: bool = False  # since the last start everything was noted, and the store was closed


@dataclass(frozen=True, slots=True)
class Former:
    """The identity this directory had before the database was found to be another or an older one."""

    identity: str
    reason: str
    since: datetime | None  # the last commit the database has; results after it may be missing here


class Identity:
    def __init__(self, database: Database, new_identity: Callable[[], str] = random_identity) -> None:
        self.text = ""
        self.former: Former | None = None
        self._database = database
        self._new_identity = new_identity
        self._file = database.data_dir / FILE
        self._witness = -1
        self._promised = 0
        self._durable = 0
        self._moved = False

    def examine(self, log: Log) -> None:
        """Before anything is written: an older database beside a log that cannot be read is damage, not a copy.

        Raises StoreCorruptError.
        """
        if log.rest and self._why_new(self._read(), self._database.fact("identity")) == _OLDER:
            raise StoreCorruptError("its log (-wal) cannot be read to the end")

    def settle(self) -> None:
        """At start, once the schema is there. Takes the identity up, or makes a new one and remembers the former."""
        known, found = self._read(), self._database.fact("identity")
        at = self._salvaged_since() or self._last_commit()[1]
        reason = self._why_new(known, found)
        if reason:
            self.former = self._make_former(known, found, reason, at)
            self.text, last = self._new_identity(), 0
        else:
            # Beyond every id that may have been used, even by a database newer than this one.
            assert known is not None
            self.text, last = found, max(self._last(), known.promised)
        self._promised = self._durable = last
        self._write(_Known(self.text, 0 if reason else known.reserved if known else 0, last))
        with self._database.writing():
            self._database.set_fact("identity", self.text)
            self._database.set_fact("last_id", str(last))
            if self.former is not None:
                facts = {"former": self.former.identity, "identity": self.text, "reason": reason}
                audit.add(self._database, "identity", facts)
        self._witness = os.open(self._database.data_dir / WITNESS, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._database.on_commit = self._committed
        self._committed(*self._last_commit())
        # Last of all: a start that was interrupted before sees a restored database again, and takes one more identity.
        for mark in (RESTORED, SALVAGED):
            (self._database.data_dir / mark).unlink(missing_ok=True)

    def _why_new(self, known: _Known | None, found: str) -> str:
        if not found:
            return _NEW
        if (self._database.data_dir / RESTORED).exists():
            return "a backup was restored"
        if (self._database.data_dir / SALVAGED).exists():
            return "it was salvaged from a damaged one"
        if known is None:
            return "identity.json is missing"
        if known.identity != found:
            return "identity.json belongs to another database"
        witness = read_witness(self._database.data_dir / WITNESS)
        behind = witness is not None and witness[0] == found and witness[1] > self._last_commit()[0]
        return _OLDER if behind or self._last() < known.reserved else ""

    def _salvaged_since(self) -> int:
        with contextlib.suppress(OSError, ValueError):
            return int((self._database.data_dir / SALVAGED).read_text("ascii"))
        return 0

    def _make_former(self, known: _Known | None, found: str, reason: str, at: int) -> Former | None:
        before = found or (known.identity if known else "")
        return Former(before, reason, from_us(at) if at else None) if before else None

    def reserve(self, count: int) -> list[Reserved]:
        """MSH-10s that are never given out again, in order, and the time that goes with them."""
        first = self._last() + 1
        last = first + count - 1
        if last > self._promised:
            self._promise(last + BLOCK)
        self._database.set_fact("last_id", str(last))
        self._moved = True
        at = self._database.clock.now()
        return [Reserved(f"{self.text}-{number:011d}", at) for number in range(first, last + 1)]

    def close(self) -> None:
        """A clean end: everything promised was used or never will be."""
        if self._witness < 0:
            return
        witness, self._witness = self._witness, -1
        try:
            os.fsync(witness)
        finally:
            os.close(witness)
        if not self._database.broken:
            last = self._last()
            self._write(_Known(self.text, last, last, ended=True))

    def _promise(self, last: int) -> None:
        try:
            self._write(_Known(self.text, self._durable, last))
        except OSError as error:
            raise self._database.fail(error) from error
        self._promised = last

    def _committed(self, number: int, at: int) -> None:
        """After each COMMIT. Not synced: it only has to outlive the process."""
        if self._moved:
            self._durable, self._moved = self._last(), False
        with contextlib.suppress(OSError):
            os.pwrite(self._witness, f"{self.text} {number:020d} {at:020d}\n".encode(), 0)

    def _last(self) -> int:
        return int(self._database.fact("last_id") or 0)

    def _last_commit(self) -> tuple[int, int]:
        number, at, *_ = (self._database.fact("commits") or "0 0").split()
        return int(number), int(at)

    def _read(self) -> _Known | None:
        return _known(self._file)

    def _write(self, known: _Known) -> None:
        """Whole or not at all: written aside, synced, renamed, and the rename synced."""
        aside = self._file.with_suffix(".new")
        fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, json.dumps(asdict(known)).encode())
            os.fsync(fd)
        finally:
            os.close(fd)
        aside.rename(self._file)
        sync_directory(self._file.parent)


def _known(file: Path) -> _Known | None:
    try:
        facts = json.loads(file.read_text("utf-8"))
        ended = facts.get("ended") is True
        return _Known(str(facts["identity"]), int(facts["reserved"]), int(facts["promised"]), ended)
    except (FileNotFoundError, ValueError, KeyError, OverflowError, RecursionError, TypeError, AttributeError):
        return None


def refuse_emptied(data_dir: Path) -> None:
    """A directory that has known a store and has none any more has lost it. Raises StoreCorruptError."""
    database = database_files(data_dir)[0]
    if (data_dir / FILE).exists() and not (database.exists() and database.stat().st_size):
        raise StoreCorruptError("it is gone, or empty")


def name_in(file: Path) -> str:
    """The identity ``file`` (``identity.json``) says; "" where it cannot be read."""
    known = _known(file)
    return known.identity if known else ""


def ended_well(file: Path, identity: str) -> bool:
    """Whether ``file`` says that the store ``identity`` was closed with everything noted since its last start."""
    known = _known(file)
    return known is not None and known.ended and known.identity == identity


def read_witness(path: Path) -> tuple[str, int] | None:
    """Whose commits the witness counted, and how many; None where it cannot be read."""
    try:
        identity, commits, _ = path.read_text("ascii").split()
        return identity, int(commits)
    except (FileNotFoundError, ValueError):
        return None
