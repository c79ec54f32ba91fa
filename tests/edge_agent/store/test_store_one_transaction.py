"""What is decided and the entry that tells it are one transaction: where the entry cannot be written, nothing is."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from store_helpers import at_broker, converted, filed, frame, held, message, queued, received, source

from edge_agent.states import ItemState, TransmissionEvent
from edge_agent.store import audit, backup
from edge_agent.store.rows import NewGroup, Settlement
from edge_agent.store.store import Store

QUEUED, BROKER, FILED, BLOCKED = (f"TESTSTOR-{number:011d}" for number in (1, 2, 3, 4))
RECEIVED, COMING = 6, 7


@pytest.fixture
def some(store: Store, clock) -> Store:
    queued(store, "S1")
    at_broker(store, queued(store, "S2"))
    filed(store, queued(store, "S3"))
    store.block(queued(store, "S4"), "0x95", "too large")
    store.settle(Settlement(received(store), (NewGroup("S5", "P", ItemState.HELD, observations=(held("X"),)),)))
    assert received(store) == RECEIVED
    store.append(store.open_transmission(source()), [frame()])
    clock.advance(days=500)
    return store


def settle(store: Store) -> None:
    """With everything a settlement can change: a message, one it replaces, a resend, a repeat."""
    out = message(store, "S1", replaces=QUEUED)
    group = NewGroup("S1", "P", ItemState.CONVERTED, observations=(converted("NEW", out.id),), messages=(out,))
    store.settle(Settlement(RECEIVED, (group,), replays=(FILED,)))


def answer(code: str) -> Callable[[Store], object]:
    return lambda s: s.acknowledged(BROKER, code=code, detail="", consumer="ivd", digest_ok=True)


DECISIONS: dict[str, Callable[[Store], object]] = {
    "the broker's answer": lambda s: s.puback(QUEUED, 0),
    "the broker's refusal": lambda s: s.puback(BROKER, 0x97),
    "filed": answer("AA"),
    "rejected": answer("AE"),
    "blocked": lambda s: s.block(QUEUED, "0x95", "too large"),
    "requeued": lambda s: s.requeue(BLOCKED, replay="operator", who="kim", note="n"),
    "sent again": lambda s: s.send_again(FILED, who="kim", note="n"),
    "set aside": lambda s: s.set_aside(QUEUED, who="kim", note="n"),
    "missing there": lambda s: s.send_missing(s.identity, "xn1", [(1, 9)]),
    "more there": lambda s: s.note_ahead(s.identity, "xn1", 4, 9, 1),
    "released": lambda s: s.release(who="kim", note="n"),
    "settled": settle,
    "ended": lambda s: s.end(COMING, TransmissionEvent.ENDED, "L"),
    "ended with its last frame": lambda s: s.append(COMING, [frame()], end="L"),
    "a restart": lambda s: s.close_orphans(),
    "purged": lambda s: s.purge(
        filed_before=s.database.clock.now() - timedelta(days=90),
        identities_before=s.database.clock.now() - timedelta(days=400),
    ),
    "a backup": lambda s: backup.note(s, "name", s.database.clock.now(), {}),
}


def rows(store: Store) -> dict[str, list[tuple[object, ...]]]:
    tables = [name for (name,) in store.database.rows("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    found = {table: store.database.rows(f"SELECT * FROM {table}") for table in tables}
    # Message ids that were reserved for what failed are not given out again.
    found["fact"] = [row for row in found["fact"] if row[0] not in ("commits", "last_id")]
    return found


@pytest.mark.parametrize("decision", DECISIONS)
def test_nothing_is_decided_without_its_entry(some, monkeypatch, decision):
    def full(*_words: object) -> None:
        raise RuntimeError("no entry")

    before = rows(some)
    with monkeypatch.context() as patched:
        patched.setattr(audit, "add", full)
        with pytest.raises(RuntimeError, match="no entry"):
            DECISIONS[decision](some)
    assert rows(some) == before
    assert not some.database.connection.in_transaction
    DECISIONS[decision](some)  # the control: with its entry it is
    assert rows(some) != before
