"""What was given out under each store identity and analyser, read in spans, and filed messages sent once more.

Promised: the cost of a call depends on the numbers it is asked about and not on how much is stored; a filed message the
management system misses goes out with the id and bytes it has, and the audit trail says so in the same transaction.
Not promised: that what retention took away can be sent; it is counted, so that somebody can be told.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from edge_agent.states import OPEN_MESSAGE_STATES, MessageState
from edge_agent.store import audit
from edge_agent.store.connection import Database, Row
from edge_agent.store.delivery import send_missing
from edge_agent.store.identity import Identity
from edge_agent.store.rows import Route
from edge_agent.store.times import from_us, maybe_from_us

MOST_HEADS = 200  # pairs of identity and analyser; every restore adds one per analyser
AGAIN_EVERY = timedelta(minutes=30)  # one message, however often it is asked for

_US = timedelta(microseconds=1)
_AHEAD = "ahead."

Span = tuple[int, int]  # the first and the last sequence number


@dataclass(frozen=True, slots=True)
class Head:
    """How far the numbers of one analyser go under one identity."""

    identity: str
    analyser: str
    last: int  # the highest given out
    oldest: int | None  # the lowest still kept; None: none is


@dataclass(frozen=True, slots=True)
class Line:
    """One message of a span."""

    sequence: int
    id: str
    route: Route
    digest: str
    filed: bool


@dataclass(frozen=True, slots=True)
class Missed:
    """What became of numbers the management system misses."""

    again: int = 0  # filed here: they go out once more
    waiting: int = 0  # on their way by themselves, or asked for a short while ago
    closed: int = 0  # a person set them aside, or another message took their place
    gone: int = 0  # not kept any more

    def __add__(self, other: "Missed") -> "Missed":
        return Missed(
            self.again + other.again,
            self.waiting + other.waiting,
            self.closed + other.closed,
            self.gone + other.gone,
        )


@dataclass(frozen=True, slots=True)
class Ahead:
    """The management system has filed more under an identity than this store ever gave out: it was restored."""

    identity: str
    analyser: str
    last: int  # the highest this store knew
    last_filed: int  # the highest the management system has
    lacking: int  # of the numbers between, how many it lacks, too
    since: datetime | None  # when the newest that is here was queued
    told: datetime


class Reconciliation:
    _database: Database
    _identity: Identity

    def heads(self) -> list[Head]:
        """Of every identity and analyser, those of the present identity first."""
        rows = self._database.rows(
            "SELECT s.identity, s.analyser, s.last, (SELECT o.sequence FROM outbox o WHERE o.identity = s.identity"
            " AND o.analyser = s.analyser ORDER BY o.sequence LIMIT 1) FROM sequence s"
            " ORDER BY s.identity <> ?, s.identity, s.analyser LIMIT ?",
            (self._identity.text, MOST_HEADS),
        )
        return [Head(*row) for row in rows]

    def head(self, identity: str, analyser: str) -> Head | None:
        """None: this store never was ``identity``. ``last`` is 0 for an analyser it gave no number to."""
        known = identity == self._identity.text or self._database.value(
            "SELECT EXISTS (SELECT 1 FROM sequence WHERE identity = ?)", (identity,)
        )
        if not known:
            return None
        last = self._database.value(
            "SELECT last FROM sequence WHERE identity = ? AND analyser = ?", (identity, analyser)
        )
        oldest = self._database.value(
            "SELECT sequence FROM outbox WHERE identity = ? AND analyser = ? ORDER BY sequence LIMIT 1",
            (identity, analyser),
        )
        return Head(identity, analyser, last or 0, oldest)

    def span(self, identity: str, analyser: str, span: Span) -> list[Line]:
        """The messages that are kept, in the order of their numbers."""
        rows = self._database.rows(
            "SELECT sequence, id, route, digest, state FROM outbox"
            " WHERE identity = ? AND analyser = ? AND sequence BETWEEN ? AND ? ORDER BY sequence",
            (identity, analyser, *span),
        )
        return [
            Line(sequence, id_, Route(route), digest, state == MessageState.FILED)
            for sequence, id_, route, digest, state in rows
        ]

    def send_missing(self, identity: str, analyser: str, spans: Sequence[Span]) -> Missed:
        """Numbers the management system misses. What is filed here goes out once more, at most every half hour."""
        now = self._database.steady.now_us()
        with self._database.writing():
            found = [row for span in spans for row in self._asked_for(identity, analyser, span)]
            again = [(row[0], row[1]) for row in found if _may_go(row, now)]
            if again:
                send_missing(self._database, [number for number, _ in again], now)
                facts = {"store": identity, "analyser": analyser, "numbers": _words(s for _, s in again)}
                audit.add(self._database, "reconcile", facts)
        asked = sum(last - first + 1 for first, last in spans)
        filed = sum(row[2] == MessageState.FILED for row in found)
        waiting = sum(row[2] in OPEN_MESSAGE_STATES for row in found) + filed - len(again)
        return Missed(len(again), waiting, len(found) - waiting - len(again), asked - len(found))

    def _asked_for(self, identity: str, analyser: str, span: Span) -> list[Row]:
        return self._database.rows(
            "SELECT number, sequence, state, replay_at, replayed FROM outbox"
            " WHERE identity = ? AND analyser = ? AND sequence BETWEEN ? AND ? ORDER BY sequence",
            (identity, analyser, *span),
        )

    def replays_wait(self) -> bool:
        """Whether a filed message that was asked for again has not been answered yet."""
        return bool(self._database.value("SELECT EXISTS (SELECT 1 FROM outbox WHERE replay_at IS NOT NULL)"))

    def note_ahead(self, identity: str, analyser: str, last: int, last_filed: int, lacking: int) -> Ahead | None:
        """Remembered until ``forget_ahead``. None: it was said before, and nothing is new."""
        before = next((a for a in self.ahead() if (a.identity, a.analyser) == (identity, analyser)), None)
        if before is not None and before.last_filed >= last_filed:
            return None
        last = last if before is None else before.last
        since = self._database.value(
            "SELECT queued FROM outbox WHERE identity = ? AND analyser = ? AND sequence <= ?"
            " ORDER BY sequence DESC LIMIT 1",
            (identity, analyser, last),
        )
        told = self._database.now_us()
        with self._database.writing():
            value = f"{last} {last_filed} {lacking} {since or 0} {told}"
            self._database.set_fact(f"{_AHEAD}{identity}.{analyser}", value)
            facts = {"store": identity, "analyser": analyser, "last": str(last), "last_filed": str(last_filed)}
            audit.add(self._database, "missing-after-restore", facts)
        return Ahead(identity, analyser, last, last_filed, lacking, maybe_from_us(since), from_us(told))

    def ahead(self) -> list[Ahead]:
        """All that is remembered."""
        rows = self._database.rows(
            "SELECT name, value FROM fact WHERE name >= ? AND name < ? ORDER BY name", (_AHEAD, _AHEAD[:-1] + "/")
        )
        return [_ahead(*row) for row in rows]

    def forget_ahead(self, told_before: datetime) -> None:
        with self._database.writing():
            for old in self.ahead():
                if old.told < told_before:
                    name = f"{_AHEAD}{old.identity}.{old.analyser}"
                    self._database.execute("DELETE FROM fact WHERE name = ?", (name,))


def _may_go(row: Row, now: int) -> bool:
    _, _, state, replay_at, replayed = row
    just_now = replayed is not None and now - AGAIN_EVERY // _US < replayed <= now
    return state == MessageState.FILED and replay_at is None and not just_now


def _ahead(name: str, value: str) -> Ahead:
    _, identity, analyser = name.split(".")
    last, last_filed, lacking, since, told = map(int, value.split())
    return Ahead(identity, analyser, last, last_filed, lacking, from_us(since) if since else None, from_us(told))


def spans_of(numbers: Iterable[int]) -> list[Span]:
    """Ascending numbers as spans without gaps."""
    found: list[Span] = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found


def _words(numbers: Iterable[int]) -> str:
    """ "101-150 153" """
    return " ".join(str(a) if a == b else f"{a}-{b}" for a, b in spans_of(numbers))
