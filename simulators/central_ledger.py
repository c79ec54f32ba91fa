"""What the management system got and what it filed: one SQLite file that other programs may read meanwhile.

Every delivery is counted as it came off the wire, before anything is recognised as a repeat: a row per delivery, a row
per OBX in it. A delivery is ``filed`` when it was the first of its MSH-10 that was answered AA. Nothing is promised
before ``transaction`` is left: then the rows are on disk (``synchronous=FULL``).
"""

import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulators.er7 import Observation
from simulators.errors import LedgerError

PATIENCE_S = 5.0  # for another program that writes; none should
SCHEMA = """
CREATE TABLE IF NOT EXISTS delivery (
    id INTEGER PRIMARY KEY, at TEXT NOT NULL, topic TEXT NOT NULL, gateway TEXT NOT NULL, analyser TEXT NOT NULL,
    route TEXT NOT NULL, msh10 TEXT NOT NULL, digest TEXT NOT NULL, sequence TEXT NOT NULL, replay TEXT NOT NULL,
    dup INTEGER NOT NULL, answer TEXT NOT NULL, filed INTEGER NOT NULL, remarks TEXT NOT NULL, verdict TEXT,
    payload BLOB NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS delivery_msh10 ON delivery (gateway, msh10);
CREATE TABLE IF NOT EXISTS observation (
    delivery INTEGER NOT NULL REFERENCES delivery, position INTEGER NOT NULL, specimen TEXT NOT NULL,
    role TEXT NOT NULL, patient TEXT NOT NULL, code TEXT NOT NULL, name TEXT NOT NULL, supplemental TEXT NOT NULL,
    type TEXT NOT NULL, value TEXT NOT NULL, value_text TEXT NOT NULL, unit TEXT NOT NULL, flags TEXT NOT NULL,
    status TEXT NOT NULL, run TEXT NOT NULL, time TEXT NOT NULL, notes TEXT NOT NULL, PRIMARY KEY (delivery, position)
) STRICT;
CREATE TABLE IF NOT EXISTS forgotten (delivery INTEGER PRIMARY KEY REFERENCES delivery) STRICT;
"""
OF_ANALYSER = """
SELECT CAST(sequence AS INTEGER) AS number, msh10, digest, route FROM delivery
WHERE filed = 1 AND gateway = ?1 AND analyser = ?3 AND msh10 >= ?2 || '-' AND msh10 < ?2 || '.'
"""
WIRE = """
SELECT d.id AS delivery, d.at, d.topic, d.gateway, d.analyser, d.route, d.msh10, d.digest, d.sequence, d.replay, d.dup,
       d.answer, d.filed, o.* FROM delivery d JOIN observation o ON o.delivery = d.id
"""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One PUBLISH as it arrived. ``remarks`` are what was odd about it, in words without content."""

    at: str
    topic: str
    gateway: str  # the part of the topic before "up/"
    analyser: str
    route: str
    msh10: str
    digest: str  # SHA-256 of the payload as received
    sequence: str
    replay: str
    dup: bool
    answer: str
    filed: bool
    remarks: str
    payload: bytes
    observations: tuple[Observation, ...] = ()


@dataclass(frozen=True, slots=True)
class Filing:
    """One OBX of one delivery."""

    delivery: int
    at: str
    topic: str
    analyser: str
    route: str
    msh10: str
    digest: str
    sequence: str
    dup: bool
    filed: bool
    observation: Observation


class CentralLedger:
    """Without a path everything is kept in memory. Usable from several threads; one of them at a time."""

    def __init__(self, path: Path | None = None, *, read_only: bool = False) -> None:
        self._lock = threading.RLock()
        try:
            self._db = _connect(path, read_only)
            if read_only:
                self._db.execute(TOTALS)  # a file that is no ledger is found out here
            else:
                self._db.executescript(SCHEMA)
        except sqlite3.Error as error:
            raise LedgerError(f"The ledger cannot be opened: {error}.", "Check the file's name.") from error

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def first(self, gateway: str, msh10: str) -> tuple[str, bool] | None:
        """(digest of the first delivery with this id, whether one of them was filed), or None."""
        with self._lock:
            row = self._db.execute(
                "SELECT digest, (SELECT max(filed) FROM delivery WHERE gateway = ?1 AND msh10 = ?2) FROM delivery "
                "WHERE gateway = ?1 AND msh10 = ?2 AND id NOT IN (SELECT delivery FROM forgotten) ORDER BY id LIMIT 1",
                (gateway, msh10),
            ).fetchone()
        return None if row is None else (row[0], bool(row[1]))

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """On disk when the block is left; nothing of it is when an error comes out of it."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                self._db.execute("ROLLBACK")
                raise

    def add(self, delivery: Delivery) -> int:
        """Within a ``transaction``. The delivery's number."""
        facts: dict[str, Any] = {name: getattr(delivery, name) for name in Delivery.__slots__}
        observations: Sequence[Observation] = facts.pop("observations")
        number = self._insert("delivery", facts)
        for position, observation in enumerate(observations):
            row = {name: getattr(observation, name) for name in Observation.__slots__}
            row["flags"] = "~".join(observation.flags)
            self._insert("observation", {"delivery": number, "position": position, **row})
        return number

    def _insert(self, table: str, facts: Mapping[str, Any]) -> int:
        names = ", ".join(facts)
        marks = ", ".join("?" for _ in facts)
        sql = f"INSERT INTO {table} ({names}) VALUES ({marks})"  # noqa: S608 - names are this module's own
        number = self._db.execute(sql, tuple(facts.values())).lastrowid
        assert number is not None
        return number

    def filings(self, *, filed_only: bool = False) -> Iterator[Filing]:
        """Every OBX in the order of arrival, retries included."""
        sql = WIRE + ("WHERE d.filed = 1 " if filed_only else "") + "ORDER BY d.id, o.position"
        with self._lock:
            rows = self._db.execute(sql).fetchall()
        for row in rows:
            yield _filing(row)

    def forget(self, count: int) -> list[str]:
        """Be as if restored from a backup: the newest ``count`` filings are gone. Their ids, oldest first.

        That they came is still known to ``filings``, which is what the wire brought.
        """
        with self.transaction():
            rows = self._db.execute(
                "SELECT id, msh10 FROM delivery WHERE filed = 1 ORDER BY id DESC LIMIT ?", (count,)
            ).fetchall()
            for number, msh10 in rows:
                self._db.execute("UPDATE delivery SET filed = 0 WHERE id = ?", (number,))
                self._db.execute("INSERT INTO forgotten SELECT id FROM delivery WHERE msh10 = ?", (msh10,))
        return [msh10 for _, msh10 in reversed(rows)]

    def heads(self, gateway: str) -> list[tuple[str, str, int]]:
        """(store, analyser, highest sequence number filed) of a gateway."""
        sql = (
            "SELECT substr(msh10, 1, 8) AS store, analyser, max(CAST(sequence AS INTEGER)) FROM delivery"
            " WHERE filed = 1 AND gateway = ? GROUP BY store, analyser"
        )
        with self._lock:
            return [tuple(row) for row in self._db.execute(sql, (gateway,))]

    def numbers(self, gateway: str, store: str, analyser: str) -> set[int]:
        """The sequence numbers of what is filed."""
        with self._lock:
            return {row["number"] for row in self._db.execute(OF_ANALYSER, (gateway, store, analyser))}

    def lines(
        self, gateway: str, store: str, analyser: str, route: str, first: int, last: int
    ) -> list[tuple[int, str, str]]:
        """(sequence, MSH-10, digest) of what is filed of one route."""
        sql = OF_ANALYSER + " AND route = ?4 AND number BETWEEN ?5 AND ?6 ORDER BY number"
        with self._lock:
            rows = self._db.execute(sql, (gateway, store, analyser, route, first, last)).fetchall()
        return [(row["number"], row["msh10"], row["digest"]) for row in rows]

    def payload(self, msh10: str) -> bytes | None:
        with self._lock:
            row = self._db.execute("SELECT payload FROM delivery WHERE msh10 = ? ORDER BY id", (msh10,)).fetchone()
        return None if row is None else bytes(row[0])

    def unjudged(self) -> list[tuple[int, bytes]]:
        with self._lock:
            return [
                (n, bytes(p)) for n, p in self._db.execute("SELECT id, payload FROM delivery WHERE verdict IS NULL")
            ]

    def judged(self, number: int, verdict: str) -> None:
        with self._lock:
            self._db.execute("UPDATE delivery SET verdict = ? WHERE id = ?", (verdict, number))

    def totals(self) -> dict[str, int]:
        """deliveries, messages, filed_messages, filed_results, retries, not_filed, judged, refused_by_judge."""
        with self._lock:
            row = self._db.execute(TOTALS).fetchone()
        return dict(row)


TOTALS = """
SELECT count(*) AS deliveries, count(DISTINCT gateway || msh10) AS messages, coalesce(sum(filed), 0) AS filed_messages,
       (SELECT count(*) FROM observation o JOIN delivery d ON d.id = o.delivery WHERE d.filed = 1 AND o.type <> 'ED'
           AND o.supplemental = '') AS filed_results,
       count(*) - count(DISTINCT gateway || msh10) AS retries,
       count(DISTINCT gateway || msh10) - coalesce(sum(filed), 0) AS not_filed,
       count(verdict) AS judged, count(nullif(verdict, '')) AS refused_by_judge
FROM delivery
"""


def _connect(path: Path | None, read_only: bool) -> sqlite3.Connection:
    name = ":memory:" if path is None else path.absolute().as_uri() + ("?mode=ro" if read_only else "")
    db = sqlite3.connect(name, uri=True, isolation_level=None, check_same_thread=False, timeout=PATIENCE_S)
    db.row_factory = sqlite3.Row
    if not read_only:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
    return db


def _filing(row: sqlite3.Row) -> Filing:
    names = [name for name in Observation.__slots__ if name != "flags"]
    flags = tuple(flag for flag in row["flags"].split("~") if flag)
    observation = Observation(flags=flags, **{name: row[name] for name in names})
    return Filing(
        delivery=row["delivery"],
        at=row["at"],
        topic=row["topic"],
        analyser=row["analyser"],
        route=row["route"],
        msh10=row["msh10"],
        digest=row["digest"],
        sequence=row["sequence"],
        dup=bool(row["dup"]),
        filed=bool(row["filed"]),
        observation=observation,
    )
