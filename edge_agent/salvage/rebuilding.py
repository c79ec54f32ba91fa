"""A new store out of what was judged fit, written so that its own triggers count what they count.

Promised: the new database passes the check every start makes; numbers, ids, sequences and texts are those of the old
one, numbers that were given are not given again; the audit chain goes on behind the last entry that verifies, with one
entry that says what a salvage did. Not promised: anything before ``placing.py`` put it in its place.
"""

import sqlite3
from collections.abc import Mapping
from pathlib import Path

from edge_agent.salvage.told import Chain
from edge_agent.store import audit, schema, told
from edge_agent.store.connection import Database
from edge_agent.store.coverage import all_facts

# Facts that are said anew: identity, last_id, where the audit chain begins; counters the triggers keep.
# Filled one after another; what refers to a row comes behind it.
_FILL = (
    "INSERT INTO fact SELECT * FROM found.fact"
    " WHERE name NOT IN ('identity', 'last_id', 'audit_base', 'audit_gone', 'seen_forgotten')"
    " AND name NOT IN (SELECT name FROM fact)",
    "INSERT INTO sequence SELECT * FROM found.sequence",
    "INSERT INTO counter SELECT * FROM found.counter WHERE kind NOT IN ('message', 'held', 'failed', 'interrupted')",
    "INSERT INTO {transmission} SELECT {transmission_values} FROM found.transmission ORDER BY id",
    "UPDATE transmission SET state = f.state FROM found.transmission f WHERE f.id = transmission.id"
    " AND f.state <> 'receiving'",
    "INSERT INTO chunk SELECT * FROM found.chunk",
    "INSERT INTO {specimen_group} SELECT {specimen_group_values} FROM found.specimen_group ORDER BY id",
    "UPDATE specimen_group SET released = f.released FROM found.specimen_group f WHERE f.id = specimen_group.id"
    " AND f.released > 0",
    "INSERT INTO observation SELECT * FROM found.observation",
    "INSERT INTO seen SELECT * FROM found.seen",
    "INSERT INTO {outbox} SELECT {outbox_values} FROM found.outbox ORDER BY number",
    "INSERT INTO payload SELECT * FROM found.payload",
    "UPDATE outbox SET state = f.state FROM found.outbox f WHERE f.number = outbox.number AND f.state <> 'queued'",
    "UPDATE outbox SET head = 0 WHERE head = 1",
    "UPDATE outbox SET head = 1 WHERE number IN"
    " (SELECT min(number) FROM outbox WHERE state = 'queued' GROUP BY specimen_key, graphics)",
    "INSERT INTO attempt SELECT * FROM found.attempt",
    "UPDATE transmission SET settled = f.settled FROM found.transmission f WHERE f.id = transmission.id",
)
# Rows come as new and are then brought to where they were, as in their first life.
_FIRST: Mapping[str, Mapping[str, str]] = {
    "transmission": {"state": "'receiving'", "unsettled": "0"},
    "specimen_group": {"released": "0"},
    "outbox": {"state": "'queued'", "head": "0"},
}
_KNOWN = frozenset(
    {
        *("fact", "counter", "sequence", "transmission", "chunk", "specimen_group", "observation", "seen", "outbox"),
        *("payload", "attempt", "audit", "sqlite_sequence"),
    }
)


def rebuild(database: Database, scratch: Path, version: int, identity: str, *, anew: bool) -> dict[str, int]:
    """Rows by table. ``database``: a new one, open. Raises sqlite3.Error, StorageFailedError."""
    schema.migrate(database, [step for step in schema.migrations() if step[0] <= version])
    connection = database.connection
    connection.execute("ATTACH DATABASE ? AS found", (str(scratch),))
    tables = {str(row[0]) for row in connection.execute("SELECT name FROM found.sqlite_schema WHERE type = 'table'")}
    with database.writing():
        connection.execute("DELETE FROM audit")  # what the migrations told
        connection.execute("DELETE FROM sqlite_sequence WHERE name = 'audit'")
        for sql in _FILL:
            connection.execute(sql.format_map(_columns(connection)))
        for table in sorted(_ours(connection) & tables - _KNOWN):
            connection.execute(f"INSERT INTO {table} SELECT * FROM found.{table}")  # noqa: S608  # our schema's
        _chain(connection, anew=anew)
        _number(connection, anew=anew)
        database.set_fact("identity", identity)
    connection.execute("DETACH DATABASE found")
    schema.migrate(database)
    return counts(connection)


def counts(connection: sqlite3.Connection) -> dict[str, int]:
    """Rows by table, of those that mean something to a person."""
    tables = ("transmission", "chunk", "specimen_group", "observation", "seen", "outbox", "attempt", "audit")
    sql = "SELECT count(*) FROM "
    return {table: connection.execute(sql + table).fetchone()[0] for table in tables}


def _ours(connection: sqlite3.Connection) -> set[str]:
    return {str(row[0]) for row in connection.execute("SELECT name FROM main.sqlite_schema WHERE type = 'table'")}


def _columns(connection: sqlite3.Connection) -> dict[str, str]:
    words = {}
    for table, first in _FIRST.items():
        names = [str(row[0]) for row in connection.execute("SELECT name FROM pragma_table_info(?)", (table,))]
        words[table] = f"{table} ({', '.join(names)})"
        words[f"{table}_values"] = ", ".join(first.get(name, name) for name in names)
    return words


def _chain(connection: sqlite3.Connection, *, anew: bool) -> None:
    """The entries there are; ``anew``: none of them, for they tell of rows that are lost. They stay in the evidence."""
    if not anew:
        connection.execute("INSERT INTO audit SELECT * FROM found.audit")
        connection.execute(
            "INSERT INTO fact SELECT * FROM found.fact WHERE name IN ('audit_base', 'audit_gone', 'seen_forgotten')"
        )


def _number(connection: sqlite3.Connection, *, anew: bool) -> None:
    """Numbers of lost rows are not given to others. Of transmissions a whole chain tells all, whatever the count is."""
    for table in ("transmission", "specimen_group", "outbox"):
        found = connection.execute("SELECT max(seq) FROM found.sqlite_sequence WHERE name = ?", (table,)).fetchone()
        if table == "transmission" and not anew:
            found = connection.execute(
                "SELECT max(transmission) FROM (SELECT transmission FROM found.told_bytes"
                " UNION ALL SELECT transmission FROM found.told_purged)"
            ).fetchone()
        connection.execute("DELETE FROM sqlite_sequence WHERE name = ?", (table,))
        sql = f"SELECT ifnull(max(rowid), 0) FROM {table}"  # noqa: S608  # our schema's
        highest = connection.execute(sql).fetchone()[0]
        connection.execute("INSERT INTO sqlite_sequence VALUES (?, ?)", (table, max(highest, found[0] or 0)))


def tell(database: Database, facts: Mapping[str, str], chain: Chain, *, anew: bool) -> None:
    """The entry that says what happened; where the chain begins anew, every row that is here is told again.

    As retention does it (``store/retention.py``) when it shortens the chain.
    """
    with database.writing():
        if anew:
            database.set_fact(audit.BASE, f"{chain.entry} {chain.hash.hex()}")
        audit.add(database, "salvaged", facts)
        if not anew:
            return
        gone = str(database.value("SELECT seq FROM sqlite_sequence WHERE name = 'transmission'") or 0)
        before = str(database.steady.now_us())
        database.set_fact(told.GONE, gone)
        database.set_fact(told.FORGOTTEN, before)
        begins = {"entry": str(chain.entry), "hash": chain.hash.hex(), "gone": gone, "before": before}
        audit.add(database, "shortened", begins)
        for (number,) in database.rows("SELECT id FROM transmission WHERE state <> 'receiving' ORDER BY id"):
            audit.add(database, "kept", all_facts(database, number))
