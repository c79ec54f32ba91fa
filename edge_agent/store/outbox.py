"""Reading the outbox: what may be sent now, what waits where, and what happened to it.

Promised: the cost of every read here depends on what is asked for and not on how many rows there are.
Not promised: fairness between calls; the publisher's lanes do that.
"""

from collections.abc import Collection, Iterator
from datetime import datetime

from edge_agent.states import OPEN_MESSAGE_STATES, MessageState
from edge_agent.store.connection import Database, Row, Values
from edge_agent.store.errors import UnknownRowError
from edge_agent.store.rows import Addressed, Attempt, Counts, OutboxRow, Route
from edge_agent.store.soundness import as_stored
from edge_agent.store.steady import Steady
from edge_agent.store.times import from_us, maybe_from_us, to_us

_NEVER = -(2**62)


class Outbox:
    _database: Database

    def ready(
        self,
        limit: int,
        *,
        newest_since: datetime | None = None,
        skip: Collection[str] = (),
        skip_specimens: Collection[bytes] = (),
        unanswered_before: datetime | None = None,
    ) -> list[OutboxRow]:
        """What may be published now, in order, at most one row per specimen.

        Of each specimen its lowest queued row, unless another of its rows waits at the broker for an answer (one that
        came there before ``unanswered_before`` no longer counts). STAT first, then oldest; images after all values.
        ``newest_since``: only rows queued since then. Rejected rows whose ``retry_at`` has come and filed rows an
        analyser sent again follow, in their states. ``skip``: ids in flight; they still hold their successors back.
        """
        fresh = _NEVER if unanswered_before is None else self._database.steady.of(unanswered_before)
        first = _NEVER if newest_since is None else self._first_since(to_us(newest_since))
        if first is None:
            return []
        chosen: dict[bytes, int] = {}
        enough = limit + len(skip) + len(skip_specimens)
        for number, id_, specimen in self._candidates(first, fresh, enough, again=newest_since is None):
            if len(chosen) >= limit:
                break
            if id_ not in skip and specimen not in skip_specimens:
                chosen.setdefault(specimen, number)
        return [self._row(number) for number in chosen.values()]

    def _row(self, number: int) -> OutboxRow:
        [row] = self._select("SELECT * FROM message o WHERE o.number = ?", (number,))
        return row

    def _candidates(self, first: int, fresh: int, limit: int, *, again: bool) -> Iterator[Row]:
        """(number, id, specimen): payloads are read of those that are chosen only."""
        for graphics, stat in ((0, 1), (0, 0), (1, 1), (1, 0)):
            yield from self._heads(graphics, stat, first, fresh, limit)
        if again:
            yield from self._again(fresh, limit)

    def _first_since(self, queued: int) -> int | None:
        number: int | None = self._database.value(
            "SELECT number FROM outbox INDEXED BY outbox_open"
            " WHERE state IN ('queued', 'at-broker', 'rejected', 'blocked') AND queued >= ?"
            " ORDER BY queued LIMIT 1",
            (queued,),
        )
        return number

    def _heads(self, graphics: int, stat: int, first: int, fresh: int, limit: int) -> list[Row]:
        """Values wait for values only; images for everything of their specimen."""
        return self._database.rows(
            "SELECT number, id, specimen_key FROM outbox o"
            " WHERE o.head = 1 AND o.graphics = :graphics AND o.stat = :stat AND o.number >= :first"
            " AND NOT EXISTS (SELECT 1 FROM outbox b WHERE b.state = 'at-broker' AND b.specimen_key = o.specimen_key"
            " AND b.at_broker >= :fresh AND b.graphics <= :graphics)"
            " AND (:graphics = 0 OR NOT EXISTS (SELECT 1 FROM outbox v WHERE v.state = 'queued'"
            " AND v.specimen_key = o.specimen_key AND v.graphics = 0))"
            " ORDER BY o.number LIMIT :limit",
            {"graphics": graphics, "stat": stat, "first": first, "fresh": fresh, "limit": limit},
        )

    def _again(self, fresh: int, limit: int) -> list[Row]:
        values = {"now": self._database.steady.now_us(), "fresh": fresh, "limit": limit}
        rejected = self._database.rows(
            "SELECT number, id, specimen_key FROM outbox o WHERE o.retry_at <= :now"
            " AND NOT EXISTS (SELECT 1 FROM outbox b WHERE b.state = 'at-broker' AND b.specimen_key = o.specimen_key"
            " AND b.at_broker >= :fresh) ORDER BY o.retry_at LIMIT :limit",
            values,
        )
        filed = self._database.rows(
            "SELECT number, id, specimen_key FROM outbox o WHERE o.replay_at <= :now"
            " AND NOT EXISTS (SELECT 1 FROM outbox b WHERE b.state = 'at-broker' AND b.specimen_key = o.specimen_key"
            " AND b.at_broker >= :fresh) ORDER BY o.replay_at LIMIT :limit",
            values,
        )
        return rejected + filed

    def next_due(self) -> datetime | None:
        """When the next rejected or asked-for-again row may go out: how long the publisher may sleep."""
        retry = self._database.value("SELECT retry_at FROM outbox WHERE retry_at IS NOT NULL ORDER BY retry_at LIMIT 1")
        replay = self._database.value(
            "SELECT replay_at FROM outbox WHERE replay_at IS NOT NULL ORDER BY replay_at LIMIT 1"
        )
        return self._database.steady.shown(min((due for due in (retry, replay) if due is not None), default=None))

    def later_unanswered(self, id: str) -> bool:
        """Whether a later message of the same specimen waits at the broker: then this one is not resent."""
        return bool(
            self._database.value(
                "SELECT EXISTS (SELECT 1 FROM outbox b WHERE b.state = 'at-broker'"
                " AND b.specimen_key = o.specimen_key AND b.number > o.number) FROM outbox o WHERE o.id = ?",
                (id,),
            )
        )

    def messages(
        self,
        *,
        states: Collection[MessageState],
        analyser: str | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> list[OutboxRow]:
        """In the order they were queued, beginning behind the message ``after``. Raises UnknownRowError for it."""
        number = 0 if after is None else self._number(after)
        found: list[Row] = []
        for state in states:
            found += self._database.rows(
                "SELECT * FROM message o WHERE o.state = :state AND o.number > :number"
                " AND (:analyser IS NULL OR o.analyser = :analyser) ORDER BY o.number LIMIT :limit",
                {"state": state, "number": number, "analyser": analyser, "limit": limit},
            )
        in_order = sorted(found)  # a row begins with its number
        return [_outbox_row(row, self._database.steady) for row in in_order[:limit]]

    def _number(self, id: str) -> int:
        number: int | None = self._database.value("SELECT number FROM outbox WHERE id = ?", (id,))
        if number is None:
            raise UnknownRowError("message")
        return number

    def message(self, id: str) -> OutboxRow | None:
        rows = self._select(
            "SELECT * FROM message o WHERE o.id = :id",
            {"id": id},
        )
        return rows[0] if rows else None

    def addressed(self, id: str) -> Addressed | None:
        """The message an answer names, without its payload."""
        row = self._database.row("SELECT id, analyser, route, digest, attempts FROM outbox WHERE id = ?", (id,))
        return None if row is None else Addressed(row[0], row[1], Route(row[2]), row[3], row[4])

    def to_resend(self) -> list[OutboxRow]:
        """Everything at-broker: on another broker, or when the broker lost our session, all of it goes out again."""
        return self.messages(states=(MessageState.AT_BROKER,), limit=1_000_000)

    def attempts(self, id: str) -> list[Attempt]:
        """What happened to a message, oldest first. Raises UnknownRowError."""
        rows = self._database.rows(
            "SELECT at, what, code, detail FROM attempt WHERE number = ? ORDER BY attempt", (self._number(id),)
        )
        return [Attempt(from_us(at), what, code, detail) for at, what, code, detail in rows]

    def counts(self) -> Counts:
        """Counters, kept by the transactions that change what they count."""
        by: dict[str, dict[str, int]] = {"message": {}, "held": {}, "failed": {}, "interrupted": {}}
        for kind, name, value in self._database.rows("SELECT kind, name, value FROM counter"):
            by[kind][name] = value
        oldest = self._database.value(
            "SELECT queued FROM outbox INDEXED BY outbox_open"
            " WHERE state IN ('queued', 'at-broker', 'rejected', 'blocked')"
            " ORDER BY queued LIMIT 1"
        )
        return Counts(
            {state: by["message"].get(state, 0) for state in MessageState},
            _not_zero(by["held"]),
            _not_zero(by["failed"]),
            maybe_from_us(oldest),
            _not_zero(by["interrupted"]),
        )

    def _select(self, sql: str, values: Values) -> list[OutboxRow]:
        rows = [_outbox_row(row, self._database.steady) for row in self._database.rows(sql, values)]
        for row in rows:
            if row.state in OPEN_MESSAGE_STATES or row.replay_at is not None:
                as_stored(self._database, row.payload, row.digest)
        return rows


def _not_zero(counters: dict[str, int]) -> dict[str, int]:
    return {name: value for name, value in counters.items() if value}


def _outbox_row(row: Row, steady: Steady) -> OutboxRow:
    """A row of the view ``message``."""
    return OutboxRow(
        id=row[1],
        analyser=row[2],
        route=Route(row[3]),
        sequence=row[4],
        specimen_key=row[5],
        payload=row[6],
        digest=row[7],
        state=MessageState(row[8]),
        code=row[9],
        reason=row[10],
        stat=bool(row[11]),
        graphics=bool(row[12]),
        created=from_us(row[13]),
        queued=from_us(row[14]),
        attempts=row[15],
        replay=row[16],
        repeat_of=row[17],
        replaces=row[18],
        transmission=row[19],
        filed=maybe_from_us(row[20]),
        at_broker=steady.shown(row[21]),
        retry_at=steady.shown(row[22]),
        replay_at=steady.shown(row[23]),
        held=row[24],
    )
