"""Which of the rows that were read may go on living, decided in the scratch database itself.

Promised: bytes go on to be read only if they are the bytes the audit chain knows, or were never ended and every frame's
own checksum fits; a message goes out only if its text has the digest its row and the chain give it; what was lost of a
message is made up for without a second id wherever the message may have gone out. So nothing altered leaves, and
nothing is doubled on our side. Not promised: that what recognises repeats is whole; ``Loss.identities`` says so.
"""

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from drivers.canonical import Specimen
from edge_agent.identity import specimen_key
from edge_agent.salvage.loss import Carried, Loss, MissingMessage, MissingTransmission
from edge_agent.salvage.told import Chain
from edge_agent.store.connection import Row, Values
from edge_agent.store.coverage import differing
from edge_agent.store.times import LATEST

_OPEN = ("queued", "at-broker", "rejected", "blocked")
_TABLES = """
CREATE TABLE judged (transmission INTEGER PRIMARY KEY, sound INTEGER);
CREATE VIEW sound AS SELECT transmission FROM judged WHERE sound = 1;
CREATE TABLE reread (transmission INTEGER PRIMARY KEY);
CREATE TABLE gone (id TEXT PRIMARY KEY, analyser TEXT, transmission INTEGER);
CREATE TABLE came (transmission INTEGER PRIMARY KEY, at INTEGER);
CREATE INDEX seen_message ON seen (message_id);
CREATE INDEX observation_message ON observation (message_id);
CREATE INDEX group_transmission ON specimen_group (transmission);
CREATE INDEX outbox_of ON outbox (transmission);
"""

_CAME = "INSERT INTO came SELECT id, ifnull(ended, opened) FROM transmission"
_CAME_STEADY = "INSERT INTO came SELECT id, ifnull(ended_steady, opened_steady) FROM transmission"

_STILL_TO_BE_READ = (
    "SELECT b.transmission, b.facts FROM told_bytes b JOIN transmission t ON t.id = b.transmission"
    " WHERE t.converted = 0"
    " OR EXISTS (SELECT 1 FROM specimen_group g WHERE g.transmission = t.id AND g.held + g.failed > 0)"
)
_TO_BE_READ_ONCE_MORE = (
    "SELECT b.transmission, b.facts FROM told_bytes b JOIN reread r ON r.transmission = b.transmission"
    " JOIN transmission t ON t.id = b.transmission"
)


class Judgement:
    def __init__(self, found: sqlite3.Connection, chain: Chain, loss: Loss, *, current: bool, noted: bool) -> None:
        """``found`` was listened to (``told.py``). ``current``: its schema is today's.

        ``noted``: the store was closed in order, so that whatever was handed to the broker is noted. An agent that was
        killed, or could not write, may have handed over what no attempt tells of: it notes that afterwards.
        """
        self._current = current
        self._noted = noted
        self._found = found
        self._chain = chain
        self._loss = loss
        self._nobodys: set[int] = set()  # transmissions whose own rows may name another analyser
        self.carried = Carried()
        self.mended = False  # a moment that cannot be

    def run(self) -> None:
        self._found.executescript(_TABLES)
        self._found.execute("BEGIN")
        self._judge_moments()
        self._judge_bytes()
        self._judge_messages()
        self._complete_identities()
        self._find_lost_messages()
        self._give_up_messages()
        self._judge_transmissions()
        self._drop_orphans()
        self._found.execute("COMMIT")

    # moments

    def _judge_moments(self) -> None:
        """A moment that cannot be is no moment. A transmission without its own is none of which anything is known."""
        steady = (
            "UPDATE transmission SET opened_steady = opened WHERE opened_steady NOT BETWEEN 0 AND :latest",
            "UPDATE transmission SET ended_steady = ended WHERE ended_steady NOT BETWEEN 0 AND :latest",
        )
        for sql in (
            *(steady if self._has_steady() else ()),
            "DELETE FROM transmission WHERE opened NOT BETWEEN 0 AND :latest OR ended NOT BETWEEN 0 AND :latest",
            "UPDATE specimen_group SET since = 0 WHERE since NOT BETWEEN 0 AND :latest",
            "UPDATE outbox SET queued = iif(created BETWEEN 0 AND :latest, created, 0)"
            " WHERE queued NOT BETWEEN 0 AND :latest",
            "UPDATE outbox SET created = queued WHERE created NOT BETWEEN 0 AND :latest",
            "UPDATE outbox SET at_broker = NULL WHERE at_broker NOT BETWEEN 0 AND :latest",
            "UPDATE outbox SET retry_at = NULL WHERE retry_at NOT BETWEEN 0 AND :latest",
        ):
            self.mended |= self._found.execute(sql, {"latest": LATEST}).rowcount > 0

    # bytes

    def _judge_bytes(self) -> None:
        wanted: dict[int, str] = dict(self._all("SELECT transmission, raw FROM told_bytes"))
        ended = {n for (n,) in self._all("SELECT id FROM transmission WHERE state <> 'receiving'")}
        for transmission, chunks in self._by_transmission():
            sha, sound = hashlib.sha256(), True
            for expected, (_, position, kind, raw, start, length, text, possible) in enumerate(chunks):
                sha.update(raw)
                sound = (
                    sound and position == expected and bool(possible) and _is_cut_well(kind, raw, start, length, text)
                )
                sound = sound and (transmission in wanted or kind != "frame" or _fits(raw))
            if transmission in wanted:
                sound = sound and sha.hexdigest() == wanted[transmission]
            elif transmission in ended and self._chain.whole:
                sound = sound and transmission <= self._before_the_chain()
            self._do("INSERT INTO judged VALUES (?, ?)", transmission, int(sound))
        empty = hashlib.sha256().hexdigest()
        self._do("INSERT OR IGNORE INTO judged SELECT transmission, 1 FROM told_bytes WHERE raw = ?", empty)
        self._hold_against_chain(_STILL_TO_BE_READ)

    def _hold_against_chain(self, sql: str) -> None:
        """What is going to be read: also how its frames were cut, whose it is, and under which profile it is read."""
        for number, text in self._all(sql):
            spoiled = differing(self, number, json.loads(text), current=self._current)
            if spoiled:
                self._do("UPDATE judged SET sound = 0 WHERE transmission = ?", number)
            if "row" in spoiled:
                self._nobodys.add(number)

    def rows(self, sql: str, values: Values = ()) -> list[Row]:
        """As ``coverage.py`` reads them."""
        return self._found.execute(sql, values).fetchall()

    def _by_transmission(self) -> Iterator[tuple[int, Iterator[Row]]]:
        rows = self._found.execute(
            "SELECT transmission, position, kind, raw, text_start, text_length, text,"
            " received BETWEEN 0 AND ? AND text_start >= 0 AND text_length >= 0"
            " AND (text IS NOT NULL OR text_start + text_length <= length(raw)) FROM chunk ORDER BY 1, 2",
            (LATEST,),
        )
        return groupby(rows, key=lambda row: row[0])

    def _before_the_chain(self) -> int:
        """Transmissions up to here may be older than the chain's beginning, which retention moves."""
        first = self._one("SELECT min(transmission) FROM told_bytes")
        return 0 if self._one("SELECT min(entry) FROM audit") == 1 else (first or 2**62) - 1

    # messages

    def _judge_messages(self) -> None:
        self._address_as_told()
        told: dict[str, str] = dict(self._all("SELECT id, digest FROM told_message"))
        rows = self._found.execute(
            "SELECT o.number, o.id, o.analyser, o.digest, o.state, o.attempts, o.transmission, p.payload"
            " FROM outbox o LEFT JOIN payload p ON p.number = o.number"
        ).fetchall
        for number, id_, analyser, digest, state, attempts, transmission, payload in rows():
            sha = "" if payload is None else hashlib.sha256(payload).hexdigest()
            if sha == digest and (told.get(id_) == digest if self._is_told(id_, told) else True):
                continue
            self._do("DELETE FROM outbox WHERE number = ?", number)
            if state in _OPEN and self._one("SELECT 1 FROM told_filed WHERE id = ?", id_) is None:
                self._miss(id_, analyser, transmission, never_sent=self._noted and state == "queued" and attempts == 0)

    def _address_as_told(self) -> None:
        """Whose it is, and its number, are no part of a text: a whole chain says them, or it goes out as another's."""
        if self._chain.whole:
            changed = self._found.execute(
                "UPDATE outbox SET analyser = m.analyser, sequence = m.sequence, identity = substr(m.id, 1, 8)"
                " FROM told_message m WHERE m.id = outbox.id AND (outbox.analyser, outbox.sequence, outbox.identity)"
                " <> (m.analyser, m.sequence, substr(m.id, 1, 8))"
            )
            self.mended |= changed.rowcount > 0

    def _is_told(self, id_: str, told: dict[str, str]) -> bool:
        """Where the chain is whole it tells of every message; one it does not know has a spoiled id."""
        return id_ in told or (self._chain.whole and self._one("SELECT min(entry) FROM audit") == 1)

    def _find_lost_messages(self) -> None:
        """Of what the chain says was queued, what is not there; then what identities still point to."""
        texts = self._texts_without_a_row()
        lost = self._all(
            "SELECT id, analyser, sequence, digest, transmission, at FROM told_message m"
            " WHERE id NOT IN (SELECT id FROM outbox) AND id NOT IN (SELECT id FROM told_filed)"
            " AND id NOT IN (SELECT id FROM gone) AND transmission NOT IN (SELECT transmission FROM told_purged)"
            " AND (EXISTS (SELECT 1 FROM transmission t WHERE t.id = m.transmission) OR :whole)",
            {"whole": self._chain.whole},
        )
        for id_, analyser, sequence, digest, transmission, at in lost:
            number = texts.get(digest)
            if number is None or not self._rebuild(number, id_, analyser, sequence, digest, transmission, at):
                self._miss(id_, analyser, transmission, never_sent=False)
        pointed = self._all(
            "SELECT DISTINCT s.message_id, s.analyser, s.transmission FROM seen s JOIN transmission t"
            " ON t.id = s.transmission WHERE s.message_id NOT IN (SELECT id FROM outbox)"
            " AND s.message_id NOT IN (SELECT id FROM told_message) AND s.message_id NOT IN (SELECT id FROM gone)"
        )
        for id_, analyser, transmission in pointed:
            self._miss(id_, analyser, transmission, never_sent=False)

    def _texts_without_a_row(self) -> dict[str, int]:
        rows = self._found.execute(
            "SELECT number, payload FROM payload WHERE number NOT IN (SELECT number FROM outbox)"
        )
        return {hashlib.sha256(payload).hexdigest(): number for number, payload in rows}

    def _rebuild(
        self, number: int, id_: str, analyser: str, sequence: int, digest: str, transmission: int, at: int
    ) -> bool:
        """A row for a text that lost its own: as queued, because nobody is known to have filed it."""
        group = self._found.execute(
            "SELECT g.id, g.specimen, g.role, g.stat, t.mode FROM observation o JOIN specimen_group g"
            " ON g.id = o.group_id JOIN transmission t ON t.id = g.transmission WHERE o.message_id = ? LIMIT 1",
            (id_,),
        ).fetchone()
        if group is None:
            return False
        group_id, specimen, role, stat, mode = group
        patient = "result" if role in ("P", "B", "F", "O") else "qc"
        self._do(
            "INSERT INTO outbox (number, id, identity, analyser, route, sequence, specimen_key, digest, state, stat,"
            " graphics, head, created, queued, attempts, replay, repeat_of, replaces, held, transmission, group_id)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'queued', ?, 0, 0, ?, ?, 1, 'retry', '', '', 0, ?, ?)",
            *(number, id_, id_[:8], analyser, patient if mode == "production" else "validation", sequence),
            *(specimen_key(analyser, Specimen(specimen)), digest, stat, at, at, transmission, group_id),
        )
        self.carried.rebuilt += 1
        return True

    def _miss(self, id_: str, analyser: str, transmission: int, *, never_sent: bool) -> None:
        """Never handed to the broker: its transmission is read once more. Otherwise nobody may give it a second id."""
        self._do("INSERT OR IGNORE INTO gone VALUES (?, ?, ?)", id_, analyser, transmission)
        sound = self._one(
            "SELECT 1 FROM transmission JOIN sound ON transmission = id WHERE id = ? AND state <> 'receiving'",
            transmission,
        )
        if never_sent and sound:
            self._do("INSERT OR IGNORE INTO reread VALUES (?)", transmission)
        else:
            self._loss.messages.append(MissingMessage(id_, analyser, transmission))

    def _complete_identities(self) -> None:
        """An observation that went out says what recognises its repeats, the newest one of it."""
        self._do(_CAME_STEADY if self._has_steady() else _CAME)
        self._do(
            "INSERT INTO seen SELECT g.analyser, o.digest, o.occurrence, o.message_id, g.transmission, c.at"
            " FROM observation o JOIN specimen_group g ON g.id = o.group_id"
            " JOIN came c ON c.transmission = g.transmission"
            " WHERE o.state = 'converted' AND o.message_id <> '' ORDER BY g.transmission"
            " ON CONFLICT DO UPDATE SET message_id = excluded.message_id, transmission = excluded.transmission,"
            " seen = excluded.seen WHERE transmission <= excluded.transmission"
            # It names no message that is here, or another transmission than the one its message came from.
            " OR transmission IS NOT (SELECT o.transmission FROM outbox o WHERE o.id = seen.message_id)"
        )

    def _has_steady(self) -> bool:
        """Whether the schema knows the store's own time."""
        return "ended_steady" in {row[1] for row in self._all("PRAGMA table_info(transmission)")}

    def _give_up_messages(self) -> None:
        """So that the analyser's resend, or reading once more, brings their results and is not taken for a repeat."""
        self._do("DELETE FROM seen WHERE message_id IN (SELECT id FROM gone)")
        self._do("DELETE FROM observation WHERE message_id IN (SELECT id FROM gone)")
        self._do("UPDATE outbox SET repeat_of = '' WHERE repeat_of IN (SELECT id FROM gone)")
        # Of a filed message that is lost the memory stays, without the transmission that could tell of it.
        self._do("UPDATE seen SET transmission = 0 WHERE message_id NOT IN (SELECT id FROM outbox)")
        self._do(
            "DELETE FROM observation WHERE state = 'converted' AND message_id <> ''"
            " AND message_id NOT IN (SELECT id FROM outbox)"
        )

    # transmissions

    def _judge_transmissions(self) -> None:
        self._stand_in()
        self._look_for_what_waited()
        self._hold_against_chain(_TO_BE_READ_ONCE_MORE)
        unread = self._all(
            "SELECT t.id, t.analyser, ifnull(r.analyser, '') FROM transmission t"
            " LEFT JOIN told_read r ON r.transmission = t.id WHERE t.id NOT IN (SELECT transmission FROM sound)"
            " AND (t.converted = 0 OR t.id IN (SELECT transmission FROM reread)"
            " OR EXISTS (SELECT 1 FROM specimen_group g WHERE g.transmission = t.id AND g.held + g.failed > 0))"
        )
        lost = self._all(
            "SELECT b.transmission, ifnull(r.analyser, '') FROM (SELECT transmission FROM told_bytes"
            " UNION SELECT transmission FROM judged) b"
            " LEFT JOIN told_read r ON r.transmission = b.transmission"
            " WHERE b.transmission NOT IN (SELECT id FROM transmission) AND ifnull(r.waiting, 1) > 0"
            " AND b.transmission NOT IN (SELECT transmission FROM told_purged)"
        )
        named = [(number, told if number in self._nobodys else analyser) for number, analyser, told in unread]
        self._loss.transmissions += [MissingTransmission(number, analyser) for number, analyser in (*named, *lost)]
        for number, *_ in unread:
            self._interrupt(number)
        self._do("DELETE FROM chunk WHERE transmission NOT IN (SELECT transmission FROM sound)")
        self._do("DELETE FROM reread WHERE transmission NOT IN (SELECT transmission FROM sound)")
        self._do("UPDATE transmission SET converted = 0 WHERE id IN (SELECT transmission FROM reread)")
        self.carried.reread = self._one("SELECT count(*) FROM reread")

    def _interrupt(self, transmission: int) -> None:
        """Bytes nobody can read any more are an interruption: seen, alarmed, over when the analyser sends again."""
        self._do(
            "UPDATE specimen_group SET held = 0, failed = 0, released = 0, state = 'converted' WHERE transmission = ?",
            transmission,
        )
        self._do(
            "DELETE FROM observation WHERE state NOT IN ('converted', 'duplicate')"
            " AND group_id IN (SELECT id FROM specimen_group WHERE transmission = ?)",
            transmission,
        )
        self._do(
            "UPDATE transmission SET converted = 1, state = 'interrupted', reason = 'salvage', completed_by = NULL,"
            " ended = ifnull(ended, opened) WHERE id = ?",
            transmission,
        )

    def _stand_in(self) -> None:
        """A message whose transmission is lost keeps its number; the transmission is a name without bytes."""
        self._do(
            "INSERT INTO transmission (id, analyser, peer, profile, revision, profile_hash, mode, state, opened, ended,"
            " reason, converted) SELECT o.transmission, o.analyser, '', '', 0, '',"
            " iif(o.route = 'validation', 'validation', 'production'), 'complete', min(o.queued), min(o.queued),"
            " 'salvage', 1 FROM outbox o WHERE o.transmission NOT IN (SELECT id FROM transmission)"
            " GROUP BY o.transmission"
        )
        if self._has_steady():
            self._do(
                "UPDATE transmission SET opened_steady = s.seen, ended_steady = s.seen FROM"
                " (SELECT transmission, min(seen) AS seen FROM seen GROUP BY transmission) s"
                " WHERE s.transmission = transmission.id AND transmission.reason = 'salvage' AND profile = ''"
            )

    def _look_for_what_waited(self) -> None:
        """A transmission that had more to settle than is left of it lost something held: its bytes still have it."""
        self._do(
            "INSERT OR IGNORE INTO reread SELECT t.id FROM transmission t WHERE t.converted = 1 AND t.unsettled >"
            " (SELECT count(*) FROM outbox o WHERE o.transmission = t.id AND o.state <> 'filed')"
            " + (SELECT count(*) FROM specimen_group g WHERE g.transmission = t.id"
            " AND g.held + g.failed + g.released > 0) + (SELECT count(*) FROM gone x WHERE x.transmission = t.id)"
        )

    def _drop_orphans(self) -> None:
        for sql in (
            "DELETE FROM specimen_group WHERE transmission NOT IN (SELECT id FROM transmission)",
            "DELETE FROM observation WHERE group_id NOT IN (SELECT id FROM specimen_group)",
            "DELETE FROM chunk WHERE transmission NOT IN (SELECT id FROM transmission)",
            "DELETE FROM payload WHERE number NOT IN (SELECT number FROM outbox)",
            "DELETE FROM attempt WHERE number NOT IN (SELECT number FROM outbox)",
            "UPDATE outbox SET group_id = NULL WHERE group_id NOT IN (SELECT id FROM specimen_group)",
            "UPDATE transmission SET state = 'interrupted' WHERE state = 'completed-by' AND completed_by IS NULL",
        ):
            self._do(sql)
        self.carried.again = self._one(
            "SELECT count(*) FROM outbox WHERE state IN ('queued', 'at-broker', 'rejected', 'blocked')"
        )

    def _all(self, sql: str, values: dict[str, object] | tuple[object, ...] = ()) -> list[Row]:
        return self._found.execute(sql, values).fetchall()

    def _one(self, sql: str, *values: object) -> Any:
        row = self._found.execute(sql, values).fetchone()
        return None if row is None else row[0]

    def _do(self, sql: str, *values: object) -> None:
        self._found.execute(sql, values)


def _is_cut_well(kind: str, raw: bytes, start: int, length: int, text: bytes | None) -> bool:
    """A frame's text begins behind STX and its number, and ends where its end stands: ETX, ETB, or GS before a sum.

    Where the frame has no STX (bare records) nothing tells.
    """
    if kind != "frame" or raw[:1] != b"\x02" or text is not None:
        return True
    found = raw[start : start + length]
    return any(
        raw[at : at + length] == found and raw[at + length : at + length + 1] in (b"\x03", b"\x17", b"\x1d")
        for at in (1, 2)
    )


def _fits(raw: bytes) -> bool:
    """The frame's own checksum: modulo 256 over what stands between STX and the two digits (LIS01-A2 §6.3.1.2)."""
    end = max(raw.rfind(mark) for mark in (b"\x03", b"\x17"))  # ETX, ETB
    digits = raw[end + 1 : end + 3]
    return end > 0 and digits.upper() == b"%02X" % (sum(raw[1 : end + 1]) % 256)
