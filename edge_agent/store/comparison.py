"""The rows held against what the chain tells of them.

Promised: a row that was changed, added or taken away behind the agent's back is named by its table and number, without
patient data; each piece of work is a few rows. Not promised: a row nothing was told of: a transmission that still comes
in, and what ``coverage.py`` says is not covered.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator

from edge_agent.states import MessageState, TransmissionState
from edge_agent.store import audit, coverage, told
from edge_agent.store.connection import Database, Row
from edge_agent.store.told import BrokenError, Told

Pieces = Iterator[tuple[int, int]]  # how far, of how many

_FRAMES_AT_ONCE = 16
_GAP_AT_ONCE = 1000
_SEEN_AT_ONCE = 20
_COUNTED = 10_000  # rows; where there are more, a counter of them is not compared
_COUNTS = (  # kind of counter, its name where only one is counted, what counts it
    *(
        ("message", state.value, "SELECT state, 1 FROM outbox WHERE state = :name LIMIT :limit")
        for state in MessageState
    ),
    ("held", "", "SELECT analyser, held FROM specimen_group WHERE held + failed > 0 LIMIT :limit"),
    ("failed", "", "SELECT analyser, failed FROM specimen_group WHERE held + failed > 0 LIMIT :limit"),
    ("interrupted", "", "SELECT analyser, 1 FROM transmission WHERE state = 'interrupted' LIMIT :limit"),
)


class Comparison:
    """Of one database with what ``told`` knows. Before each piece ``told`` has heard every entry there is."""

    def __init__(self, database: Database, told_: Told) -> None:
        self._database = database
        self._told = told_
        self.transmissions = 0
        self.messages = 0
        self.identities = 0

    def compare_transmissions(self) -> Pieces:
        last = 0
        while row := self._transmission_after(last):
            yield from self._gap(last + 1, row[0])
            last = row[0]
            yield from self._transmission(*row)
        given = self._given("transmission")
        yield from self._gap(last + 1, max(given, self._told.ends.highest) + 1)

    def _transmission_after(self, last: int) -> Row | None:
        return self._database.row(
            "SELECT id, analyser, state, ended_steady, converted, completed_by, unsettled FROM transmission"
            " WHERE id > ? ORDER BY id LIMIT 1",
            (last,),
        )

    def _gap(self, first: int, end: int) -> Pieces:
        """Numbers without a row, from ``first`` to before ``end``: each was purged, and told so."""
        for start in range(first, end, _GAP_AT_ONCE):
            for number in range(start, min(start + _GAP_AT_ONCE, end)):
                self._missing(number)
            yield start, self._given("transmission")

    def _missing(self, number: int) -> None:
        entry = self._told.readings[number] or self._told.ends[number]
        if self._told.purged[number] or (not entry and number <= int(self._told.shortened.get("gone", "0"))):
            return
        if self._database.row("SELECT 1 FROM transmission WHERE id = ?", (number,)):
            return  # it began since
        tells = f"entry {entry} tells of it" if entry else "no entry tells that it went"
        raise BrokenError("transmission", str(number), f"is not there, and {tells}")

    def _transmission(
        self, number: int, analyser: str, state: str, ended: int | None, converted: int, by: int | None, unsettled: int
    ) -> Pieces:
        self.transmissions += 1
        if self._told.purged[number]:
            raise _transmission_broken(number, f"is there, and entry {self._told.purged[number]} tells that it went")
        end = self._told.ends[number]
        if state == TransmissionState.RECEIVING and not end:
            yield number, self._given("transmission")
            return
        if not end:
            raise _transmission_broken(number, "has ended, and no entry tells it")
        kind, facts = told.facts_of(self._database, end)
        if "row" in facts and facts["row"] != coverage.transmission_digest(self._database, number):
            raise _transmission_broken(number, f"is not as entry {end} tells")
        if self._told.readings[number]:
            self._reading(number)
        elif (state, converted, by) != (told.ended_as(kind), 0, None) or self._led_to_something(number):
            raise _transmission_broken(number, "was read, and no entry tells it")
        if unsettled != self._unsettled(number):
            raise _transmission_broken(number, "counts what is unsettled wrongly")
        self._recognised(number, analyser, ended)
        yield from self._frames(number, end, facts)

    def _reading(self, number: int) -> None:
        entry = self._told.readings[number]
        digest = told.read(*told.facts_of(self._database, entry))[number]
        if digest and digest != coverage.reading_digest(self._database, number):
            raise _transmission_broken(
                number, f"has a state, specimen or observation that is not as entry {entry} tells"
            )

    def _led_to_something(self, number: int) -> bool:
        return bool(
            self._database.value(
                "SELECT EXISTS (SELECT 1 FROM specimen_group WHERE transmission = :id)"
                " OR EXISTS (SELECT 1 FROM outbox WHERE transmission = :id)",
                {"id": number},
            )
        )

    def _unsettled(self, number: int) -> int:
        count: int = self._database.value(
            "SELECT (SELECT count(*) FROM outbox WHERE transmission = :id AND state <> 'filed')"
            " + (SELECT count(*) FROM specimen_group WHERE transmission = :id AND held + failed + released > 0)",
            {"id": number},
        )
        return count

    def _recognised(self, number: int, analyser: str, ended: int | None) -> None:
        """What was sent is known to have been sent, by this transmission or a later one."""
        for digest, occurrence, message in self._database.rows(
            "SELECT o.digest, o.occurrence, o.message_id FROM specimen_group g CROSS JOIN observation o"
            " ON o.group_id = g.id WHERE g.transmission = ? AND o.state = 'converted'",
            (number,),
        ):
            seen = self._database.row(
                "SELECT transmission, message_id, seen FROM seen WHERE analyser = ? AND digest = ? AND occurrence = ?",
                (analyser, digest, occurrence),
            )
            if seen is None and (ended or 0) < self._told.forgotten and self._may_be_forgotten(message):
                continue
            if seen is None or seen[0] < number or (seen[0] == number and seen[1:] != (message, ended)):
                raise BrokenError(
                    "seen", f"of transmission {number}", "does not recognise an observation that was sent"
                )

    def _may_be_forgotten(self, message: str) -> bool:
        return self._database.value("SELECT state FROM outbox WHERE id = ?", (message,)) in (None, MessageState.FILED)

    def _frames(self, number: int, end: int, facts: told.Facts) -> Pieces:
        digest, position = coverage.FramesDigest(), -1
        while rows := self._database.rows(
            f"{coverage.FRAMES} AND position > ? ORDER BY position LIMIT {_FRAMES_AT_ONCE}", (number, position)
        ):
            digest.update(rows)
            position = rows[-1][0]
            if len(rows) < _FRAMES_AT_ONCE:
                break
            yield number, self._given("transmission")
        if any(facts.get(name, value) != value for name, value in digest.facts().items()) and self._is_there(number):
            raise BrokenError("chunk", f"of transmission {number}", f"is not as it was received, as entry {end} tells")
        yield number, self._given("transmission")

    def _is_there(self, number: int) -> bool:
        """Retention may take a transmission between two pieces of it."""
        return self._database.row("SELECT 1 FROM transmission WHERE id = ?", (number,)) is not None

    def compare_messages(self) -> Pieces:
        last = 0
        while row := self._database.row(
            "SELECT o.number, o.id, o.analyser, o.sequence, o.digest, o.state, o.head, o.specimen_key, o.graphics,"
            " p.payload FROM outbox o LEFT JOIN payload p ON p.number = o.number"
            " WHERE o.number > ? ORDER BY o.number LIMIT 1",
            (last,),
        ):
            last = row[0]
            self._message(*row)
            yield last, self._given("outbox")

    def _message(
        self,
        number: int,
        id_: str,
        analyser: str,
        sequence: int,
        digest: str,
        state: str,
        head: int,
        specimen_key: bytes,
        graphics: int,
        payload: bytes | None,
    ) -> None:
        self.messages += 1
        entry = self._told.messages[number]
        if not entry:
            raise _message_broken(number, id_, "is there, and no entry tells that it was queued")
        _, facts = told.facts_of(self._database, entry)
        queued = next(m for m in told.messages(facts) if m.id == id_)
        if (analyser, sequence, digest) != (queued.analyser, queued.sequence, queued.payload) or (
            queued.fixed and queued.fixed != coverage.message_digest(self._database, id_)
        ):
            raise _message_broken(number, id_, f"is not what entry {entry} tells was queued")
        if payload is None or hashlib.sha256(payload).hexdigest() != queued.payload:
            raise _message_broken(number, id_, f"has another content than entry {entry} tells", table="payload")
        self._state(number, id_, state)
        if head != self._heads_its_queue(number, state, specimen_key, graphics):
            raise _message_broken(number, id_, "is in the wrong place of its specimen's queue")

    def _state(self, number: int, id_: str, state: str) -> None:
        entry = self._told.states[number]
        digest, word = told.state_of(*told.facts_of(self._database, entry), id_)
        if digest:
            right = digest == coverage.state_digest(self._database, id_)
        else:  # told before states were: then only whether it is filed is known
            right = (state == MessageState.FILED) == (word is MessageState.FILED)
        if not right:
            raise _message_broken(number, id_, f"is {state}, which is not as entry {entry} tells")

    def _heads_its_queue(self, number: int, state: str, specimen_key: bytes, graphics: int) -> int:
        if state != MessageState.QUEUED:
            return 0
        before = self._database.row(
            "SELECT 1 FROM outbox WHERE specimen_key = ? AND graphics = ? AND state = 'queued' AND number < ? LIMIT 1",
            (specimen_key, graphics, number),
        )
        return int(before is None)

    def compare_identities(self) -> Pieces:
        """What recognises repeats: each came with a transmission that sent it, or one that is gone by now."""
        last: Row = ("", b"", -1)
        while rows := self._database.rows(
            "SELECT analyser, digest, occurrence, message_id, transmission, seen FROM seen"
            " WHERE (analyser, digest, occurrence) > (?, ?, ?) ORDER BY analyser, digest, occurrence LIMIT ?",
            (*last, _SEEN_AT_ONCE),
        ):
            for row in rows:
                self._identity(*row)
            last = rows[-1][:3]
            yield self.identities, 0

    def _identity(
        self, analyser: str, _digest: bytes, _occurrence: int, message: str, transmission: int, seen: int
    ) -> None:
        self.identities += 1
        row = self._database.row("SELECT analyser, ended_steady FROM transmission WHERE id = ?", (transmission,))
        if row is None:
            self._missing(transmission)
            return
        # Not the observation: what was sent may be read otherwise since, and is then not to be sent again either.
        sent = self._database.row("SELECT transmission FROM outbox WHERE id = ?", (message,))
        if row != (analyser, seen) or sent != (transmission,):
            raise BrokenError("seen", f"of transmission {transmission}", "recognises an observation that was not sent")

    def compare_numbers(self) -> Pieces:
        """Where the chain begins, what is given out next, and the counters."""
        self._facts()
        self._sequences()
        yield 0, 0
        self._counters()
        yield 0, 0

    def _facts(self) -> None:
        begins = self._told.shortened
        expected = {
            audit.BASE: f"{begins['entry']} {begins['hash']}" if begins else "",
            told.GONE: begins["gone"] if begins else "",
            told.FORGOTTEN: str(self._told.forgotten or ""),
        }
        if self._told.identity:
            expected["identity"] = self._told.identity
        for name, value in expected.items():
            if self._database.fact(name) != value:
                raise BrokenError("fact", name, "is not as the chain tells")
        if self._told.last_id > int(self._database.fact("last_id") or 0):
            raise BrokenError("fact", "last_id", "would give out message ids again")
        for table, highest in (("transmission", self._told.ends.highest), ("audit", audit.head(self._database)[0])):
            if highest > self._given(table):
                raise BrokenError("sqlite_sequence", table, "would give out numbers again")

    def _sequences(self) -> None:
        rows = self._database.rows("SELECT identity, analyser, last FROM sequence")
        for identity, analyser, last in rows:
            known = self._told.sequences.get((identity, analyser))
            if known != last and (known is not None or not self._told.shortened):
                raise BrokenError("sequence", f"of {analyser}", f"is {last}, and the chain tells {known or 'none'}")
        missing = set(self._told.sequences) - {(identity, analyser) for identity, analyser, _ in rows}
        for _, analyser in sorted(missing):
            raise BrokenError("sequence", f"of {analyser}", "is not there")

    def _counters(self) -> None:
        kept: dict[str, dict[str, int]] = {}
        for kind, name, value in self._database.rows("SELECT kind, name, value FROM counter"):
            kept.setdefault(kind, {})[name] = value
        for kind, only, sql in _COUNTS:
            rows = self._database.rows(sql, {"name": only, "limit": _COUNTED})
            if len(rows) == _COUNTED:
                continue
            counted = Counter[str]()
            for name, count in rows:
                counted[name] += count
            found = kept.get(kind, {})
            for name in (only,) if only else sorted(counted.keys() | found.keys()):
                if counted[name] != found.get(name, 0):
                    raise BrokenError("counter", f"{kind} {name}", f"does not count the {counted[name]} there are")

    def _given(self, table: str) -> int:
        """The highest number given out."""
        return self._database.value("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)) or 0


def _transmission_broken(number: int, text: str) -> BrokenError:
    return BrokenError("transmission", str(number), text)


def _message_broken(number: int, id_: str, text: str, *, table: str = "outbox") -> BrokenError:
    return BrokenError(table, f"{number} ({id_})", text)
