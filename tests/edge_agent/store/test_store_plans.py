"""The cost of outbox work does not grow with the table: SQLite's own plans, not a stopwatch."""

import re
from datetime import timedelta

import pytest
from store_helpers import at_broker, filed, key, queued, received

from edge_agent.states import MessageState
from edge_agent.store.rows import Settlement

# Small by nature, whatever the traffic: facts, counters, one row per analyser.
SMALL = {"fact", "counter", "sequence", "sqlite_sequence", "CONSTANT"}


@pytest.fixture
def plans(store, monkeypatch):
    """Collects the plan of every statement the store runs."""
    found: dict[str, list[str]] = {}
    execute = store.database.execute

    def explaining(sql, values=()):
        if re.match(r"SELECT|INSERT|UPDATE|DELETE", sql):
            rows = store.database.connection.execute(f"EXPLAIN QUERY PLAN {sql}", values).fetchall()
            found[sql] = [row[3] for row in rows]
        return execute(sql, values)

    monkeypatch.setattr(store.database, "execute", explaining)
    return found


# Partial indexes over what still waits: walking one is walking the answer.
WAITING = {
    "outbox_head",
    "outbox_open",
    "outbox_replay",
    "outbox_retry",
    "specimen_group_waiting",
    "transmission_interrupted",
    "transmission_receiving",
    "transmission_unconverted",
}
FIRST_ENTRY = "SELECT entry, hash FROM audit ORDER BY entry DESC LIMIT 1"


def growing(plans: dict[str, list[str]]) -> list[str]:
    """Steps that walk a whole table, or sort what an index should give in order."""
    return [f"{step}: {sql}" for sql, steps in plans.items() for step in steps if _grows(step, sql)]


def _grows(step: str, sql: str) -> bool:
    if "TEMP B-TREE" in step or re.match(r"SEARCH (o|outbox) USING INTEGER PRIMARY KEY \(rowid[<>]", step):
        return True
    scan = re.match(r"SCAN (\w+)(?: USING (?:COVERING )?INDEX (\w+))?", step)
    if scan is None or sql == FIRST_ENTRY:
        return False
    return scan.group(1) not in SMALL and scan.group(2) not in WAITING


def test_the_way_of_a_message_uses_indexes_only(store, clock, plans):
    sent = queued(store, "S1", values=("GLU",), holds=("X1",))
    store.next_unconverted()
    store.lookup("xn1", [key("GLU")])
    store.ready(16)
    store.ready(16, newest_since=clock.now(), unanswered_before=clock.now() - timedelta(minutes=10))
    at_broker(store, sent)
    store.timed_out(sent)
    store.later_unanswered(sent)
    store.to_resend()
    store.acknowledged(sent, code="AE", detail="", consumer="ivd", digest_ok=True)
    store.next_due()
    filed(store, sent)
    store.settle(Settlement(received(store), replays=(sent,)))
    store.counts()
    store.messages(states=(MessageState.REJECTED,), after=sent)
    store.attempts(sent)
    store.audit_head()
    assert len(plans) > 30
    assert growing(plans) == []


@pytest.mark.parametrize("index", ["outbox_head", "outbox_state", "outbox_retry", "transmission_unconverted"])
def test_a_missing_index_is_noticed(store, plans, index):
    """The control."""
    store.database.connection.execute(f"DROP INDEX {index}")
    queued(store)
    store.next_unconverted()
    store.ready(16)
    store.messages(states=(MessageState.QUEUED,))
    assert growing(plans) != []


def test_finding_a_specimen_holds_and_old_things_uses_indexes(store, clock, plans):
    sent = queued(store, "S1", holds=("X1",))
    store.held()
    store.find(specimen="S1")
    store.sent_again(sent)
    store.close_orphans()
    store.interrupted("xn1")
    store.purge(filed_before=clock.now(), identities_before=clock.now())
    assert growing({sql: steps for sql, steps in plans.items() if "DISTINCT" not in sql}) == []


def test_what_the_triggers_ask_is_answered_by_the_specimen_s_index(store):
    for extra in ("", " AND number <> 7"):
        (step,) = store.database.rows(
            "EXPLAIN QUERY PLAN SELECT number FROM outbox WHERE specimen_key = x'00' AND graphics = 0"
            f" AND state = 'queued'{extra} ORDER BY number LIMIT 1"
        )
        assert "USING INDEX outbox_queue (specimen_key=? AND graphics=?)" in step[3]


def test_what_a_manifest_and_a_request_ask_uses_indexes_only(store, plans):
    sent = queued(store, "S1")
    filed(store, sent)
    store.heads()
    store.head("0THER000", "xn1")
    store.span(store.identity, "xn1", (1, 500))
    store.send_missing(store.identity, "xn1", [(1, 1)])
    store.replays_wait()
    store.note_ahead(store.identity, "xn1", 1, 5, 0)
    store.ahead()
    assert [step for step in growing(plans) if "ORDER BY s.identity" not in step] == []


def test_a_verification_walks_each_table_by_its_key_and_sorts_nothing(store, plans):
    for n in range(5):
        filed(store, queued(store, f"S{n}", holds=("X1",)))
    plans.clear()
    assert store.verification().run() is None
    assert len(plans) > 20
    by_key = re.compile(r"SEARCH (o|outbox) USING INTEGER PRIMARY KEY \(rowid>")  # from one to the next
    assert [found for found in growing(plans) if not by_key.match(found)] == []
