"""What one conversion decided, written in one transaction: groups, observations, messages with their sequence.

Promised: ``sequence`` is gapless per store identity and analyser, because it is given in the transaction that queues
the row; an observation of one transmission is never queued twice, however often the transmission is converted again.
Not promised: that the decision was right; the store keeps what it is told and checks states only.
"""

import hashlib
from collections.abc import Sequence

from edge_agent.states import (
    ItemEvent,
    ItemState,
    MessageEvent,
    MessageState,
    TransmissionEvent,
    after_item,
    after_message,
    after_transmission,
)
from edge_agent.store import audit
from edge_agent.store.connection import Database, Row
from edge_agent.store.coverage import message_digest, readings, state_digest
from edge_agent.store.delivery import change_state, grant_replay
from edge_agent.store.errors import AlreadySentError, UnknownRowError
from edge_agent.store.identity import Identity
from edge_agent.store.intake import transmission_state
from edge_agent.store.rows import (
    KnownObservation,
    NewGroup,
    NewMessage,
    NewObservation,
    ObservationKey,
    Reserved,
    Settlement,
)
from edge_agent.store.times import from_us, to_us

_EVENT = {
    ItemState.CONVERTED: ItemEvent.CONVERT,
    ItemState.DUPLICATE: ItemEvent.REPEAT,
    ItemState.HELD: ItemEvent.HOLD,
    ItemState.FAILED: ItemEvent.FAIL,
}
_FAILURES = frozenset({"driver", "conversion"})  # our side could not; anything else waits for a fix elsewhere


class Conversion:
    _database: Database
    _identity: Identity

    def reserve(self, count: int) -> list[Reserved]:
        """``count`` MSH-10s (20 characters) and the time that goes with them; never given out again."""
        with self._database.writing():
            return self._identity.reserve(count)

    def lookup(self, analyser: str, keys: Sequence[ObservationKey]) -> dict[ObservationKey, KnownObservation]:
        """Which of ``keys`` were converted before, and by which message. A message long purged counts as filed."""
        known = {}
        for key in keys:
            row = self._database.row(
                "SELECT s.message_id, s.seen, ifnull(o.state, 'filed'), s.transmission FROM seen s"
                " LEFT JOIN outbox o ON o.id = s.message_id"
                " WHERE s.analyser = ? AND s.digest = ? AND s.occurrence = ?",
                (analyser, key.digest, key.occurrence),
            )
            if row is not None:
                known[key] = KnownObservation(key, row[0], from_us(row[1]), MessageState(row[2]), row[3])
        return known

    def settle(self, settlement: Settlement) -> None:
        """Write a conversion's outcome and mark its transmission converted.

        Of an earlier conversion of the same transmission, what was not published is replaced.
        Raises UnknownRowError, IllegalTransitionError, AlreadySentError; then nothing was written.
        """
        with self._database.writing():
            _Settling(self._database, self._identity.text, settlement).run()


class _Settling:
    def __init__(self, database: Database, identity: str, settlement: Settlement) -> None:
        self._database = database
        self._identity = identity
        self._settlement = settlement
        self._transmission = settlement.transmission
        self._now, self._steady = database.now_us(), database.steady.now_us()
        row = database.row(
            "SELECT analyser, ifnull(ended_steady, opened_steady) FROM transmission"
            " WHERE id = ? AND state <> 'receiving'",
            (self._transmission,),
        )
        if row is None:
            raise UnknownRowError("ended transmission")
        self._analyser: str = row[0]
        self._seen: int = row[1]  # the analyser's time of sending, not ours of converting, says what is a repeat
        self._before = self._sent_before()
        self._sent: list[str] = []
        self._superseded: list[str] = []

    def run(self) -> None:
        old = self._database.rows("SELECT id FROM specimen_group WHERE transmission = ?", (self._transmission,))
        for code, detail in self._settlement.holds:
            state = ItemState.FAILED if code in _FAILURES else ItemState.HELD
            self._group(NewGroup("", "", state, code, detail))
        for group in self._settlement.groups:
            self._group(group)
        self._replace(old)
        for message in self._settlement.replays:
            grant_replay(self._database, message, self._steady)
        for transmission in self._settlement.completes:
            self._complete(transmission, self._transmission)
        if self._settlement.completed_by:
            self._complete(self._transmission, self._settlement.completed_by)
        self._database.execute(
            "UPDATE transmission SET converted = 1, settled = max(ifnull(settled, 0), ?) WHERE id = ?",
            (self._steady, self._transmission),
        )
        self._audit()

    def _group(self, group: NewGroup) -> None:
        after_item(ItemState.RECEIVED, _EVENT[group.state])
        number = self._database.execute(
            "INSERT INTO specimen_group"
            " (transmission, analyser, specimen, role, state, hold, detail, since, stat, held, failed)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                self._transmission,
                self._analyser,
                group.specimen,
                group.role,
                group.state,
                group.hold,
                group.detail,
                self._waiting_since(group),
                group.stat,
                waiting(group.state, [o.state for o in group.observations], ItemState.HELD),
                waiting(group.state, [o.state for o in group.observations], ItemState.FAILED),
            ),
        ).lastrowid
        assert number is not None
        for message in group.messages:
            self._queue(message, number)
        self._remember(group.observations)
        self._database.run_many(
            "INSERT INTO observation VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [self._observation(number, position, o) for position, o in enumerate(group.observations)],
        )

    def _waiting_since(self, group: NewGroup) -> int:
        """A hold that comes back after a release keeps its age."""
        since: int = self._database.value(
            "SELECT ifnull(min(since), ?) FROM specimen_group"
            " WHERE transmission = ? AND specimen = ? AND role = ? AND held + failed + released > 0",
            (self._now, self._transmission, group.specimen, group.role),
        )
        return since

    def _observation(self, group: int, position: int, observation: NewObservation) -> Row:
        after_item(ItemState.RECEIVED, _EVENT[observation.state])
        state = observation.state
        if state is ItemState.DUPLICATE and self._carried_here(observation.message_id):
            state = ItemState.CONVERTED  # the same bytes read again: it is what went out then
        key = observation.key
        return (
            group,
            position,
            key.digest,
            key.occurrence,
            observation.code,
            state,
            observation.hold,
            observation.detail,
            observation.message_id,
        )

    def _carried_here(self, message_id: str) -> bool:
        """Whether a message of this same transmission carried it: then it is converted, not a repeat."""
        return bool(
            self._database.value(
                "SELECT EXISTS (SELECT 1 FROM outbox WHERE id = ? AND transmission = ?)",
                (message_id, self._transmission),
            )
        )

    def _sent_before(self) -> set[ObservationKey]:
        rows = self._database.rows(
            "SELECT o.digest, o.occurrence FROM specimen_group g JOIN observation o ON o.group_id = g.id"
            " WHERE g.transmission = ? AND o.state = 'converted'",
            (self._transmission,),
        )
        return {ObservationKey(*row) for row in rows}

    def _remember(self, observations: Sequence[NewObservation]) -> None:
        rows = [
            (self._analyser, o.key.digest, o.key.occurrence, o.message_id, self._transmission, self._seen)
            for o in observations
            if o.state is ItemState.CONVERTED
        ]
        written = self._database.run_many(
            "INSERT INTO seen VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET message_id = excluded.message_id,"
            " transmission = excluded.transmission, seen = excluded.seen WHERE transmission <> excluded.transmission",
            rows,
        )
        if written != len(rows) or any(ObservationKey(row[1], row[2]) in self._before for row in rows):
            # One observation under two message ids would be filed twice. Nothing of this settlement is written.
            raise AlreadySentError(self._transmission)

    def _queue(self, message: NewMessage, group: int) -> None:
        sequence = self._database.value(
            "INSERT INTO sequence VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET last = last + 1 RETURNING last",
            (self._identity, message.analyser),
        )
        digest = hashlib.sha256(message.payload).hexdigest()
        number = self._database.execute(
            "INSERT INTO outbox (id, identity, analyser, route, sequence, specimen_key, digest, state, stat, graphics,"
            " head, created, queued, repeat_of, replaces, held, transmission, group_id)"
            " VALUES (:id, :identity, :analyser, :route, :sequence, :specimen_key, :digest, 'queued', :stat, :graphics,"
            " NOT EXISTS (SELECT 1 FROM outbox WHERE specimen_key = :specimen_key AND graphics = :graphics"
            " AND state = 'queued'), :created, :queued, :repeat_of, :replaces, :held, :transmission, :group)",
            {
                "id": message.id,
                "identity": self._identity,
                "analyser": message.analyser,
                "route": message.route,
                "sequence": sequence,
                "specimen_key": message.specimen_key,
                "digest": digest,
                "stat": int(message.stat),
                "graphics": int(message.graphics),
                "created": to_us(message.created),
                "queued": self._now,
                "repeat_of": message.repeat_of,
                "replaces": message.replaces,
                "held": message.held,
                "transmission": self._transmission,
                "group": group,
            },
        ).lastrowid
        self._database.execute("INSERT INTO payload VALUES (?, ?)", (number, message.payload))
        fixed = message_digest(self._database, message.id)
        self._sent.append(f"{message.id}:{message.analyser}:{sequence}:{digest}:{fixed}")
        if message.replaces:
            self._supersede(message.replaces, message.id)

    def _supersede(self, old: str, new: str) -> None:
        """A filed message stays filed: the new one then carries its observations as a correction."""
        row = self._database.row("SELECT state FROM outbox WHERE id = ?", (old,))
        if row is not None and row[0] != MessageState.FILED:
            after = after_message(MessageState(row[0]), MessageEvent.SUPERSEDE)
            change_state(self._database, old, after, code="superseded", reason=new)
            self._superseded.append(f"{old}:{state_digest(self._database, old)}")

    def _replace(self, old: list[Row]) -> None:
        """What an earlier conversion of the same bytes left is decided anew, except what still explains a message."""
        for (group,) in old:
            self._database.execute(
                "UPDATE outbox SET group_id = ifnull((SELECT n.id FROM specimen_group n JOIN specimen_group o"
                " ON o.id = :old AND n.specimen = o.specimen AND n.role = o.role"
                " WHERE n.transmission = :transmission AND n.id > :newest ORDER BY n.id LIMIT 1), group_id)"
                " WHERE group_id = :old",
                {"old": group, "transmission": self._transmission, "newest": old[-1][0]},
            )
            if self._database.row("SELECT 1 FROM outbox WHERE group_id = ? LIMIT 1", (group,)):
                self._settle_kept(group)
            else:
                self._database.execute("DELETE FROM observation WHERE group_id = ?", (group,))
                self._database.execute("DELETE FROM specimen_group WHERE id = ?", (group,))

    def _settle_kept(self, group: int) -> None:
        self._database.execute(
            "DELETE FROM observation WHERE group_id = ? AND state NOT IN ('converted', 'duplicate')", (group,)
        )
        self._database.execute(
            "UPDATE specimen_group SET state = 'converted', held = 0, failed = 0, released = 0 WHERE id = ?", (group,)
        )

    def _complete(self, transmission: int, by: int) -> None:
        before = transmission_state(self._database, transmission)
        after = after_transmission(before, TransmissionEvent.RESENT)
        self._database.execute(
            "UPDATE transmission SET state = ?, completed_by = ?, settled = ifnull(settled, ?) WHERE id = ?",
            (after, by, self._steady, transmission),
        )

    def _audit(self) -> None:
        observations = [o for g in self._settlement.groups for o in g.observations]
        read = (self._transmission, *self._settlement.completes)
        states = [o.state for o in observations]
        facts = {
            "transmission": str(self._transmission),
            "analyser": self._analyser,
            "messages": " ".join(self._sent),
            "states": " ".join(self._superseded),
            "readings": readings(self._database, dict.fromkeys(read)),
            "replays": " ".join(self._settlement.replays),
            "completes": " ".join(str(t) for t in self._settlement.completes),
            "completed_by": str(self._settlement.completed_by or ""),
            "holds": " ".join(sorted({h for h, _ in self._settlement.holds} | {o.hold for o in observations} - {""})),
        }
        counts = {state.value: str(states.count(state)) for state in _EVENT}
        audit.add(self._database, "settled", {k: v for k, v in (facts | counts).items() if v not in ("", "0")})


def waiting(group: ItemState, observations: Sequence[ItemState], state: ItemState) -> int:
    """How many things of a specimen wait in ``state``: its observations, and at least one if it waits as a whole."""
    count = sum(o is state for o in observations)
    return max(count, 1) if group is state else count
