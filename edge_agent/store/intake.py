"""Bytes off the wire: transmissions and their chunks, stored before anybody is told.

Promised: every byte given to ``append`` is kept with its time, order and kind, and the ``Stored`` it returns exists
only after COMMIT. Not promised: that the bytes mean anything; conversion comes later and may be run again on them.
"""

from collections.abc import Sequence
from datetime import datetime

from edge_agent.states import TransmissionEvent, TransmissionState, after_transmission
from edge_agent.store import audit
from edge_agent.store.connection import Database, Row
from edge_agent.store.coverage import end_facts
from edge_agent.store.errors import UnknownRowError
from edge_agent.store.receipt import Promise, Stored
from edge_agent.store.rows import Chunk, ChunkKind, Source, StoredChunk, Transmission
from edge_agent.store.times import from_us, maybe_from_us


class Intake:
    _database: Database

    def open_transmission(self, source: Source) -> int:
        """The number of a new transmission, in state receiving."""
        with self._database.writing():
            number = self._database.execute(
                "INSERT INTO transmission (analyser, peer, profile, revision, profile_hash, mode, state, opened,"
                " opened_steady) VALUES (?, ?, ?, ?, ?, ?, 'receiving', ?, ?)",
                (
                    source.analyser,
                    source.peer,
                    source.profile,
                    source.revision,
                    source.profile_hash,
                    source.mode,
                    self._database.now_us(),
                    self._database.steady.now_us(),
                ),
            ).lastrowid
        assert number is not None
        return number

    def append(self, transmission: int, chunks: Sequence[Chunk], *, end: str | None = None) -> Stored:
        """Keep ``chunks`` in order. ``end`` (a reason: L, eot, idle) completes the transmission in the same step.

        Only a transmission in state receiving takes chunks. Raises UnknownRowError, IllegalTransitionError,
        StorageFailedError.
        """
        with self._database.writing():
            self._insert(transmission, chunks)
            if end is not None:
                self.end(transmission, TransmissionEvent.ENDED, end)
        return self._database.receipt(Promise(transmission, len(chunks)))

    def _insert(self, transmission: int, chunks: Sequence[Chunk]) -> None:
        at = self._database.now_us()
        written = self._database.run_many(
            "INSERT INTO chunk SELECT id, ifnull((SELECT max(position) + 1 FROM chunk WHERE transmission = id), 0),"
            " ?, ?, ?, ?, ?, ?, ?, ?, ? FROM transmission WHERE id = ? AND state = 'receiving'",
            [(*_values(at, chunk), transmission) for chunk in chunks],
        )
        if written != len(chunks):
            raise UnknownRowError("open transmission")

    def end(self, transmission: int, event: TransmissionEvent, reason: str) -> None:
        """ENDED makes it complete, BROKEN interrupted. Raises UnknownRowError, IllegalTransitionError."""
        with self._database.writing():
            after = after_transmission(transmission_state(self._database, transmission), event)
            self._database.execute(
                "UPDATE transmission SET state = ?, ended = ?, ended_steady = ?, reason = ? WHERE id = ?",
                (after, self._database.now_us(), self._database.steady.now_us(), reason, transmission),
            )
            facts = {"transmission": str(transmission), "reason": reason}
            facts |= end_facts(self._database, transmission)
            audit.add(self._database, f"transmission-{after}", facts)

    def close_orphans(self) -> list[int]:
        """At start: what a dead process was receiving is interrupted ("restart"). Their numbers."""
        with self._database.writing():
            rows = self._database.rows("SELECT id FROM transmission WHERE state = 'receiving' ORDER BY id")
            for (transmission,) in rows:
                self.end(transmission, TransmissionEvent.BROKEN, "restart")
        return [row[0] for row in rows]

    def next_unconverted(self, limit: int = 16) -> list[Transmission]:
        """Ended and not yet settled (or released since), oldest first, with their chunks."""
        rows = self._database.rows(
            "SELECT id FROM transmission WHERE converted = 0 AND state <> 'receiving' ORDER BY id LIMIT ?", (limit,)
        )
        return [self.transmission(row[0]) for row in rows]

    def interrupted(self, analyser: str, limit: int = 16) -> list[Transmission]:
        """Interrupted and not completed, newest first, with their chunks."""
        rows = self._database.rows(
            "SELECT id FROM transmission WHERE state = 'interrupted' AND analyser = ? ORDER BY id DESC LIMIT ?",
            (analyser, limit),
        )
        return [self.transmission(row[0]) for row in rows]

    def completed_after(self, analyser: str, id: int, limit: int = 16) -> list[Transmission]:
        """Complete and begun after that one, oldest first, with their chunks."""
        rows = self._database.rows(
            "SELECT id FROM transmission WHERE id > ? AND analyser = ? AND state = 'complete' ORDER BY id LIMIT ?",
            (id, analyser, limit),
        )
        return [self.transmission(row[0]) for row in rows]

    def last_complete(self, analyser: str) -> datetime | None:
        """When its newest complete transmission ended."""
        ended = self._database.value(
            "SELECT ended FROM transmission WHERE analyser = ? AND state = 'complete' ORDER BY id DESC LIMIT 1",
            (analyser,),
        )
        return maybe_from_us(ended)

    def transmission(self, id: int) -> Transmission:
        """With every chunk. Raises UnknownRowError."""
        row = self._database.row(
            "SELECT id, analyser, peer, profile, revision, profile_hash, mode, state, opened, ended, reason, converted,"
            " completed_by, opened_steady FROM transmission WHERE id = ?",
            (id,),
        )
        if row is None:
            raise UnknownRowError("transmission")
        chunks = self._database.rows(
            "SELECT position, received, kind, raw, text_start, text_length, text, number, last, reason FROM chunk"
            " WHERE transmission = ? ORDER BY position",
            (id,),
        )
        return _transmission(row, tuple(_chunk(c) for c in chunks))


def transmission_state(database: Database, transmission: int) -> TransmissionState:
    """Raises UnknownRowError."""
    state = database.value("SELECT state FROM transmission WHERE id = ?", (transmission,))
    if state is None:
        raise UnknownRowError("transmission")
    return TransmissionState(state)


def _values(at: int, chunk: Chunk) -> Row:
    start = chunk.raw.find(chunk.text)
    return (
        at,
        chunk.kind,
        chunk.raw,
        max(start, 0),
        len(chunk.text),
        chunk.text if start < 0 else None,
        chunk.number,
        chunk.last,
        chunk.reason,
    )


def _chunk(row: Row) -> StoredChunk:
    position, received, kind, raw, start, length, text, number, last, reason = row
    if text is None:
        text = raw[start : start + length]
    return StoredChunk(position, from_us(received), Chunk(ChunkKind(kind), raw, text, number, bool(last), reason))


def _transmission(row: Row, chunks: tuple[StoredChunk, ...]) -> Transmission:
    id_, analyser, peer, profile, revision, hash_, mode, state, opened, ended, reason, converted, *more = row
    return Transmission(
        id_,
        Source(analyser, peer, profile, revision, hash_, mode),
        TransmissionState(state),
        from_us(opened),
        maybe_from_us(ended),
        reason,
        bool(converted),
        more[0],
        chunks,
        from_us(more[1]),
    )
