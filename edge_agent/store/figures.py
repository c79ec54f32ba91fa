"""Sums and short lists over the whole store, in slices small enough for the ``later`` lane.

No text that came from an analyser or the management system leaves here but codes and states; who asks decides which of
those may be shown.
"""

from edge_agent.store.connection import Database, Row
from edge_agent.store.store import Store

SLICE = 2000  # rows read in one job


def highest(store: Store) -> tuple[int, int]:
    """The newest message's number and the newest transmission's."""
    message = store.database.value("SELECT max(number) FROM outbox")
    return message or 0, store.database.value("SELECT max(id) FROM transmission") or 0


def unread(database: Database) -> int:
    """Transmissions nobody has converted yet, also those that are still coming in."""
    return int(database.value("SELECT count(*) FROM transmission WHERE converted = 0"))


def messages(store: Store, after: int) -> list[Row]:
    """(analyser, route, state, code, how many) of one slice."""
    return store.database.rows(
        "SELECT analyser, route, state, code, count(*) FROM outbox WHERE number > ? AND number <= ?"
        " GROUP BY analyser, route, state, code",
        (after, after + SLICE),
    )


def transmissions(store: Store, after: int) -> list[Row]:
    """(analyser, profile, revision, profile's hash, state, why it ended, how many) of one slice."""
    return store.database.rows(
        "SELECT analyser, profile, revision, profile_hash, state, reason, count(*) FROM transmission"
        " WHERE id > ? AND id <= ? GROUP BY analyser, profile, revision, profile_hash, state, reason",
        (after, after + SLICE),
    )


def recent(store: Store, limit: int) -> list[int]:
    """The newest transmissions."""
    return [row[0] for row in store.database.rows("SELECT id FROM transmission ORDER BY id DESC LIMIT ?", (limit,))]


def schema(store: Store) -> int:
    return int(store.database.value("PRAGMA user_version"))
