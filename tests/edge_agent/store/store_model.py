"""The store's promises in the plainest form: lists in memory, searched from end to end. Nothing here is shared with
the real one but the rows' types and the table of states."""

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from store_helpers import StillClock

from edge_agent.states import (
    OPEN_MESSAGE_STATES,
    ItemState,
    MessageEvent,
    MessageState,
    TransmissionEvent,
    TransmissionState,
    after_message,
    after_transmission,
)
from edge_agent.store.errors import AlreadySentError, NoteRequiredError, UnknownRowError
from edge_agent.store.rows import (
    Attempt,
    Chunk,
    Counts,
    Group,
    KnownObservation,
    NewGroup,
    NewObservation,
    ObservationKey,
    OutboxRow,
    Reserved,
    Settlement,
    Source,
    StoredChunk,
    Transmission,
)

WAITING = (ItemState.HELD, ItemState.FAILED)


@dataclass(frozen=True)
class Kept:
    transmission: int
    chunks: int


@dataclass
class Specimen:
    transmission: int
    group: NewGroup
    since: datetime
    released: bool = False

    def count(self, state: ItemState) -> int:
        found = sum(o.state is state for o in self.group.observations)
        return max(found, 1) if self.group.state is state else found

    def waits(self) -> bool:
        return self.count(ItemState.HELD) + self.count(ItemState.FAILED) > 0


@dataclass
class Extra:
    """What a row of the outbox has besides its visible fields."""

    group: Specimen
    attempts: list[Attempt] = field(default_factory=list)
    rejected: datetime | None = None
    replayed: datetime | None = None


class MemoryStore:
    def __init__(self, clock: StillClock, identity: str) -> None:
        self.clock = clock
        self.identity = identity
        self.transmissions: dict[int, Transmission] = {}
        self.opened = 0
        self.given = 0
        self.sequences: Counter[str] = Counter()
        self.rows: list[OutboxRow] = []
        self.extra: dict[str, Extra] = {}
        self.specimens: list[Specimen] = []
        self.seen: dict[tuple[str, ObservationKey], tuple[str, int, datetime]] = {}
        self.settled: dict[int, datetime] = {}

    # intake

    def open_transmission(self, source: Source) -> int:
        self.opened += 1
        self.transmissions[self.opened] = Transmission(
            self.opened,
            source,
            TransmissionState.RECEIVING,
            self.clock.now(),
            None,
            "",
            False,
            None,
            (),
            self.clock.now(),
        )
        return self.opened

    def append(self, transmission: int, chunks: Sequence[Chunk], *, end: str | None = None) -> Kept:
        found = self.transmissions.get(transmission)
        if found is None or found.state is not TransmissionState.RECEIVING:
            raise UnknownRowError("open transmission")
        added = [StoredChunk(len(found.chunks) + i, self.clock.now(), chunk) for i, chunk in enumerate(chunks)]
        self.transmissions[transmission] = replace(found, chunks=(*found.chunks, *added))
        if end is not None:
            self.end(transmission, TransmissionEvent.ENDED, end)
        return Kept(transmission, len(chunks))

    def end(self, transmission: int, event: TransmissionEvent, reason: str) -> None:
        found = self.transmission(transmission)
        state = after_transmission(found.state, event)
        self.transmissions[transmission] = replace(found, state=state, ended=self.clock.now(), reason=reason)

    def close_orphans(self) -> list[int]:
        orphans = [t.id for t in self.transmissions.values() if t.state is TransmissionState.RECEIVING]
        for orphan in orphans:
            self.end(orphan, TransmissionEvent.BROKEN, "restart")
        return orphans

    def next_unconverted(self, limit: int = 16) -> list[Transmission]:
        ended = [t for t in self.transmissions.values() if t.state is not TransmissionState.RECEIVING]
        return [t for t in ended if not t.converted][:limit]

    def interrupted(self, analyser: str, limit: int = 16) -> list[Transmission]:
        found = [t for t in self.transmissions.values() if t.state is TransmissionState.INTERRUPTED]
        return [t for t in reversed(found) if t.source.analyser == analyser][:limit]

    def completed_after(self, analyser: str, id: int, limit: int = 16) -> list[Transmission]:
        found = [t for t in self.transmissions.values() if t.id > id and t.state is TransmissionState.COMPLETE]
        return [t for t in found if t.source.analyser == analyser][:limit]

    def transmission(self, id: int) -> Transmission:
        if id not in self.transmissions:
            raise UnknownRowError("transmission")
        return self.transmissions[id]

    # conversion

    def reserve(self, count: int) -> list[Reserved]:
        first = self.given + 1
        self.given += count
        return [Reserved(f"{self.identity}-{n:011d}", self.clock.now()) for n in range(first, self.given + 1)]

    def lookup(self, analyser: str, keys: Sequence[ObservationKey]) -> dict[ObservationKey, KnownObservation]:
        known = {}
        for key in keys:
            if (analyser, key) in self.seen:
                message_id, transmission, seen = self.seen[analyser, key]
                row = self.message(message_id)
                state = row.state if row else MessageState.FILED
                known[key] = KnownObservation(key, message_id, seen, state, transmission)
        return known

    def settle(self, settlement: Settlement) -> None:
        found = self.transmissions.get(settlement.transmission)
        if found is None or found.state is TransmissionState.RECEIVING:
            raise UnknownRowError("ended transmission")
        self._refuse_superseding(settlement)
        self._refuse_doubles(settlement, found)
        old = [s for s in self.specimens if s.transmission == found.id]
        holds = [
            NewGroup("", "", ItemState.FAILED if code in ("driver", "conversion") else ItemState.HELD, code, detail)
            for code, detail in settlement.holds
        ]
        new = [self._add(group, found, old) for group in (*holds, *settlement.groups)]
        self._replace(old, new)
        for id_ in settlement.replays:
            self._grant(id_)
        pairs = [(other, found.id) for other in settlement.completes]
        pairs += [(found.id, settlement.completed_by)] if settlement.completed_by else []
        for other, by in pairs:
            state = after_transmission(self.transmission(other).state, TransmissionEvent.RESENT)
            self.transmissions[other] = replace(self.transmissions[other], state=state, completed_by=by)
        self.transmissions[found.id] = replace(self.transmissions[found.id], converted=True)
        self.settled[found.id] = max(self.clock.now(), self.settled.get(found.id, self.clock.now()))

    def _refuse_superseding(self, settlement: Settlement) -> None:
        """Before anything is changed: what is refused leaves nothing behind."""
        for group in settlement.groups:
            for row in (self.message(m.replaces) for m in group.messages if m.replaces):
                if row is not None and row.state is not MessageState.FILED:
                    after_message(row.state, MessageEvent.SUPERSEDE)

    def _refuse_doubles(self, settlement: Settlement, found: Transmission) -> None:
        own = [s for s in self.specimens if s.transmission == found.id]
        sent_before = {o.key for s in own for o in s.group.observations if o.state is ItemState.CONVERTED}
        for group in settlement.groups:
            for o in group.observations:
                sent = self.seen.get((found.source.analyser, o.key))
                before = sent is not None and sent[1] == found.id
                if o.state is ItemState.CONVERTED and (before or o.key in sent_before):
                    raise AlreadySentError(found.id)

    def _add(self, group: NewGroup, found: Transmission, old: list[Specimen]) -> Specimen:
        analyser, observations = found.source.analyser, []
        for o in group.observations:
            if o.state is ItemState.CONVERTED:
                self.seen[analyser, o.key] = (o.message_id, found.id, found.ended or found.opened)
            elif (
                o.state is ItemState.DUPLICATE and (row := self.message(o.message_id)) and row.transmission == found.id
            ):
                o = replace(o, state=ItemState.CONVERTED)
            observations.append(o)
        before = [
            s.since
            for s in old
            if (s.waits() or s.released) and (s.group.specimen, s.group.role) == (group.specimen, group.role)
        ]
        specimen = Specimen(
            found.id, replace(group, observations=tuple(observations)), min(before, default=self.clock.now())
        )
        self.specimens.append(specimen)
        for m in group.messages:
            self.sequences[m.analyser] += 1
            self.rows.append(
                OutboxRow(
                    m.id,
                    m.analyser,
                    m.route,
                    self.sequences[m.analyser],
                    m.specimen_key,
                    m.payload,
                    hashlib.sha256(m.payload).hexdigest(),
                    MessageState.QUEUED,
                    "",
                    "",
                    m.stat,
                    m.graphics,
                    m.created,
                    self.clock.now(),
                    0,
                    "original",
                    m.repeat_of,
                    m.replaces,
                    found.id,
                    None,
                    held=m.held,
                )
            )
            self.extra[m.id] = Extra(specimen)
            if m.replaces and (replaced := self.message(m.replaces)) and replaced.state is not MessageState.FILED:
                self._change(replaced, MessageEvent.SUPERSEDE, code="superseded", reason=m.id)
        return specimen

    def _replace(self, old: list[Specimen], new: list[Specimen]) -> None:
        for specimen in old:
            heirs = [
                n for n in new if (n.group.specimen, n.group.role) == (specimen.group.specimen, specimen.group.role)
            ]
            carried = [e for e in self.extra.values() if e.group is specimen]
            if carried and not heirs:
                kept = tuple(o for o in specimen.group.observations if o.state not in (*WAITING, ItemState.RECEIVED))
                specimen.group = replace(specimen.group, state=ItemState.CONVERTED, observations=kept)
                specimen.released = False
                continue
            for extra in carried:
                extra.group = heirs[0]
            self.specimens.remove(specimen)

    def _grant(self, id_: str) -> None:
        row, extra, now = self.message(id_), self.extra.get(id_), self.clock.now()
        if row is None or extra is None or (extra.replayed and extra.replayed > now - timedelta(hours=1)):
            return
        if row.state is MessageState.FILED:
            self._put(replace(row, replay_at=now, replay="analyser"))
            extra.replayed = now
        elif row.state is MessageState.REJECTED:
            self._put(replace(row, retry_at=now, replay="analyser"))
            extra.replayed = now

    # held

    def held(self, *, analyser: str | None = None, code: str | None = None, limit: int = 100) -> list[Group]:
        return [self._group(s) for s in self.specimens if self._matches(s, analyser, code)][:limit]

    def _matches(self, s: Specimen, analyser: str | None, code: str | None) -> bool:
        codes = {s.group.hold, *(o.hold for o in s.group.observations if o.state in WAITING)}
        own = self.transmissions[s.transmission].source.analyser
        return s.waits() and analyser in (None, own) and (code is None or code in codes)

    def _group(self, s: Specimen) -> Group:
        g = s.group
        return Group(
            0,
            s.transmission,
            self.transmissions[s.transmission].source.analyser,
            g.specimen,
            g.role,
            g.state,
            g.hold,
            g.detail,
            s.since,
            g.stat,
            g.observations,
        )

    def release(self, *, analyser: str | None = None, code: str | None = None, who: str, note: str) -> int:
        if not who.strip() or not note.strip():
            raise NoteRequiredError
        count = 0
        for s in [s for s in self.specimens if self._matches(s, analyser, code)]:
            g = s.group
            waiting = [o for o in g.observations if o.state in WAITING]
            chosen = [o for o in waiting if code in (None, o.hold, g.hold)]
            whole = g.state in WAITING and (code in (None, g.hold) or len(chosen) == len(waiting))
            observations = tuple(self._released(o) if o in chosen else o for o in g.observations)
            s.group = replace(g, state=ItemState.RECEIVED if whole else g.state, observations=observations)
            s.released = True
            count += max(len(chosen), int(whole))
            self.transmissions[s.transmission] = replace(self.transmissions[s.transmission], converted=False)
        return count

    def _released(self, o: NewObservation) -> NewObservation:
        return replace(o, state=ItemState.RECEIVED)

    # outbox

    def message(self, id: str) -> OutboxRow | None:
        return next((row for row in self.rows if row.id == id), None)

    def messages(
        self,
        *,
        states: Collection[MessageState],
        analyser: str | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> list[OutboxRow]:
        rows = self.rows
        if after is not None:
            rows = rows[[row.id for row in rows].index(after) + 1 :]
        return [r for r in rows if r.state in states and analyser in (None, r.analyser)][:limit]

    def ready(
        self,
        limit: int,
        *,
        newest_since: datetime | None = None,
        skip: Collection[str] = (),
        skip_specimens: Collection[bytes] = (),
        unanswered_before: datetime | None = None,
    ) -> list[OutboxRow]:
        queued = [r for r in self.rows if r.state is MessageState.QUEUED]
        first = sorted(
            (r for r in queued if self._may_go(r, unanswered_before)), key=lambda r: (r.graphics, not r.stat)
        )
        if newest_since is not None:
            first = [r for r in first if r.queued >= newest_since]
        else:
            first += self._again(unanswered_before)
        chosen: dict[bytes, OutboxRow] = {}
        for row in first:
            if row.id not in skip and row.specimen_key not in skip_specimens and len(chosen) < limit:
                chosen.setdefault(row.specimen_key, row)
        return list(chosen.values())

    def _may_go(self, row: OutboxRow, unanswered_before: datetime | None) -> bool:
        same = [r for r in self.rows if r.specimen_key == row.specimen_key and r is not row]
        queued = [r for r in same if r.state is MessageState.QUEUED]
        earlier = any(r.graphics == row.graphics and self.rows.index(r) < self.rows.index(row) for r in queued)
        values = row.graphics and any(not r.graphics for r in queued)
        busy = [r for r in same if r.graphics <= row.graphics]
        return not (earlier or values or self._unanswered(busy, unanswered_before))

    def _unanswered(self, rows: Sequence[OutboxRow], before: datetime | None) -> bool:
        return any(r.state is MessageState.AT_BROKER and (before is None or r.at_broker >= before) for r in rows)

    def _again(self, before: datetime | None) -> list[OutboxRow]:
        now = self.clock.now()
        rejected = [r for r in self.rows if r.state is MessageState.REJECTED and r.retry_at and r.retry_at <= now]
        replays = [r for r in self.rows if r.replay_at and r.replay_at <= now]
        due = sorted(rejected, key=lambda r: r.retry_at) + sorted(replays, key=lambda r: r.replay_at)
        return [
            r
            for r in due
            if not self._unanswered([o for o in self.rows if o.specimen_key == r.specimen_key and o is not r], before)
        ]

    def published(self, id: str, *, replay: str) -> None:
        row, later = self._need(id), self.clock.now() + timedelta(minutes=5)
        self._put(
            replace(
                row,
                attempts=row.attempts + 1,
                replay=replay,
                retry_at=max(row.retry_at, later) if row.retry_at else None,
                replay_at=max(row.replay_at, later) if row.replay_at else None,
            )
        )
        self._note(id, "published", "", replay)

    def puback(self, id: str, reason_code: int, detail: str = "") -> MessageState:
        row, code = self._need(id), f"0x{reason_code:02X}"
        refused = reason_code >= 0x80
        after = after_message(row.state, MessageEvent.REFUSED if refused else MessageEvent.PUBACK)
        self._note(id, "refused" if refused else "puback", code, detail)
        if after is MessageState.QUEUED:
            self._change(row, MessageEvent.REFUSED, code=code, reason=detail)
        elif after is not row.state:
            self._change(row, MessageEvent.PUBACK)
        return after

    def timed_out(self, id: str) -> None:
        self._need(id)
        self._note(id, "timeout", "", "")

    def acknowledged(
        self,
        id: str,
        *,
        code: str,
        detail: str,
        consumer: str,
        digest_ok: bool | None,
        retry_at: datetime | None = None,
    ) -> MessageState:
        row = self._need(id)
        self._note(id, "ack", code, f"{consumer}: {detail}" if detail else consumer)
        if digest_ok is False:
            return row.state
        row = replace(row, replay_at=None)
        self._put(row)
        event = MessageEvent.ACCEPTED if code == "AA" else MessageEvent.DENIED
        after = after_message(row.state, event)
        if after is MessageState.REJECTED:
            self._change(row, event, code=code, reason=detail)
            self._retry(id, retry_at)
        elif after is not row.state:
            self._change(row, event, code=code, reason=detail)
        return after

    def _retry(self, id: str, retry_at: datetime | None) -> None:
        extra, now = self.extra[id], self.clock.now()
        extra.rejected = extra.rejected or now
        usual = now + timedelta(minutes=30) if now - extra.rejected < timedelta(hours=24) else None
        self._put(replace(self._need(id), retry_at=retry_at or usual))

    def block(self, id: str, code: str, reason: str) -> None:
        self._change(self._need(id), MessageEvent.BLOCK, code=code, reason=reason)
        self._note(id, "blocked", code, reason)

    def requeue(self, id: str, *, replay: str, who: str, note: str) -> None:
        self._change(self._need(id), MessageEvent.REQUEUE)
        self._put(replace(self._need(id), replay=replay))
        self.extra[id].rejected = None
        self._note(id, "requeued", replay, note)

    def set_aside(self, id: str, *, who: str, note: str) -> None:
        if not who.strip() or not note.strip():
            raise NoteRequiredError
        self._change(self._need(id), MessageEvent.SET_ASIDE, code="set-aside", reason=note)
        self._note(id, "set-aside", "", note)

    def to_resend(self) -> list[OutboxRow]:
        return self.messages(states=(MessageState.AT_BROKER,), limit=10**9)

    def attempts(self, id: str) -> list[Attempt]:
        self._need(id)
        return self.extra[id].attempts

    def counts(self) -> Counts:
        states = Counter(row.state for row in self.rows)
        unfiled = [row.queued for row in self.rows if row.state in OPEN_MESSAGE_STATES]
        interrupted = Counter(
            t.source.analyser for t in self.transmissions.values() if t.state is TransmissionState.INTERRUPTED
        )
        return Counts(
            {state: states[state] for state in MessageState},
            self._waiting(ItemState.HELD),
            self._waiting(ItemState.FAILED),
            min(unfiled, default=None),
            dict(interrupted),
        )

    def _waiting(self, state: ItemState) -> Mapping[str, int]:
        found: Counter[str] = Counter()
        for s in self.specimens:
            found[self.transmissions[s.transmission].source.analyser] += s.count(state)
        return {name: count for name, count in found.items() if count}

    # retention

    def purge(self, *, filed_before: datetime, identities_before: datetime) -> None:
        for t in [t for t in self.transmissions.values() if self._may_be_purged(t, filed_before)]:
            del self.transmissions[t.id]
            self.rows = [r for r in self.rows if r.transmission != t.id]
            self.specimens = [s for s in self.specimens if s.transmission != t.id]
        for known in [k for k, (_, _, seen) in self.seen.items() if seen < identities_before]:
            row = self.message(self.seen[known][0])
            if row is None or row.state is MessageState.FILED:
                del self.seen[known]

    def _may_be_purged(self, t: Transmission, before: datetime) -> bool:
        rows = [r for r in self.rows if r.transmission == t.id]
        done = t.converted and t.state in (TransmissionState.COMPLETE, TransmissionState.COMPLETED_BY)
        waits = any(s.waits() or s.released for s in self.specimens if s.transmission == t.id)
        last = max([self.settled.get(t.id, self.clock.now()), *(r.filed for r in rows if r.filed)])
        unfiled = any(r.state is not MessageState.FILED or r.replay_at for r in rows)
        return bool(done and not waits and not unfiled and last < before)

    def _need(self, id: str) -> OutboxRow:
        row = self.message(id)
        if row is None:
            raise UnknownRowError("message")
        return row

    def _put(self, row: OutboxRow) -> None:
        self.rows[[r.id for r in self.rows].index(row.id)] = row

    def _change(self, row: OutboxRow, event: MessageEvent, *, code: str = "", reason: str = "") -> None:
        after, now = after_message(row.state, event), self.clock.now()
        self._put(
            replace(
                row,
                state=after,
                code=code,
                reason=reason,
                at_broker=(row.at_broker or now) if after is MessageState.AT_BROKER else None,
                filed=(row.filed or now) if after is MessageState.FILED else None,
                retry_at=row.retry_at if after is MessageState.REJECTED else None,
            )
        )

    def _note(self, id: str, what: str, code: str, detail: str) -> None:
        self.extra[id].attempts.append(Attempt(self.clock.now(), what, code, detail))
