"""What the management system misses: counted, sent once more, and told apart from what cannot be sent."""

from datetime import timedelta

import pytest
from store_helpers import IDENTITY, at_broker, filed, ids, queued

from edge_agent.states import MessageState
from edge_agent.store.audit import Entry
from edge_agent.store.reconciliation import Head, Missed, spans_of
from edge_agent.store.rows import Route
from edge_agent.store.store import Store


def sent(store: Store, count: int, analyser: str = "xn1") -> list[str]:
    """That many filed messages, of as many specimens."""
    made = [queued(store, f"{analyser}-{number}", analyser) for number in range(count)]
    for message in made:
        filed(store, message)
    return made


def entries(store: Store, kind: str) -> list[Entry]:
    return [entry for entry in store.audit_entries(limit=10_000) if entry.kind == kind]


def test_each_analyser_has_its_own_numbers_from_1(store) -> None:
    sent(store, 3)
    sent(store, 1, "c1")
    assert store.heads() == [Head(IDENTITY, "c1", 1, 1), Head(IDENTITY, "xn1", 3, 1)]
    assert store.head(IDENTITY, "xn1") == Head(IDENTITY, "xn1", 3, 1)
    assert store.head(IDENTITY, "never") == Head(IDENTITY, "never", 0, None)
    assert store.head("0THER000", "xn1") is None


def test_a_span_names_what_is_kept_and_whether_it_is_filed(store) -> None:
    first, _ = sent(store, 2)
    waits = queued(store, "S9", route=Route.QC)
    lines = store.span(IDENTITY, "xn1", (1, 3))
    assert [(line.sequence, line.route, line.filed) for line in lines] == [
        (1, Route.RESULT, True),
        (2, Route.RESULT, True),
        (3, Route.QC, False),
    ]
    assert (lines[0].id, lines[2].id) == (first, waits)
    assert lines[0].digest == store.message(first).digest
    assert [line.sequence for line in store.span(IDENTITY, "xn1", (2, 2))] == [2]


def test_what_is_filed_goes_out_once_more_with_the_same_id_and_bytes(store) -> None:
    messages = sent(store, 4)
    before = {m: store.message(m) for m in messages}
    assert store.send_missing(IDENTITY, "xn1", [(2, 3)]) == Missed(again=2)
    rows = store.ready(10)
    assert ids(rows) == messages[1:3]
    for row in rows:
        assert (row.payload, row.sequence, row.state) == (
            before[row.id].payload,
            before[row.id].sequence,
            MessageState.FILED,
        )
        assert row.replay == "operator"
    assert [a.detail for a in store.attempts(messages[1])][-1] == "missing at the management system"
    assert [dict(e.facts) for e in entries(store, "reconcile")] == [
        {"store": IDENTITY, "analyser": "xn1", "numbers": "2-3"}
    ]
    assert store.replays_wait()
    for message in messages[1:3]:
        store.published(message, replay="operator")
        store.acknowledged(message, code="AA", detail="", consumer="ivd", digest_ok=True)
    assert store.ready(10) == []
    assert not store.replays_wait()
    assert store.audit_verify() is None


def test_one_message_goes_at_most_every_half_hour_however_often_it_is_asked_for(store, clock) -> None:
    [message] = sent(store, 1)
    assert store.send_missing(IDENTITY, "xn1", [(1, 1)]) == Missed(again=1)
    assert store.send_missing(IDENTITY, "xn1", [(1, 1)]) == Missed(waiting=1)
    store.acknowledged(message, code="AA", detail="", consumer="ivd", digest_ok=True)
    clock.advance(minutes=29)
    assert store.send_missing(IDENTITY, "xn1", [(1, 1)]) == Missed(waiting=1)
    assert len(entries(store, "reconcile")) == 1
    clock.advance(minutes=1)
    assert store.send_missing(IDENTITY, "xn1", [(1, 1)]) == Missed(again=1)


def test_a_clock_set_back_does_not_keep_a_message_back(store, clock) -> None:
    [message] = sent(store, 1)
    store.send_missing(IDENTITY, "xn1", [(1, 1)])
    store.acknowledged(message, code="AA", detail="", consumer="ivd", digest_ok=True)
    clock.advance(days=-3)
    assert store.send_missing(IDENTITY, "xn1", [(1, 1)]) == Missed(again=1)


def test_what_is_on_its_way_set_aside_or_gone_is_counted_and_not_sent(store, clock) -> None:
    sent(store, 1)
    clock.advance(days=100)
    queued(store, "S2")
    at_broker(store, queued(store, "S3"))
    store.set_aside(queued(store, "S4"), who="kim", note="by hand")
    while store.purge(filed_before=clock.now() - timedelta(days=90), identities_before=clock.now()):
        pass
    assert store.send_missing(IDENTITY, "xn1", [(1, 4)]) == Missed(waiting=2, closed=1, gone=1)
    assert entries(store, "reconcile") == []
    assert store.heads() == [Head(IDENTITY, "xn1", 4, 2)]


def test_retention_leaves_what_is_to_go_out_once_more(store, clock) -> None:
    sent(store, 1)
    clock.advance(days=100)
    store.send_missing(IDENTITY, "xn1", [(1, 1)])
    while store.purge(filed_before=clock.now(), identities_before=clock.now() - timedelta(days=400)):
        pass
    assert len(store.ready(10)) == 1


def test_that_the_management_system_has_more_is_remembered_until_forgotten_and_told_anew_only_for_more(
    open_store, clock
) -> None:
    store = open_store(new_identity=lambda: IDENTITY)
    sent(store, 2)
    queued_at = store.messages(states=(MessageState.FILED,))[-1].queued
    clock.advance(hours=1)
    told = store.note_ahead(IDENTITY, "xn1", 2, 5, 1)
    assert (told.last, told.last_filed, told.lacking, told.since, told.told) == (2, 5, 1, queued_at, clock.now())
    assert store.note_ahead(IDENTITY, "xn1", 2, 5, 1) is None
    sent(store, 1)
    again = store.note_ahead(IDENTITY, "xn1", 3, 6, 0)
    assert (again.last, again.last_filed, again.since) == (2, 6, queued_at)
    store.close()
    store = open_store()
    assert store.ahead() == [again]
    assert [e.facts["last_filed"] for e in entries(store, "missing-after-restore")] == ["5", "6"]
    store.forget_ahead(clock.now())
    assert store.ahead() == [again]
    store.forget_ahead(clock.now() + timedelta(seconds=1))
    assert store.ahead() == []


@pytest.mark.parametrize("asked", [[(1, 1)], [(1, 3), (5, 6)], [(7, 7)]])
def test_nothing_of_another_analyser_or_store_is_sent(store, asked) -> None:
    sent(store, 7, "c1")
    sent(store, 1)
    missed = store.send_missing(IDENTITY, "c1", asked)
    assert missed.again == sum(last - first + 1 for first, last in asked)
    assert {row.analyser for row in store.ready(20)} == {"c1"}
    assert store.send_missing("0THER000", "c1", asked).again == 0


def test_what_was_missed_in_several_spans_is_added_up_kind_by_kind() -> None:
    assert Missed(1, 2, 3, 4) + Missed(10, 20, 30, 40) == Missed(11, 22, 33, 44)


@pytest.mark.parametrize(
    ("numbers", "spans"),
    [
        ([], []),
        ([7], [(7, 7)]),
        ([1, 2, 3], [(1, 3)]),
        ([1, 3, 4, 9], [(1, 1), (3, 4), (9, 9)]),
        (range(100, 151), [(100, 150)]),
    ],
)
def test_numbers_in_a_row_are_a_span(numbers, spans) -> None:
    assert spans_of(numbers) == spans


def test_what_was_asked_for_in_pieces_is_told_in_words(store) -> None:
    sent(store, 6)
    assert store.send_missing(IDENTITY, "xn1", [(1, 1), (3, 4), (6, 6)]) == Missed(again=4)
    [entry] = entries(store, "reconcile")
    assert entry.facts["numbers"] == "1 3-4 6"
    assert store.send_missing(IDENTITY, "xn1", []) == Missed()


def test_what_the_system_misses_while_a_rejected_one_waits_is_left_to_its_own_retry(store) -> None:
    waits = queued(store, "S1")
    store.acknowledged(waits, code="AE", detail="", consumer="ivd", digest_ok=True)
    queued(store, "S2", replaces=queued(store, "S2"))
    assert store.send_missing(IDENTITY, "xn1", [(1, 3)]) == Missed(waiting=2, closed=1)
    assert not store.replays_wait()


def test_heads_of_former_identities_come_last_and_each_with_its_oldest(open_store, data_dir, clock) -> None:
    names = iter(["ZZZZZZZZ", "AAAAAAAA", "MMMMMMMM"])
    for _ in range(3):
        store = open_store(new_identity=lambda: next(names))
        sent(store, 2, "xn1")
        sent(store, 1, "c1")
        store.close()
        (data_dir / "restored").touch()
    (data_dir / "restored").unlink()
    store = open_store()
    assert [(h.identity, h.analyser, h.last, h.oldest) for h in store.heads()] == [
        (identity, analyser, last, 1)
        for identity in ("MMMMMMMM", "AAAAAAAA", "ZZZZZZZZ")
        for analyser, last in (("c1", 1), ("xn1", 2))
    ]
    assert store.head("ZZZZZZZZ", "c1") == Head("ZZZZZZZZ", "c1", 1, 1)
    assert store.head("ZZZZZZZZ", "never") == Head("ZZZZZZZZ", "never", 0, None)
    assert [line.sequence for line in store.span("AAAAAAAA", "xn1", (1, 9))] == [1, 2]


def test_what_is_ahead_of_each_identity_and_analyser_is_remembered_apart_with_what_was_newest(store, clock) -> None:
    assert store.ahead() == []
    queued(store, "S1", "c1")
    at = clock.now()
    clock.advance(hours=1)
    queued(store, "S2", "c1")
    one = store.note_ahead(IDENTITY, "c1", 1, 9, 3)
    two = store.note_ahead(IDENTITY, "xn1", 0, 4, 0)
    three = store.note_ahead("0THER000", "c1", 7, 8, 1)
    assert (one.since, two.since, three.since) == (at, None, None)
    assert store.ahead() == [three, one, two]
    assert entries(store, "missing-after-restore")[0].facts == {
        "store": IDENTITY,
        "analyser": "c1",
        "last": "1",
        "last_filed": "9",
    }
    assert store.note_ahead(IDENTITY, "c1", 1, 8, 3) is None
    store.database.set_fact("ahead", "no such fact")
    store.database.set_fact("aheadx", "nor this")
    assert len(store.ahead()) == 3
