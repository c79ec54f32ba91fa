"""The audit chain and every row it tells of, verified in small steps.

Promised: the first entry or row that was changed, added or taken away behind the agent's back is named by its table
and number, without patient data; a step takes a few milliseconds, so analysers are served in between; what the agent
itself writes, files, releases or purges meanwhile is no finding. With an ``Anchor`` (a head noted earlier, elsewhere)
a chain that was cut or written anew as a whole is named too. Not promised: finding that without an anchor.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from edge_agent.store import audit
from edge_agent.store.comparison import Comparison, Pieces
from edge_agent.store.connection import Database, Row
from edge_agent.store.errors import AnchorError
from edge_agent.store.told import BrokenError, Told

_ENTRIES_AT_ONCE = 25
_PIECES = 8  # in one step
_ANCHOR = re.compile(r"([0-9]{1,18}):([0-9a-fA-F]{64})")
_WORDS = {
    "audit": "Audit entry",
    "chunk": "A frame",
    "counter": "The counter",
    "fact": "The fact",
    "outbox": "Message",
    "payload": "Message",
    "seen": "The memory of repeats",
    "sequence": "The sequence",
    "sqlite_sequence": "The numbering of",
    "transmission": "Transmission",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """The first thing that is not as it was left."""

    table: str
    row: str  # number, id
    text: str

    @property
    def sentence(self) -> str:
        return f"{_WORDS[self.table]} {self.row} {self.text}."


@dataclass(frozen=True, slots=True)
class Anchor:
    """The chain's head, noted earlier in a place this machine cannot change."""

    entry: int
    hash: str  # hex

    @classmethod
    def parse(cls, text: str) -> "Anchor":
        """``ENTRY:HASH`` as `status`, `health` and backups tell it. Raises ValueError."""
        match = _ANCHOR.fullmatch(text)
        if match is None:
            raise ValueError("no anchor")
        return cls(int(match[1]), match[2].lower())


@dataclass(slots=True)
class Course:
    """How far it is."""

    step: str = "audit chain"
    done: int = 0
    of: int = 0


class Verification:
    """Of an open database, from the thread that owns it: ``step`` until ``done``."""

    def __init__(self, database: Database, anchor: Anchor | None = None) -> None:
        self._database = database
        self._anchor = anchor
        self._entry, self._hash = audit.base(database)
        self._first = self._entry
        self._told = Told(database, begins=self._entry)
        self._comparison = Comparison(database, self._told)
        self._pieces = self._run()
        self.course = Course()
        self.done = False
        self.finding: Finding | None = None

    @property
    def head(self) -> tuple[int, str]:
        """The last entry that was verified, and its hash (hex)."""
        return self._entry, self._hash.hex()

    @property
    def counts(self) -> dict[str, int]:
        """What was verified so far."""
        return {
            "entries": self._entry - self._first,
            "transmissions": self._comparison.transmissions,
            "messages": self._comparison.messages,
            "identities": self._comparison.identities,
        }

    def step(self) -> bool:
        """A few milliseconds of it; whether it is done. Raises AnchorError, StorageFailedError."""
        try:
            for _ in islice(self._pieces, _PIECES):
                pass
            self.done = next(self._pieces, True) is True
        except BrokenError as broken:
            self.finding, self.done = Finding(broken.table, broken.row, broken.text), True
        return self.done

    def run(self) -> Finding | None:
        """All at once."""
        while not self.step():
            pass
        return self.finding

    def _run(self) -> Iterator[None]:
        self._refuse_old_anchor()
        yield from self._chain()
        for step, compare in (
            ("transmissions", self._comparison.compare_transmissions),
            ("messages", self._comparison.compare_messages),
            ("what recognises repeats", self._comparison.compare_identities),
            ("counters", self._comparison.compare_numbers),
        ):
            yield from self._compared(step, compare())

    def _compared(self, step: str, pieces: Pieces) -> Iterator[None]:
        """Each piece with every entry heard that is there, for the agent goes on writing."""
        for done, of in pieces:
            self.course = Course(step, done, of)
            yield
            yield from self._chain()

    def _chain(self) -> Iterator[None]:
        """Up to its head. It ends without a pause after the last look, so that what is compared next is told."""
        self._go_on_from_base()
        while rows := audit.entries(self._database, self._entry, _ENTRIES_AT_ONCE):
            for row in rows:
                self._hear(row)
            if len(rows) < _ENTRIES_AT_ONCE:
                break
            self.course = Course("audit chain", self._entry, audit.head(self._database)[0])
            yield
            self._go_on_from_base()
        if audit.cut(self._database, self._entry):
            raise BrokenError("audit", str(self._entry + 1), "is not there")
        if self._anchor is not None and self._anchor.entry > self._entry:
            raise BrokenError("audit", str(self._entry + 1), "is not there, and the anchor is a later one")

    def _go_on_from_base(self) -> None:
        """Retention may take entries away before they were heard; what is still there of them it told again."""
        entry, hash_ = audit.base(self._database)
        if entry > self._entry:
            self._entry, self._hash, self._first = entry, hash_, self._first + entry - self._entry
            self._told.begin(entry)
            self._refuse_old_anchor()

    def _hear(self, row: Row) -> None:
        before, last = self._entry, self._hash
        if row[0] != before + 1:
            raise BrokenError("audit", str(before + 1), "is not there")
        if not audit.fits(row, before, last):
            raise BrokenError("audit", str(row[0]), "was changed")
        self._entry, self._hash = row[0], row[4]
        self._hold_against_anchor()
        try:
            self._told.hear(row[0], row[2], json.loads(row[3]))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise BrokenError("audit", str(row[0]), "tells what no agent writes") from None

    def _refuse_old_anchor(self) -> None:
        if self._anchor is not None and self._anchor.entry < self._entry:
            raise AnchorError(self._anchor.entry, self._entry)
        self._hold_against_anchor()

    def _hold_against_anchor(self) -> None:
        if self._anchor is None or self.head[0] != self._anchor.entry:
            return
        if self.head[1] != self._anchor.hash:
            raise BrokenError("audit", str(self._entry), "is not the one of the anchor: the chain was written anew")
        self._anchor = None
