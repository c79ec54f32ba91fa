"""Rows that go out once more: rejected ones whose time has come, filed ones that were asked for. Store and model."""

from datetime import timedelta

import pytest
from store_helpers import at_broker, filed, ids, queued, received

from edge_agent.states import IllegalTransitionError, MessageState
from edge_agent.store import delivery
from edge_agent.store.audit import Entry
from edge_agent.store.errors import NoteRequiredError, UnknownRowError
from edge_agent.store.rows import Settlement


def reject(store, message_id: str, **more) -> None:
    at_broker(store, message_id)
    store.acknowledged(message_id, code="AE", detail="", consumer="ivd", digest_ok=True, **more)


def ask_again(store, *messages: str) -> None:
    """The analyser sends again what they carried."""
    store.settle(Settlement(received(store), replays=messages))


@pytest.mark.parametrize("kind", ["rejected", "filed"])
def test_one_waits_for_the_answer_to_a_later_one_of_its_specimen_for_ten_minutes(any_store, clock, kind):
    first, second = queued(any_store, "S1"), queued(any_store, "S1")
    if kind == "rejected":
        reject(any_store, first, retry_at=clock.now())
    else:
        filed(any_store, first)
        ask_again(any_store, first)
    at_broker(any_store, second)
    assert any_store.ready(10) == []
    assert any_store.ready(10, unanswered_before=clock.now()) == []
    clock.advance(seconds=1)
    assert ids(any_store.ready(10, unanswered_before=clock.now())) == [first]


@pytest.mark.parametrize("kind", ["rejected", "filed"])
def test_one_does_not_wait_for_another_specimen(any_store, clock, kind):
    first, other = queued(any_store, "S1"), queued(any_store, "S2")
    if kind == "rejected":
        reject(any_store, first, retry_at=clock.now())
    else:
        filed(any_store, first)
        ask_again(any_store, first)
    at_broker(any_store, other)
    assert ids(any_store.ready(10)) == [first]


def test_they_come_behind_what_is_queued_rejected_ones_first_each_longest_due_first(any_store, clock):
    early, late = queued(any_store, "S1"), queued(any_store, "S2")
    reject(any_store, late, retry_at=clock.now() + timedelta(seconds=9))
    reject(any_store, early, retry_at=clock.now() + timedelta(seconds=20))
    done, done_too = queued(any_store, "S3"), queued(any_store, "S4")
    filed(any_store, done)
    filed(any_store, done_too)
    ask_again(any_store, done_too)
    clock.advance(seconds=5)
    ask_again(any_store, done)
    new = queued(any_store, "S5")
    clock.advance(seconds=15)
    assert ids(any_store.ready(10)) == [new, late, early, done_too, done]
    assert ids(any_store.ready(3)) == [new, late, early]


def test_they_are_not_among_what_came_since_then(any_store, clock):
    first = queued(any_store, "S1")
    reject(any_store, first, retry_at=clock.now())
    clock.advance(seconds=1)
    since = clock.now()
    new = queued(any_store, "S2")
    assert ids(any_store.ready(10, newest_since=since)) == [new]


def test_the_next_that_is_due_says_how_long_to_sleep(store, clock):
    assert store.next_due() is None
    first, second, done = queued(store, "S1"), queued(store, "S2"), queued(store, "S3")
    reject(store, first, retry_at=clock.now() + timedelta(minutes=7))
    reject(store, second, retry_at=clock.now() + timedelta(minutes=5))
    assert store.next_due() == clock.now() + timedelta(minutes=5)
    filed(store, done)
    ask_again(store, done)
    assert store.next_due() == clock.now()


def test_the_first_rejection_begins_the_day_and_a_later_one_does_not(any_store, clock):
    sent = queued(any_store)
    reject(any_store, sent)
    clock.advance(hours=23, minutes=59)
    reject(any_store, sent)
    assert any_store.message(sent).retry_at == clock.now() + timedelta(minutes=30)
    clock.advance(minutes=1)
    reject(any_store, sent)
    assert any_store.message(sent).retry_at is None, "a day is over: a person"


def test_a_requeued_message_that_is_rejected_again_has_a_day_of_its_own(any_store, clock):
    sent = queued(any_store)
    reject(any_store, sent)
    clock.advance(hours=30)
    any_store.requeue(sent, replay="operator", who="kim", note="mapped")
    reject(any_store, sent)
    assert any_store.message(sent).retry_at == clock.now() + timedelta(minutes=30)


def test_one_that_was_sent_and_not_answered_is_due_again_after_five_minutes(any_store, clock):
    first, done = queued(any_store, "S1"), queued(any_store, "S2")
    reject(any_store, first, retry_at=clock.now())
    filed(any_store, done)
    ask_again(any_store, done)
    for message in (first, done):
        any_store.published(message, replay="retry")
    assert any_store.message(first).retry_at == clock.now() + timedelta(minutes=5)
    assert any_store.message(done).replay_at == clock.now() + timedelta(minutes=5)
    clock.advance(minutes=5)
    assert ids(any_store.ready(10)) == [first, done]


def test_a_time_later_than_that_is_kept(any_store, clock):
    first = queued(any_store, "S1")
    later = clock.now() + timedelta(hours=2)
    reject(any_store, first, retry_at=later)
    any_store.published(first, replay="retry")
    assert any_store.message(first).retry_at == later


def test_an_answer_ends_what_was_asked_for_again(any_store):
    done = queued(any_store)
    filed(any_store, done)
    ask_again(any_store, done)
    any_store.acknowledged(done, code="AA", detail="", consumer="ivd", digest_ok=True)
    assert any_store.message(done).replay_at is None


def test_an_answer_to_other_bytes_does_not(any_store, clock):
    done = queued(any_store)
    filed(any_store, done)
    ask_again(any_store, done)
    any_store.acknowledged(done, code="AA", detail="", consumer="ivd", digest_ok=False)
    assert any_store.message(done).replay_at == clock.now()


@pytest.mark.parametrize("minutes", [59, 60])
def test_a_rejected_message_the_analyser_sends_again_is_tried_at_once_at_most_hourly(any_store, clock, minutes):
    first = queued(any_store)
    reject(any_store, first)
    ask_again(any_store, first)
    assert ids(any_store.ready(10)) == [first]
    assert any_store.message(first).replay == "analyser"
    reject(any_store, first)
    clock.advance(minutes=minutes)
    later = clock.now() + timedelta(hours=9)
    any_store.acknowledged(first, code="AE", detail="", consumer="ivd", digest_ok=True, retry_at=later)
    ask_again(any_store, first)
    assert (any_store.message(first).retry_at == clock.now()) is (minutes == 60)


@pytest.mark.parametrize("state", ["queued", "at-broker", "blocked", "set-aside"])
def test_what_is_neither_filed_nor_rejected_is_not_moved_by_a_resend(any_store, state):
    sent = queued(any_store)
    if state == "at-broker":
        at_broker(any_store, sent)
    elif state == "blocked":
        any_store.block(sent, "blocked", "0x95")
    elif state == "set-aside":
        any_store.set_aside(sent, who="kim", note="by hand")
    ask_again(any_store, sent)
    found = any_store.message(sent)
    assert (found.state, found.replay_at, found.retry_at) == (MessageState(state), None, None)


def told(entry: Entry) -> dict[str, str]:
    """Without the digest of the row, which the verification compares (test_store_audit_tampering.py)."""
    return {name: value for name, value in entry.facts.items() if name != "row"}


def test_a_person_may_ask_for_a_filed_message_and_for_no_other(store):
    done, waiting = queued(store, "S1"), queued(store, "S2")
    filed(store, done)
    for who, note in (("", "lost there"), ("kim", " "), (" ", "lost there"), ("kim", "")):
        with pytest.raises(NoteRequiredError):
            store.send_again(done, who=who, note=note)
    with pytest.raises(IllegalTransitionError):
        store.send_again(waiting, who="kim", note="lost there")
    with pytest.raises(UnknownRowError):
        store.send_again("nobody", who="kim", note="lost there")
    assert store.message(done).replay_at is None
    store.send_again(done, who="kim", note="lost there")
    assert (store.message(done).state, store.message(done).replay) == (MessageState.FILED, "operator")
    last = store.attempts(done)[-1]
    assert (last.what, last.code, last.detail) == ("requeued", "operator", "lost there")
    entry = store.audit_entries()[-1]
    assert entry.kind == "sent-again"
    assert told(entry) == {"message": done, "replay": "operator", "who": "kim", "note": "lost there"}


def test_every_step_of_a_message_is_noted_in_words(store):
    sent = queued(store)
    store.published(sent, replay="original")
    store.puback(sent, 0x97, "quota")
    store.published(sent, replay="retry")
    store.puback(sent, 0)
    store.timed_out(sent)
    store.acknowledged(sent, code="AE", detail="no such test", consumer="ivd", digest_ok=None)
    store.acknowledged(sent, code="AE", detail="", consumer="ivd", digest_ok=None)
    store.requeue(sent, replay="operator", who="kim", note="mapped")
    store.block(sent, "blocked", "too large")
    store.set_aside(sent, who="kim", note="by hand")
    assert [(a.what, a.code, a.detail) for a in store.attempts(sent)] == [
        ("published", "", "original"),
        ("refused", "0x97", "quota"),
        ("published", "", "retry"),
        ("puback", "0x00", ""),
        ("timeout", "", ""),
        ("ack", "AE", "ivd: no such test"),
        ("ack", "AE", "ivd"),
        ("requeued", "operator", "mapped"),
        ("blocked", "blocked", "too large"),
        ("set-aside", "", "by hand"),
    ]
    assert store.message(sent).attempts == 2
    assert (store.message(sent).code, store.message(sent).reason) == ("set-aside", "by hand")


def test_of_weeks_of_attempts_the_first_ten_and_the_latest_are_kept(store):
    sent = queued(store)
    with store.database.writing():
        for number in range(200):
            store.published(sent, replay=str(number))
        assert [int(a.detail) for a in store.attempts(sent)] == list(range(200))
        for number in range(200, 205):
            store.published(sent, replay=str(number))
    kept = [int(a.detail) for a in store.attempts(sent)]
    assert kept == [*range(10), *range(15, 205)]


def test_an_attempt_goes_when_there_is_one_too_many_and_not_before(store, monkeypatch):
    monkeypatch.setattr(delivery, "KEEP_FIRST", 2)
    monkeypatch.setattr(delivery, "KEEP_LAST", 3)
    sent = queued(store)
    kept = []
    for number in range(1, 8):
        store.published(sent, replay=str(number))
        kept.append("".join(a.detail for a in store.attempts(sent)))
    assert kept == ["1", "12", "123", "1234", "12345", "12456", "12567"]


def test_every_decision_about_a_message_is_in_the_chain_with_who_and_why(store):
    sent = queued(store)
    at_broker(store, sent)
    store.acknowledged(sent, code="AA", detail="", consumer="ivd", digest_ok=False)
    store.acknowledged(sent, code="AE", detail="", consumer="ivd", digest_ok=True)
    store.requeue(sent, replay="operator", who="kim", note="mapped")
    store.block(sent, "blocked", "too large")
    store.set_aside(sent, who="kim", note="by hand")
    entries = [(e.kind, told(e)) for e in store.audit_entries()][-5:]
    assert entries == [
        ("acknowledged", {"message": sent, "code": "AA", "consumer": "ivd", "state": "at-broker", "digest": "differs"}),
        ("acknowledged", {"message": sent, "code": "AE", "consumer": "ivd", "state": "rejected"}),
        ("requeued", {"message": sent, "replay": "operator", "who": "kim", "note": "mapped"}),
        ("blocked", {"message": sent, "code": "blocked"}),
        ("set-aside", {"message": sent, "who": "kim", "note": "by hand"}),
    ]
