"""What the chain tells, as an index: which entry last told what of which row.

Promised: 4 bytes for each thing told of, so that the entries of a million messages are walked in some tens of
megabytes. Not promised: anything about the rows themselves; ``comparison.py`` holds them against this.
"""

import json
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from edge_agent.states import MessageState, TransmissionState
from edge_agent.store.connection import Database, Row
from edge_agent.store.coverage import QUEUED

FORGOTTEN = "seen_forgotten"  # the fact that says up to when what recognises repeats was removed, microseconds
GONE = "audit_gone"  # the fact that says up to which transmission removals were told by entries that went themselves

Facts = Mapping[str, str]

_ENDS = frozenset({"transmission-complete", "transmission-interrupted", "kept"})
_READS = frozenset({"settled", "released", "kept"})
_CHANGES = frozenset({"acknowledged", "at-broker", "refused", "blocked", "requeued", "sent-again", "set-aside"})
_BLOCK = 1024


@dataclass(frozen=True, slots=True)
class ToldMessage:
    id: str
    analyser: str
    sequence: int
    payload: str  # SHA-256, hex
    fixed: str = ""  # digest of what never changes; "" in entries that are older than this


class BrokenError(Exception):
    """What somebody changed, as words for ``verification.Finding``."""

    def __init__(self, table: str, row: str, text: str) -> None:
        super().__init__(f"{table} {row} {text}")
        self.table = table
        self.row = row
        self.text = text


class Numbers:
    """Number -> entry, sparse; 0 where nothing was told."""

    def __init__(self) -> None:
        self._blocks: dict[int, array[int]] = {}
        self.highest = 0

    def __getitem__(self, number: int) -> int:
        block = self._blocks.get(number // _BLOCK)
        return block[number % _BLOCK] if block else 0

    def __setitem__(self, number: int, entry: int) -> None:
        block = self._blocks.get(number // _BLOCK)
        if block is None:
            block = self._blocks[number // _BLOCK] = array("I", bytes(4 * _BLOCK))
        block[number % _BLOCK] = entry
        self.highest = max(self.highest, number)


class Told:
    """Filled entry by entry, in order."""

    def __init__(self, database: Database, *, begins: int) -> None:
        """``begins``: the last entry that retention removed, or 0."""
        self._database = database
        self._begins = begins
        self.ends = Numbers()  # transmissions: how they ended
        self.readings = Numbers()  # transmissions: what became of them
        self.purged = Numbers()  # transmissions: that they went
        self.messages = Numbers()  # outbox: what was queued
        self.states = Numbers()  # outbox: state
        self.sequences: dict[tuple[str, str], int] = {}  # identity and analyser -> last
        self.identity = ""
        self.last_id = 0  # of that identity
        self.shortened: Facts = {}
        self.forgotten = 0

    def begin(self, entry: int) -> None:
        """The entries up to this one were removed meanwhile, heard or not."""
        self._begins = entry
        self.sequences.clear()

    def hear(self, entry: int, kind: str, facts: Facts) -> None:
        """Raises BrokenError for what cannot be; KeyError, ValueError for facts no agent writes."""
        if kind in _ENDS:
            self.ends[int(facts["transmission"])] = entry
        if kind in _READS:
            for number in read(kind, facts):
                self.readings[number] = entry
            for message in messages(facts):
                self._queued(entry, kind, int(facts["transmission"]), message)
            for id_ in states(facts):
                self._state(entry, id_)
        elif kind in _CHANGES:
            self._state(entry, facts["message"])
        elif kind == "purged":
            for number in map(int, facts["transmissions"].split()):
                self.purged[number] = entry
        elif kind == "shortened":
            self.shortened, self.forgotten = facts, max(self.forgotten, int(facts["before"]))
        elif kind == "forgotten":
            self.forgotten = max(self.forgotten, int(facts["before"]))
        elif kind == "identity":
            self.identity, self.last_id = facts["identity"], 0

    def _queued(self, entry: int, kind: str, transmission: int, message: ToldMessage) -> None:
        number = self._number(message.id)
        if number is None and self._database.row("SELECT 1 FROM transmission WHERE id = ?", (transmission,)):
            raise BrokenError("outbox", message.id, f"is not there, and entry {entry} tells that it was queued")
        if number is not None:
            self.messages[number] = self.states[number] = entry
        if kind != "kept":
            self._sequence(entry, message)

    def _sequence(self, entry: int, message: ToldMessage) -> None:
        identity, _, last_id = message.id.partition("-")
        key = (identity, message.analyser)
        before = self.sequences.get(key, message.sequence - 1 if self._begins or self.shortened else 0)
        if message.sequence != before + 1:
            raise BrokenError(
                "audit", str(entry), f"gives sequence {message.sequence} of {message.analyser} after {before}"
            )
        self.sequences[key] = message.sequence
        self.last_id = max(self.last_id if identity == self.identity else 0, int(last_id))
        self.identity = identity

    def _state(self, entry: int, id_: str) -> None:
        number = self._number(id_)
        if number is not None:
            self.states[number] = entry

    def _number(self, id_: str) -> int | None:
        number: int | None = self._database.value("SELECT number FROM outbox WHERE id = ?", (id_,))
        return number


def facts_of(database: Database, entry: int) -> tuple[str, Facts]:
    """Kind and facts of an entry that was verified."""
    kind, facts = database.rows("SELECT kind, facts FROM audit WHERE entry = ?", (entry,))[0]
    return kind, json.loads(facts)


def messages(facts: Facts) -> Iterator[ToldMessage]:
    for item in facts.get("messages", "").split():
        id_, analyser, sequence, payload, *fixed = item.split(":")
        yield ToldMessage(id_, analyser, int(sequence), payload, *fixed)


def states(facts: Facts) -> dict[str, str]:
    """Message -> digest of its state, where an entry tells that of several."""
    return dict(item.split(":") for item in facts.get("states", "").split())


def read(kind: str, facts: Facts) -> dict[int, str]:
    """Transmission -> digest of its reading; "" in an entry that is older than these digests."""
    told = {int(number): digest for number, digest in (item.split(":") for item in facts.get("readings", "").split())}
    return {int(facts["transmission"]): ""} if kind == "settled" and not told else told


def state_of(kind: str, facts: Facts, id_: str) -> tuple[str, MessageState | None]:
    """Digest of a message's state; where the entry is older than these digests "", and whether it was filed."""
    if id_ in (told := states(facts)):
        return told[id_], None
    if kind not in _CHANGES:
        return (QUEUED, None) if next(m for m in messages(facts) if m.id == id_).fixed else ("", MessageState.QUEUED)
    word = facts.get("state") or (MessageState.FILED if kind == "sent-again" else MessageState.QUEUED)
    return facts.get("row", ""), MessageState(word)


def ended_as(kind: str) -> TransmissionState:
    return TransmissionState.COMPLETE if kind == "transmission-complete" else TransmissionState.INTERRUPTED


def last_purged(row: Row) -> int:
    """The highest transmission that an entry tells to be gone; 0 when it tells of none."""
    _, _, kind, facts, _ = row
    return max(map(int, json.loads(facts)["transmissions"].split())) if kind == "purged" else 0


def transmissions(database: Database, row: Row) -> set[int]:
    """Whatever an entry tells, as numbers of transmissions."""
    _, _, kind, text, _ = row
    facts = json.loads(text)
    found = {int(facts["transmission"])} if kind in _ENDS else set()
    if kind in _READS:
        found |= set(read(kind, facts))
    ids = [facts["message"]] if kind in _CHANGES else list(states(facts)) if kind in _READS else []
    rows = (database.row("SELECT transmission FROM outbox WHERE id = ?", (id_,)) for id_ in ids)
    return found | {found_row[0] for found_row in rows if found_row is not None}
