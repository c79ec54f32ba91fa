"""What the store promises to its callers, asked of the real one and of the model alike."""

import pytest
from store_helpers import (
    at_broker,
    converted,
    digest,
    filed,
    frame,
    held,
    ids,
    key,
    message,
    queued,
    received,
    source,
)

from edge_agent.states import IllegalTransitionError, ItemState, MessageState, TransmissionEvent, TransmissionState
from edge_agent.store.errors import AlreadySentError, NoteRequiredError, UnknownRowError
from edge_agent.store.rows import Chunk, ChunkKind, NewGroup, NewObservation, Settlement


def ack(store, message_id: str, code: str = "AA", **more):
    fields = {"detail": "", "consumer": "ivd", "digest_ok": True} | more
    return store.acknowledged(message_id, code=code, **fields)


# intake


def test_every_byte_comes_back_in_order_with_its_kind(any_store):
    number = any_store.open_transmission(source())
    chunks = [
        Chunk(ChunkKind.NOISE, b"\x00\xff"),
        frame(b"H|\\^&\r"),
        Chunk(ChunkKind.REFUSED, b"\x022P|1\x0300\r\n", reason="checksum"),
        Chunk(ChunkKind.REPEAT, frame().raw),
        Chunk(ChunkKind.FRAME, b"H|bare\r", b"text that is no slice of raw", None),
    ]
    first = any_store.append(number, chunks[:2])
    second = any_store.append(number, chunks[2:])
    assert (first.transmission, first.chunks, second.chunks) == (number, 2, 3)
    stored = any_store.transmission(number).chunks
    assert [c.chunk for c in stored] == chunks
    assert [c.position for c in stored] == [0, 1, 2, 3, 4]


def test_the_text_of_a_transmission_is_its_accepted_frames_joined(any_store):
    number = any_store.open_transmission(source())
    any_store.append(number, [frame(b"H|\\^&\rP|"), Chunk(ChunkKind.NOISE, b"zz"), frame(b"1\r")], end="L")
    assert any_store.transmission(number).text() == b"H|\\^&\rP|1\r"


def test_a_transmission_that_ended_takes_no_more_bytes(any_store):
    number = received(any_store)
    with pytest.raises(UnknownRowError):
        any_store.append(number, [frame()])


def test_a_transmission_ends_once(any_store):
    number = received(any_store)
    with pytest.raises(IllegalTransitionError):
        any_store.end(number, TransmissionEvent.BROKEN, "link")


def test_what_was_being_received_when_the_process_died_is_interrupted(any_store):
    number = any_store.open_transmission(source())
    any_store.append(number, [frame()])
    assert any_store.close_orphans() == [number]
    found = any_store.transmission(number)
    assert (found.state, found.reason) == (TransmissionState.INTERRUPTED, "restart")
    assert any_store.counts().interrupted == {"xn1": 1}
    assert any_store.close_orphans() == []


def test_ended_transmissions_wait_for_conversion_oldest_first(any_store):
    open_one = any_store.open_transmission(source())
    first, second = received(any_store), received(any_store, event=TransmissionEvent.BROKEN, reason="link")
    assert [t.id for t in any_store.next_unconverted()] == [first, second]
    any_store.settle(Settlement(first))
    assert [t.id for t in any_store.next_unconverted()] == [second]
    assert open_one < first


def test_an_interruption_is_completed_by_the_resend(any_store):
    broken = received(any_store, event=TransmissionEvent.BROKEN, reason="link")
    any_store.settle(Settlement(broken))
    assert [t.id for t in any_store.interrupted("xn1")] == [broken]
    resend = received(any_store)
    any_store.settle(Settlement(resend, completes=(broken,)))
    found = any_store.transmission(broken)
    assert (found.state, found.completed_by) == (TransmissionState.COMPLETED_BY, resend)
    assert any_store.counts().interrupted == {}


def test_an_interruption_is_completed_by_what_was_settled_before_it(any_store):
    resend, broken = received(any_store), received(any_store, event=TransmissionEvent.BROKEN, reason="link")
    any_store.settle(Settlement(resend))
    any_store.settle(Settlement(broken, completed_by=resend))
    found = any_store.transmission(broken)
    assert (found.state, found.completed_by) == (TransmissionState.COMPLETED_BY, resend)
    assert any_store.counts().interrupted == {}


def test_what_was_completed_after_an_interruption_is_found_oldest_first(any_store):
    before, broken = received(any_store), received(any_store, event=TransmissionEvent.BROKEN, reason="link")
    first, _ = received(any_store), received(any_store, "xn2")
    any_store.open_transmission(source())
    second = received(any_store)
    assert [t.id for t in any_store.completed_after("xn1", broken)] == [first, second]
    assert [t.id for t in any_store.completed_after("xn1", broken, limit=1)] == [first]
    assert before < broken


# conversion


def test_message_ids_are_twenty_characters_and_never_the_same(any_store):
    given = [*any_store.reserve(3), *any_store.reserve(2)]
    assert [r.id for r in given] == [f"TESTSTOR-{n:011d}" for n in (1, 2, 3, 4, 5)]
    assert {len(r.id) for r in given} == {20}


def test_the_sequence_has_no_gaps_per_analyser_although_ids_have(any_store):
    a = queued(any_store, "S1", "xn1")
    any_store.reserve(7)
    b, c = queued(any_store, "S2", "xn1"), queued(any_store, "S3", "dx2")
    assert [any_store.message(m).sequence for m in (a, b, c)] == [1, 2, 1]


def test_an_observation_seen_before_names_the_message_that_carried_it(any_store):
    carried = queued(any_store, values=("GLU 5.3",))
    known = any_store.lookup("xn1", [key("GLU 5.3"), key("GLU 5.3", 1), key("HBA1c")])
    assert list(known) == [key("GLU 5.3")]
    assert known[key("GLU 5.3")].message_id == carried
    assert known[key("GLU 5.3")].message_state is MessageState.QUEUED
    assert any_store.lookup("other", [key("GLU 5.3")]) == {}


def test_an_observation_never_leaves_twice_from_one_transmission(any_store):
    transmission = received(any_store)
    first, second = message(any_store, "S1"), message(any_store, "S1")
    for outgoing in (first, second):
        group = NewGroup(
            "S1", "P", ItemState.CONVERTED, observations=(converted("NA", outgoing.id),), messages=(outgoing,)
        )
        if outgoing is first:
            any_store.settle(Settlement(transmission, (group,)))
            continue
        with pytest.raises(AlreadySentError):
            any_store.settle(Settlement(transmission, (group,)))
    assert any_store.message(second.id) is None
    assert any_store.counts().messages[MessageState.QUEUED] == 1


def test_what_is_still_received_cannot_be_settled(any_store):
    number = any_store.open_transmission(source())
    with pytest.raises(UnknownRowError):
        any_store.settle(Settlement(number))


def test_held_observations_are_counted_and_listed_with_their_reason(any_store):
    queued(any_store, "S1", holds=("X1", "X2"))
    assert any_store.counts().held == {"xn1": 2}
    (group,) = any_store.held(code="unknown-test-held")
    assert [(o.code, o.state) for o in group.observations][1:] == [("X1", ItemState.HELD), ("X2", ItemState.HELD)]
    assert any_store.held(code="no-specimen-id") == []
    assert any_store.held(analyser="other") == []


def test_a_held_specimen_without_observations_counts_as_one(any_store):
    transmission = received(any_store)
    any_store.settle(Settlement(transmission, (NewGroup("", "P", ItemState.HELD, "no-specimen-id"),)))
    assert any_store.counts().held == {"xn1": 1}


def test_a_transmission_nobody_can_read_is_listed_as_held_and_a_defect_of_ours_as_failed(any_store):
    first, second = received(any_store), received(any_store)
    any_store.settle(Settlement(first, holds=(("not-lis02", ""),)))
    any_store.settle(Settlement(second, holds=(("driver", "KeyError"),)))
    assert (any_store.counts().held, any_store.counts().failed) == ({"xn1": 1}, {"xn1": 1})
    assert [(g.hold, g.state) for g in any_store.held()] == [
        ("not-lis02", ItemState.HELD),
        ("driver", ItemState.FAILED),
    ]


def test_a_release_brings_the_transmission_back_and_what_went_out_stays_out(any_store):
    carried = queued(any_store, "S1", values=("GLU",), holds=("X1",))
    transmission = any_store.message(carried).transmission
    assert any_store.release(who="tech", note="mapped") == 1
    assert any_store.held() == []
    assert [t.id for t in any_store.next_unconverted()] == [transmission]
    # Converted again: what was carried is known, what was held goes out in a message of its own.
    second = message(any_store, "S1")
    again = NewGroup(
        "S1",
        "P",
        ItemState.CONVERTED,
        observations=(
            NewObservation(key("GLU"), "GLU", ItemState.DUPLICATE, message_id=carried),
            converted("X1", second.id),
        ),
        messages=(second,),
    )
    any_store.settle(Settlement(transmission, (again,)))
    assert any_store.counts().messages[MessageState.QUEUED] == 2
    assert any_store.lookup("xn1", [key("GLU")])[key("GLU")].message_id == carried
    assert any_store.lookup("xn1", [key("X1")])[key("X1")].message_id == second.id
    assert any_store.counts().held == {}


def test_what_a_later_transmission_sent_again_as_new_still_does_not_leave_twice_from_the_first(any_store):
    """Without a result time a later equal one is new; the first transmission's own is remembered all the same."""
    first = queued(any_store, "S1", values=("GLU",), holds=("X1",))
    transmission = any_store.message(first).transmission
    later = queued(any_store, "S1", values=("GLU",))
    known = any_store.lookup("xn1", [key("GLU")])[key("GLU")]
    assert (known.message_id, known.transmission) == (later, any_store.message(later).transmission)
    any_store.release(who="tech", note="mapped")
    again = message(any_store, "S1")
    group = NewGroup("S1", "P", ItemState.CONVERTED, observations=(converted("GLU", again.id),), messages=(again,))
    with pytest.raises(AlreadySentError):
        any_store.settle(Settlement(transmission, (group,)))
    known = NewObservation(key("GLU"), "GLU", ItemState.DUPLICATE, message_id=first)
    any_store.settle(Settlement(transmission, (NewGroup("S1", "P", ItemState.DUPLICATE, observations=(known,)),)))
    assert any_store.message(again.id) is None


def test_a_hold_that_comes_back_keeps_its_age(any_store, clock):
    queued(any_store, "S1", holds=("X1",))
    (group,) = any_store.held()
    since, transmission = group.since, group.transmission
    clock.advance(hours=3)
    any_store.release(who="tech", note="try")
    carried = any_store.messages(states=(MessageState.QUEUED,))[0].id
    first = NewObservation(group.observations[0].key, "", ItemState.DUPLICATE, message_id=carried)
    any_store.settle(Settlement(transmission, (NewGroup("S1", "P", ItemState.HELD, observations=(first, held("X1"))),)))
    (group,) = any_store.held()
    assert group.since == since
    assert [o.state for o in group.observations] == [ItemState.CONVERTED, ItemState.HELD]  # what went out, went out


def test_releasing_one_reason_leaves_the_others_held(any_store):
    transmission = received(any_store)
    group = NewGroup(
        "S1",
        "P",
        ItemState.HELD,
        observations=(held("A", "unknown-test-held"), held("B", "unit-contradicts")),
    )
    any_store.settle(Settlement(transmission, (group,)))
    assert any_store.release(code="unit-contradicts", who="tech", note="unit set") == 1
    assert any_store.counts().held == {"xn1": 1}


def test_a_release_needs_a_name_and_a_note(any_store):
    with pytest.raises(NoteRequiredError):
        any_store.release(who="tech", note=" ")


def test_a_specimen_the_second_reading_no_longer_has_still_explains_its_message(any_store, clock):
    carried = queued(any_store, "S1", values=("GLU",), holds=("X1",))
    transmission = any_store.message(carried).transmission
    any_store.release(who="tech", note="profile corrected")
    any_store.settle(Settlement(transmission))
    assert any_store.counts().held == {}
    assert any_store.next_unconverted() == []
    assert ids(any_store.ready(10)) == [carried]
    filed(any_store, carried)
    clock.advance(days=91)
    before = {"filed_before": clock.now(), "identities_before": clock.now()}
    while any_store.purge(**before):
        pass
    assert any_store.message(carried) is None  # nothing of it waits any more


# order


def test_stat_goes_first_then_oldest_and_images_last(any_store):
    image = queued(any_store, "S0", graphics=True)
    plain = queued(any_store, "S1")
    stat = queued(any_store, "S2", stat=True)
    assert ids(any_store.ready(10)) == [stat, plain, image]
    assert ids(any_store.ready(2)) == [stat, plain]


def test_of_one_specimen_only_the_lowest_waits_in_front(any_store):
    first, second = queued(any_store, "S1"), queued(any_store, "S1")
    other = queued(any_store, "S2")
    assert ids(any_store.ready(10)) == [first, other]
    assert ids(any_store.ready(10, skip=[first])) == [other]
    assert ids(any_store.ready(10, skip_specimens=[digest("xn1/S1")])) == [other]
    assert any_store.message(second).state is MessageState.QUEUED


@pytest.mark.parametrize("release", ["filed", "rejected", "blocked", "set-aside"])
def test_the_next_of_a_specimen_goes_when_the_one_before_is_decided(any_store, release):
    first, second = queued(any_store, "S1"), queued(any_store, "S1")
    at_broker(any_store, first)
    assert any_store.ready(10) == []
    if release == "filed":
        ack(any_store, first)
    elif release == "rejected":
        ack(any_store, first, "AE")
    elif release == "blocked":
        any_store.block(first, "0x95", "too large")
    else:
        any_store.set_aside(first, who="tech", note="wrong sample")
    assert ids(any_store.ready(10)) == [second]


def test_after_ten_unanswered_minutes_the_next_of_a_specimen_goes(any_store, clock):
    first, second = queued(any_store, "S1"), queued(any_store, "S1")
    at_broker(any_store, first)
    clock.advance(minutes=9)
    any_store.published(first, replay="retry")
    any_store.puback(first, 0)  # a retry does not start the ten minutes again
    clock.advance(minutes=2)
    before = clock.now().replace(minute=clock.now().minute - 10)
    assert any_store.ready(10) == []
    assert ids(any_store.ready(10, unanswered_before=before)) == [second]


def test_a_requeued_message_stands_in_front_of_its_specimen_again(any_store):
    first, second = queued(any_store, "S1"), queued(any_store, "S1")
    at_broker(any_store, first)
    any_store.puback(first, 0x97, "quota exceeded")
    found = any_store.message(first)
    assert (found.state, found.code, found.reason) == (MessageState.QUEUED, "0x97", "quota exceeded")
    assert ids(any_store.ready(10)) == [first]
    assert any_store.ready(10, skip=[first]) == []  # and the next one waits behind it again
    assert any_store.message(second).state is MessageState.QUEUED


def test_values_never_wait_for_images(any_store):
    image = queued(any_store, "S1", graphics=True)
    at_broker(any_store, image)
    value = queued(any_store, "S1")
    later_image = queued(any_store, "S1", graphics=True)
    assert ids(any_store.ready(10)) == [value]
    ack(any_store, image)
    assert any_store.ready(10, skip=[value]) == []  # and images wait for every value of their specimen
    at_broker(any_store, value)
    assert any_store.ready(10) == []
    ack(any_store, value)
    assert ids(any_store.ready(10)) == [later_image]


def test_only_what_came_since_then(any_store, clock):
    old = queued(any_store, "S1")
    clock.advance(minutes=1)
    since = clock.now()
    new = queued(any_store, "S2")
    assert ids(any_store.ready(10, newest_since=since)) == [new]
    assert ids(any_store.ready(10)) == [old, new]
    clock.advance(minutes=1)
    assert any_store.ready(10, newest_since=clock.now()) == []


# delivery


def test_only_an_accepting_answer_files_a_message(any_store, clock):
    sent = queued(any_store)
    at_broker(any_store, sent)
    assert any_store.message(sent).state is MessageState.AT_BROKER
    clock.advance(seconds=2)
    assert ack(any_store, sent) is MessageState.FILED
    assert any_store.message(sent).filed == clock.now()
    assert [a.what for a in any_store.attempts(sent)] == ["published", "puback", "ack"]


def test_an_answer_to_other_bytes_files_nothing(any_store):
    sent = queued(any_store)
    at_broker(any_store, sent)
    assert ack(any_store, sent, digest_ok=False) is MessageState.AT_BROKER
    assert any_store.attempts(sent)[-1].what == "ack"


def test_an_answer_may_come_before_the_broker_s(any_store):
    sent = queued(any_store)
    any_store.published(sent, replay="original")
    assert ack(any_store, sent) is MessageState.FILED
    assert any_store.puback(sent, 0) is MessageState.FILED


def test_a_rejected_message_is_tried_every_half_hour_for_a_day(any_store, clock):
    sent = queued(any_store)
    at_broker(any_store, sent)
    assert ack(any_store, sent, "AE", detail="unknown patient") is MessageState.REJECTED
    assert any_store.message(sent).reason == "unknown patient"
    assert any_store.ready(10) == []
    clock.advance(minutes=30)
    assert ids(any_store.ready(10)) == [sent]
    any_store.published(sent, replay="retry")
    assert any_store.ready(10) == []
    clock.advance(hours=24)
    ack(any_store, sent, "AE")
    clock.advance(hours=48)
    assert any_store.ready(10) == []
    any_store.requeue(sent, replay="operator", who="tech", note="fixed there")
    assert ids(any_store.ready(10)) == [sent]
    assert any_store.message(sent).replay == "operator"


def test_two_messages_of_one_specimen_are_never_handed_out_together(any_store, clock):
    first = queued(any_store, "S1")
    at_broker(any_store, first)
    ack(any_store, first, "AE")
    clock.advance(minutes=31)
    second = queued(any_store, "S1")
    assert ids(any_store.ready(10)) == [second]
    at_broker(any_store, second)
    assert any_store.ready(10) == []  # the first is not tried again before the second is answered
    ack(any_store, second)
    assert ids(any_store.ready(10)) == [first]


def test_the_publisher_may_name_another_time_for_the_retry(any_store, clock):
    sent = queued(any_store)
    at_broker(any_store, sent)
    ack(any_store, sent, "AR", retry_at=clock.now().replace(second=20))
    clock.advance(seconds=19)
    assert any_store.ready(10) == []
    clock.advance(seconds=1)
    assert ids(any_store.ready(10)) == [sent]


def test_a_filed_message_the_analyser_sends_again_goes_out_once_more_at_most_hourly(any_store, clock):
    sent = queued(any_store, values=("GLU",))
    filed(any_store, sent)
    for expected in ([sent], []):
        again = received(any_store)
        any_store.settle(Settlement(again, replays=(sent,)))
        found = any_store.ready(10)
        assert ids(found) == expected
        if expected:
            assert (found[0].state, found[0].replay) == (MessageState.FILED, "analyser")
            any_store.published(sent, replay="analyser")
            assert any_store.ready(10) == []  # not again while it is on its way
            ack(any_store, sent)
    clock.advance(hours=1)
    any_store.settle(Settlement(received(any_store), replays=(sent,)))
    assert ids(any_store.ready(10)) == [sent]
    assert any_store.counts().messages[MessageState.FILED] == 1


def test_a_replacing_message_supersedes_the_open_one_and_not_a_filed_one(any_store):
    open_one, done = queued(any_store, "S1"), queued(any_store, "S2")
    filed(any_store, done)
    queued(any_store, "S1", replaces=open_one)
    queued(any_store, "S2", replaces=done)
    assert any_store.message(open_one).state is MessageState.SUPERSEDED
    assert any_store.message(done).state is MessageState.FILED


def test_setting_aside_needs_a_name_and_a_note(any_store):
    sent = queued(any_store)
    with pytest.raises(NoteRequiredError):
        any_store.set_aside(sent, who="", note="because")
    any_store.set_aside(sent, who="tech", note="because")
    assert any_store.message(sent).state is MessageState.SET_ASIDE


def test_a_filed_message_cannot_be_requeued_blocked_or_set_aside(any_store):
    sent = queued(any_store)
    filed(any_store, sent)
    with pytest.raises(IllegalTransitionError):
        any_store.requeue(sent, replay="operator", who="tech", note="x")
    with pytest.raises(IllegalTransitionError):
        any_store.block(sent, "0x95", "x")
    with pytest.raises(IllegalTransitionError):
        any_store.set_aside(sent, who="tech", note="x")


def test_a_message_keeps_id_bytes_and_sequence_through_everything(any_store):
    sent = queued(any_store, payload=b"MSH|^~\\&|x\rOBX|1|ST|a^b||< 0,3\r")
    before = any_store.message(sent)
    at_broker(any_store, sent)
    any_store.puback(sent, 0x97)
    any_store.block(sent, "0x95", "x")
    any_store.requeue(sent, replay="operator", who="t", note="n")
    filed(any_store, sent)
    after = any_store.message(sent)
    assert (after.id, after.payload, after.digest, after.sequence) == (
        before.id,
        before.payload,
        before.digest,
        before.sequence,
    )


def test_counters_and_the_oldest_unfiled_follow_every_change(any_store, clock):
    assert any_store.counts().oldest_unfiled is None
    first = queued(any_store, "S1")
    queued_at = clock.now()
    clock.advance(minutes=5)
    second = queued(any_store, "S2")
    at_broker(any_store, first)
    counts = any_store.counts()
    assert (counts.messages[MessageState.QUEUED], counts.messages[MessageState.AT_BROKER]) == (1, 1)
    assert counts.oldest_unfiled == queued_at
    ack(any_store, first)
    assert any_store.counts().oldest_unfiled == clock.now()
    filed(any_store, second)
    assert any_store.counts().oldest_unfiled is None


def test_messages_are_listed_in_order_and_in_pages(any_store):
    all_ids = [queued(any_store, f"S{n}", "xn1" if n % 2 else "dx2") for n in range(5)]
    at_broker(any_store, all_ids[1])
    both = (MessageState.QUEUED, MessageState.AT_BROKER)
    assert ids(any_store.messages(states=both)) == all_ids
    assert ids(any_store.messages(states=both, limit=2, after=all_ids[1])) == all_ids[2:4]
    assert ids(any_store.messages(states=both, analyser="dx2")) == all_ids[::2]
    assert ids(any_store.to_resend()) == [all_ids[1]]


def test_nobody_s_message_is_an_error(any_store):
    for call in (
        lambda: any_store.published("NOBODY", replay="original"),
        lambda: any_store.puback("NOBODY", 0),
        lambda: ack(any_store, "NOBODY"),
        lambda: any_store.transmission(99),
    ):
        with pytest.raises(UnknownRowError):
            call()
    assert any_store.message("NOBODY") is None
