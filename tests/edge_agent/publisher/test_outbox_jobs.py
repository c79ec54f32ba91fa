"""The outbox's jobs on a real store: each decides by what the row is when the job runs, not by what it was."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support_delivery import AtOnce, Rig
from support_whole_publisher import Lane

from edge_agent.publisher import outbox as module
from edge_agent.publisher.answers import AckMessage
from edge_agent.publisher.options import MqttOptions
from edge_agent.publisher.outbox import Outbox, Unfinished
from edge_agent.states import MessageState
from edge_agent.store.errors import RefusedError, StorageFailedError
from edge_agent.store.rows import Route


@pytest.fixture
def rig(data: Path) -> Iterator[Rig]:
    made = Rig(data)
    yield made
    made.end()


@pytest.fixture
def outbox(rig: Rig) -> Outbox:
    thread: Any = AtOnce(rig.store)
    return Outbox(thread, rig.clock)


def at_broker(rig: Rig, **more: Any) -> str:
    message = rig.queue(**more)
    rig.store.published(message, replay="original")
    rig.store.puback(message, 0, "")
    return message


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5])
def test_every_unfinished_row_is_listed_once_however_they_fall_on_pages(
    rig: Rig, outbox: Outbox, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr(module, "_PAGE", 2)
    messages = [at_broker(rig, route=Route.QC) for _ in range(count)]
    rig.queue()
    found = rig.do(outbox.unfinished(MessageState.AT_BROKER))
    assert found == [Unfinished(message, "xn1", Route.QC) for message in messages]


def test_nobody_is_waited_for_before_ten_minutes_are_over(rig: Rig, outbox: Outbox) -> None:
    assert rig.do(outbox.unanswered_since()) is None
    at_broker(rig)
    first = rig.clock.now()
    rig.clock.seconds += 300
    at_broker(rig)
    rig.clock.seconds += 299
    assert rig.do(outbox.unanswered_since()) is None
    rig.clock.seconds += 1
    assert rig.do(outbox.unanswered_since()) == first


def test_the_next_of_a_specimen_goes_when_the_one_before_was_unanswered_for_ten_minutes(
    rig: Rig, outbox: Outbox
) -> None:
    first = at_broker(rig, specimen="S1")
    second = rig.queue(specimen="S1")
    rig.clock.seconds += 599
    assert rig.do(outbox.ready(10, None, ())).rows == []
    rig.clock.seconds += 2
    assert [row.id for row in rig.do(outbox.ready(10, None, ())).rows] == [second]
    row, later_unanswered = rig.do(outbox.to_resend(first))
    assert (row.id, later_unanswered) == (first, False)
    rig.store.published(second, replay="original")
    rig.store.puback(second, 0, "")
    assert rig.do(outbox.to_resend(first))[1] is True


def test_when_to_look_again_is_said_only_where_there_was_nothing_more_to_read(rig: Rig, outbox: Outbox) -> None:
    rejected = at_broker(rig)
    due = rig.clock.now() + timedelta(minutes=5)
    rig.store.acknowledged(rejected, code="AE", detail="", consumer="ivd", digest_ok=None, retry_at=due)
    assert rig.do(outbox.ready(1, None, ())).next_due == due
    assert rig.do(outbox.ready(1, rig.clock.now(), ())).next_due is None
    message = rig.queue()
    found = rig.do(outbox.ready(1, None, ()))
    assert [row.id for row in found.rows] == [message]
    assert found.next_due is None
    assert rig.do(outbox.ready(1, None, {message})).rows == []


def test_what_the_store_refuses_stops_nothing_of_what_came_with_it(rig: Rig, outbox: Outbox) -> None:
    first, last = rig.queue(), rig.queue()
    for message in (first, last):
        rig.store.published(message, replay="original")
    jobs = [outbox.puback(message, 0, "") for message in (first, "ZZZZZZZZ-00000000001", last)]
    one, refused, two = rig.do(outbox.together(jobs))
    assert (one, two) == (MessageState.AT_BROKER, MessageState.AT_BROKER)
    assert isinstance(refused, RefusedError)
    assert (rig.state(first), rig.state(last)) == (MessageState.AT_BROKER, MessageState.AT_BROKER)


def test_a_note_about_a_message_retention_took_hinders_no_other(rig: Rig, outbox: Outbox) -> None:
    message = rig.queue()

    async def note() -> None:
        await asyncio.wrap_future(outbox.note_published((("ZZZZZZZZ-00000000001", "original"), (message, "operator"))))

    rig.do(note())
    assert rig.notes(message) == ["published"]
    (attempt,) = rig.store.attempts(message)
    assert attempt.detail == "operator"


def test_a_note_the_disk_did_not_take_is_written_before_an_answer_is_judged(rig: Rig) -> None:
    lane: Any = Lane(rig.store)
    outbox, message = Outbox(lane, rig.clock), rig.queue()
    options = MqttOptions(urls=("mqtt://127.0.0.1",), site="seoul-01", gateway="gw-01")
    ack = AckMessage("ivd", "AA", message, "", "", message.encode(), None)
    lane.failing = True
    outbox.note_published(((message, "original"),))
    with pytest.raises(StorageFailedError):
        rig.do(outbox.together([outbox.puback(message, 0, "")]))
    lane.failing = False
    [outcome] = rig.do(outbox.together([outbox.answer(ack, options, 0.0)]))
    assert (outcome.wrong, outcome.state) == (None, MessageState.FILED)
    rig.do(outbox.together([]))
    assert rig.notes(message) == ["published", "ack"]


def test_only_what_is_open_is_blocked(rig: Rig, outbox: Outbox) -> None:
    closed, queued, sent = at_broker(rig), rig.queue(), at_broker(rig)
    rig.store.acknowledged(closed, code="AA", detail="", consumer="ivd", digest_ok=None, retry_at=None)
    assert rig.do(outbox.block(closed, "blocked", "too large")) is None
    assert rig.state(closed) is MessageState.FILED
    assert rig.do(outbox.block("ZZZZZZZZ-00000000001", "blocked", "too large")) is None
    for message in (queued, sent):
        row = rig.do(outbox.block(message, "blocked", "too large"))
        assert row.id == message
        now = rig.store.message(message)
        assert now is not None
        assert (now.state, now.code, now.reason) == (MessageState.BLOCKED, "blocked", "too large")
    assert rig.do(outbox.block(queued, "blocked", "once more")) is None


def test_a_rejected_one_may_be_blocked_when_it_goes_again(rig: Rig, outbox: Outbox) -> None:
    message = at_broker(rig)
    rig.store.acknowledged(message, code="AE", detail="", consumer="ivd", digest_ok=None, retry_at=None)
    assert rig.do(outbox.block(message, "blocked", "too large")) is not None
    assert rig.state(message) is MessageState.BLOCKED


def test_only_what_is_blocked_is_queued_again_and_the_audit_trail_says_by_whom(rig: Rig, outbox: Outbox) -> None:
    blocked, sent = rig.queue(), at_broker(rig)
    rig.do(outbox.block(blocked, "blocked", "too large"))
    for message in (blocked, sent, "ZZZZZZZZ-00000000001"):
        rig.do(outbox.unblock(message))
    assert rig.state(blocked) is MessageState.QUEUED
    assert rig.state(sent) is MessageState.AT_BROKER
    assert rig.notes(blocked)[-1] == "requeued"
    entry = rig.store.audit_entries()[-1]
    assert (entry.facts["who"], entry.facts["replay"]) == ("edge-agent", "retry")
