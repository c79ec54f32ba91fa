"""Whatever is changed behind the agent's back is named, or listed here with the reason why it need not be.

One store with results of every fate; each value of each row is changed in turn, each row taken away, inside a
transaction that is undone. The negative control is the chain without the comparison: it finds none of it.
"""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from store_helpers import at_broker, converted, filed, frame, held, key, message, queued, received, source

from edge_agent.states import ItemState, MessageState, TransmissionEvent
from edge_agent.store.rows import NewGroup, NewObservation, Settlement
from edge_agent.store.store import Store

SECRETS = ("4711", "GLU", "X1", "MSH")
STATES = {
    "transmission": ("receiving", "complete", "interrupted", "completed-by"),
    "specimen_group": tuple(ItemState),
    "observation": tuple(ItemState),
    "outbox": tuple(MessageState),
}
COLUMNS_NOT_COVERED = {
    ("transmission", "settled"): "when what is filed may go; that it went is told",
    ("outbox", "attempts"): "how often it was tried",
    ("outbox", "replay"): "what the next publication says of itself",
    ("outbox", "rejected"): "since when it is tried by itself; it stays rejected until it is filed or a person decides",
    ("outbox", "retry_at"): "when it is tried next",
    ("outbox", "replay_at"): "when a filed message goes out once more",
    ("outbox", "replayed"): "when a filed message went out once more",
}
TABLES_NOT_COVERED = {"attempt": "what happened on the way; each answer and decision is an entry of its own"}
FACTS_NOT_COVERED = {
    "started": "which schema last started well: whether a copy from before an upgrade may go",
    "commits": "a smaller one gives the store a new identity at the next start, which is told",
    "proved": "when storage last worked again",
    "last_backup": "what `status` says; the backup itself is an entry",
    "ahead.TESTSTOR.xn1": "what the alarm says of a restored store; that it was found is an entry",
}


@pytest.fixture
def busy(store: Store, clock) -> Store:
    """Filed, at the broker, rejected, blocked, superseded, set aside, held, failed, duplicate, released, interrupted,
    completed, receiving, purged; and a chain that does not begin at the beginning any more."""
    gone = queued(store, "S-4711-gone", values=("GLU gone",))
    filed(store, gone)
    queued(store, "S-4711-old", values=("GLU old",))
    clock.advance(days=500)
    store.audit("note", {"n": "1"})
    while store.purge(
        filed_before=clock.now() - timedelta(days=90), identities_before=clock.now() - timedelta(days=490)
    ):
        pass
    kept = queued(store, "S-4711-kept", values=("GLU kept",), holds=("X1",))
    filed(store, kept)
    short_lived = queued(store, "S-4711-short", values=("GLU short",))
    filed(store, short_lived)
    store.settle(Settlement(received(store), replays=(kept,)))
    clock.advance(days=1)
    at_broker(store, queued(store, "S-4711-broker"))
    store.acknowledged(queued(store, "S-4711-no"), code="AE", detail="no", consumer="ivd", digest_ok=True)
    store.block(queued(store, "S-4711-big"), "0x95", "too large")
    store.set_aside(queued(store, "S-4711-aside"), who="tech", note="wrong tube")
    first = queued(store, "S-4711-twice")
    queued(store, "S-4711-twice", replaces=first)
    refused = queued(store, "S-4711-refused", "dx2")
    store.puback(refused, 0x87, "not authorised")
    queued(store, "S-4711-refused", "dx2")
    store.settle(Settlement(received(store), holds=(("driver", "KeyError"),)))
    again = NewObservation(key("GLU kept"), "GLU", ItemState.DUPLICATE, message_id=kept)
    store.settle(
        Settlement(received(store), (NewGroup("S-4711-kept", "P", ItemState.DUPLICATE, observations=(again,)),))
    )
    broken = received(store, event=TransmissionEvent.BROKEN, reason="link")
    store.settle(Settlement(broken))
    outgoing = message(store, "S-4711-whole")
    whole = NewGroup(
        "S-4711-whole", "P", ItemState.CONVERTED, "", "", True, (converted("GLU whole", outgoing.id),), (outgoing,)
    )
    store.settle(Settlement(received(store), (whole,), completes=(broken,)))
    store.settle(
        Settlement(received(store), (NewGroup("S-4711", "P", ItemState.HELD, "x", "", False, (held("X1b"),)),))
    )
    store.release(between=(store.newest()[0], store.newest()[0]), who="tech", note="mapped")
    received(store, event=TransmissionEvent.BROKEN, reason="link")
    received(store)
    store.send_missing(store.identity, "xn1", [(1, 9)])
    store.note_ahead(store.identity, "xn1", 5, 9, 2)
    store.append(store.open_transmission(source()), [frame()])
    assert store.verification().run() is None
    return store


@pytest.fixture
def tampering(busy: Store) -> Iterator[Store]:
    """As somebody with the sqlite3 shell: nothing but the tables' triggers is in the way."""
    busy.database.execute("PRAGMA foreign_keys = OFF")
    busy.database.execute("PRAGMA ignore_check_constraints = ON")
    yield busy
    busy.database.execute("PRAGMA ignore_check_constraints = OFF")
    busy.database.execute("PRAGMA foreign_keys = ON")


def tables(store: Store) -> list[str]:
    rows = store.database.rows("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
    return [row[0] for row in rows]


def columns(store: Store, table: str) -> list[tuple[str, str, int]]:
    """Name, type, place in the primary key."""
    return [(row[1], row[2], row[5]) for row in store.database.rows(f"PRAGMA table_info({table})")]


def rows_of(store: Store, table: str) -> list[dict[str, object]]:
    names = [name for name, *_ in columns(store, table)]
    return [dict(zip(names, row, strict=True)) for row in store.database.rows(f"SELECT * FROM {table}")]


def where(store: Store, table: str, row: dict[str, object]) -> tuple[str, list[object]]:
    keys = [name for name, _, place in columns(store, table) if place] or list(row)
    return " AND ".join(f"{name} IS ?" for name in keys), [row[name] for name in keys]


def others(table: str, name: str, kind: str, value: object) -> list[object]:
    """What somebody might write instead."""
    if name == "state" and table in STATES:
        return [state for state in STATES[table] if state != value]
    if kind == "INTEGER" or isinstance(value, int):
        return [1 if value is None else value + 1]  # type: ignore[operator]  # an integer
    if kind == "BLOB":
        return [b"x" if value is None else bytes([value[0] ^ 1]) + value[1:]]  # type: ignore[index]  # bytes
    return [f"0{value}" if table == "fact" else f"{value}x"]


def finding(store: Store, sql: str, values: list[object]) -> str | None:
    """What the verification says after ``sql``, which is then undone; the chain alone is asked, too."""
    store.database.begin()
    try:
        store.database.execute(sql, values)
        found = store.verification().run()
        if found is not None:
            assert not [secret for secret in SECRETS if secret in found.sentence], found.sentence
        return found.sentence if found else None
    finally:
        store.database.rollback()


def not_covered(store: Store, table: str, name: str, row: dict[str, object]) -> str:
    """Why a change here need not be named; "" when it must be."""
    if table == "fact" and row["name"] == "last_id" and name == "value":
        return "numbers may be left out; that they are not given out again is tested below"
    if table == "fact" and row["name"] in FACTS_NOT_COVERED:
        return FACTS_NOT_COVERED[str(row["name"])]
    if table == "counter" and row["value"] == 0 and name != "value":
        return "nothing is counted by it"
    if table == "sqlite_sequence" and row["name"] != "audit":
        return "SQLite never goes below the highest number there is"
    if table == "outbox" and row["state"] == "queued" and name in ("code", "reason"):
        return "what the broker last refused it for; it is tried again"
    if table == "seen" and not row_there(store, row["transmission"]) and name != "transmission":
        return "its transmission was filed and has gone: a repeat after those months would be new"
    if table == "transmission" and row["state"] == "receiving" and name != "id":
        return "still coming in: covered from its end on"
    if table == "chunk" and state_of(store, row["transmission"]) == "receiving":
        return "still coming in: covered from its end on"
    return TABLES_NOT_COVERED.get(table, COLUMNS_NOT_COVERED.get((table, name), ""))


def row_there(store: Store, transmission: object) -> bool:
    return state_of(store, transmission) is not None


def state_of(store: Store, transmission: object) -> object:
    return store.database.value("SELECT state FROM transmission WHERE id = ?", (transmission,))


def test_every_change_of_every_value_is_named_or_listed_with_a_reason(tampering):
    unnoticed, named, listed = [], 0, 0
    for table in tables(tampering):
        for row in rows_of(tampering, table):
            place, keys = where(tampering, table, row)
            for name, kind, _ in columns(tampering, table):
                for other in others(table, name, kind, row[name]):
                    sql = f"UPDATE OR REPLACE {table} SET {name} = ? WHERE {place}"
                    said = finding(tampering, sql, [other, *keys])
                    if said:
                        named += 1
                    elif not_covered(tampering, table, name, row):
                        listed += 1
                    else:
                        unnoticed.append((table, name, keys, row[name], other))
    print(f"{named} named, {listed} listed, {len(unnoticed)} unnoticed")
    assert unnoticed == []
    assert named > 600


def test_every_row_taken_away_is_named_or_listed_with_a_reason(tampering):
    unnoticed, named = [], 0
    for table in tables(tampering):
        for row in rows_of(tampering, table):
            place, keys = where(tampering, table, row)
            said = finding(tampering, f"DELETE FROM {table} WHERE {place}", keys)
            named += said is not None
            if not said and not not_covered(tampering, table, "", row):
                unnoticed.append((table, keys))
    assert unnoticed == []
    assert named > 100
