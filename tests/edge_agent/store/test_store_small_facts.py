"""What the store tells about itself: each fact in its own place, each error with its code and what to do."""

from datetime import timedelta

import pytest
from store_helpers import at_broker, digest, filed, held, message, queued, received, source

from edge_agent.states import ItemState, MessageState, TransmissionEvent
from edge_agent.store import audit, errors, figures, told
from edge_agent.store.rows import ChunkKind, NewGroup, Route, Settlement, Source


def test_every_field_of_a_message_comes_back_in_its_own_place(store, clock):
    reserved = clock.now()
    outgoing = message(store, "S1", route=Route.QC, stat=True, repeat_of="OLDSTORE-00000000007", held=3)
    clock.advance(seconds=1)
    number = received(store)
    store.settle(Settlement(number, (NewGroup("S1", "Q", ItemState.CONVERTED, messages=(outgoing,)),)))
    queued_at = clock.now()
    clock.advance(seconds=1)
    at_broker(store, outgoing.id)
    at = clock.now()
    row = store.message(outgoing.id)
    assert (row.id, row.analyser, row.route, row.sequence) == (outgoing.id, "xn1", Route.QC, 1)
    assert (row.specimen_key, row.payload, row.digest) == (
        digest("xn1/S1"), outgoing.payload, digest(outgoing.payload.decode()).hex(),
    )  # fmt: skip
    assert (row.state, row.code, row.reason) == (MessageState.AT_BROKER, "", "")
    assert (row.stat, row.graphics, row.held) == (True, False, 3)
    assert (row.created, row.queued, row.at_broker, row.filed) == (reserved, queued_at, at, None)
    assert (row.attempts, row.replay, row.repeat_of, row.replaces) == (1, "original", "OLDSTORE-00000000007", "")
    assert (row.transmission, row.retry_at, row.replay_at) == (number, None, None)
    clock.advance(seconds=1)
    filed_at = clock.now()
    store.acknowledged(outgoing.id, code="AA", detail="thanks", consumer="ivd", digest_ok=True)
    row = store.message(outgoing.id)
    assert (row.code, row.reason, row.filed, row.at_broker) == ("AA", "thanks", filed_at, None)


def test_an_image_that_takes_the_place_of_another_says_so(store):
    first = queued(store, "S1", graphics=True)
    second = queued(store, "S1", graphics=True, replaces=first)
    row = store.message(second)
    assert (row.graphics, row.stat, row.replaces, row.repeat_of, row.sequence) == (True, False, first, "", 2)
    old = store.message(first)
    assert (old.state, old.code, old.reason) == (MessageState.SUPERSEDED, "superseded", second)


def test_rejected_times_come_back_in_their_own_place(store, clock):
    sent = queued(store)
    at = clock.now() + timedelta(minutes=3)
    store.acknowledged(sent, code="AE", detail="", consumer="ivd", digest_ok=True, retry_at=at)
    assert (store.message(sent).retry_at, store.message(sent).replay_at) == (at, None)


def test_a_transmission_comes_back_as_it_was_opened_and_ended(store, clock):
    where = Source("xn1", "10.0.0.5", "lis02_generic", 7, "f" * 64, "validation")
    opened = clock.now()
    number = store.open_transmission(where)
    clock.advance(seconds=3)
    store.end(number, TransmissionEvent.BROKEN, "link")
    found = store.transmission(number)
    assert found.source == where
    assert (found.opened, found.ended, found.reason) == (opened, clock.now(), "link")
    assert (found.converted, found.completed_by, found.chunks) == (False, None, ())
    entry = store.audit_entries()[-1]
    assert (entry.kind, entry.facts["transmission"], entry.facts["reason"]) == (
        "transmission-interrupted", str(number), "link",
    )  # fmt: skip
    assert entry.facts["raw"] == digest("").hex()


def test_figures_are_given_in_slices_without_gap_or_overlap(store, monkeypatch):
    monkeypatch.setattr(figures, "SLICE", 2)
    for n in range(3):
        filed(store, queued(store, f"S{n}"))
    queued(store, "S9", "dx2")
    assert figures.highest(store) == (4, 4)
    assert figures.messages(store, 0) == [("xn1", "result", "filed", "AA", 2)]
    assert sorted(figures.messages(store, 2)) == [
        ("dx2", "result", "queued", "", 1),
        ("xn1", "result", "filed", "AA", 1),
    ]
    assert [(row[0], row[-3], row[-2], row[-1]) for row in figures.transmissions(store, 0)] == [
        ("xn1", "complete", "L", 2)
    ]
    assert sorted((row[0], row[-1]) for row in figures.transmissions(store, 2)) == [("dx2", 1), ("xn1", 1)]
    assert figures.messages(store, 4) == figures.transmissions(store, 4) == []
    assert figures.recent(store, 3) == [4, 3, 2]


def test_an_empty_store_has_no_highest(store):
    assert figures.highest(store) == (0, 0)


def test_what_an_analyser_sent_in_a_span_is_counted_for_it_alone(store):
    start = store.newest()
    first = queued(store, "S1")
    queued(store, "S2", route=Route.QC)
    queued(store, "S3", "dx2")
    filed(store, first)
    open_one = store.open_transmission(source())
    transmissions, sent = store.newest()
    assert (start, transmissions, sent) == ((0, 0), 4, 3)
    assert store.sent_of("xn1", Route.RESULT, (1, 3)) == {MessageState.FILED: 1}
    assert store.sent_of("xn1", Route.RESULT, (2, 3)) == {}
    assert store.sent_of("dx2", Route.RESULT, (1, 3)) == {MessageState.QUEUED: 1}
    assert store.ended_of("xn1", (1, open_one)) == [(2, "production"), (1, "production")]
    assert store.ended_of("xn1", (2, 2)) == [(2, "production")]


def test_releasing_everything_of_a_specimen_releases_the_specimen(store):
    """Each of its results was held for another reason than the whole."""
    number = received(store)
    group = NewGroup("S1", "P", ItemState.HELD, "no-specimen-id", observations=(held("A", "role"), held("B", "role")))
    store.settle(Settlement(number, (group,)))
    assert store.release(code="role", who="kim", note="known") == 2
    assert store.groups(number)[0].state is ItemState.RECEIVED
    assert store.held() == []


def test_releasing_the_reason_of_a_whole_specimen_releases_all_of_it(store):
    number = received(store)
    group = NewGroup("S1", "P", ItemState.HELD, "no-specimen-id", observations=(held("A", "role"), held("B", "unit")))
    store.settle(Settlement(number, (group,)))
    assert store.release(code="no-specimen-id", who="kim", note="known") == 2
    assert store.groups(number)[0].state is ItemState.RECEIVED


def test_the_words_that_stand_in_databases_stay_as_they_are():
    """A store is opened by every later version; another word would be another fact."""
    assert [*ChunkKind] == ["frame", "repeat", "refused", "noise"]
    assert [*Route] == ["result", "qc", "validation"]
    assert (audit.BASE, told.GONE, told.FORGOTTEN) == ("audit_base", "audit_gone", "seen_forgotten")


ERRORS = [
    (errors.DirectoryError, ("x",), "store-directory", "The data directory cannot be used: x.", "Check data_dir"),
    (
        errors.ForeignDirectoryError,
        ("ann",),
        "store-directory",
        "The data directory belongs to ann",
        "Start it as that",
    ),
    (
        errors.StoreLockedError,
        ("x",),
        "store-locked",
        "Another program is using the data directory: x.",
        "Stop the other",
    ),
    (errors.StoreCorruptError, ("x",), "store-corrupt", "The database is damaged: x.", "Nothing was changed"),
    (
        errors.StoreTooNewError,
        (
            9,
            3,
        ),
        "store-too-new",
        "The database has schema 9;",
        "Install the newer",
    ),
    (
        errors.UnsafeFilesystemError,
        ("tmpfs",),
        "store-unsafe-filesystem",
        "The data directory lies on tmpfs",
        "Put data_dir",
    ),
    (
        errors.UnsafeSettingsError,
        (
            "a",
            "b",
            "c",
        ),
        "store-unsafe-settings",
        "SQLite runs with a = c where b",
        "Use the SQL",
    ),
    (errors.StorageFailedError, ("x",), "storage", "Results cannot be stored: x.", "Nothing is acknowledged"),
    (errors.BackupError, ("x",), "backup-failed", "The backup was not made: x.", "Free space"),
    (errors.UnknownRowError, ("row",), "unknown-id", "The store has no such row.", "Check the id."),
    (errors.NoteRequiredError, (), "note-required", "A decision about a result needs a name", "Say who and why."),
    (
        errors.AlreadySentError,
        (4,),
        "already-sent",
        "An observation of transmission 4",
        "Report this; nothing was sent.",
    ),
    (errors.NotCommittedError, (), "not-committed", "A receipt was used before", "Report this."),
]


@pytest.mark.parametrize(("kind", "words", "code", "sentence", "action"), ERRORS)
def test_an_error_says_what_happened_by_which_name_and_what_to_do(kind, words, code, sentence, action):
    error = kind(*words)
    assert error.code == code
    assert error.sentence.startswith(sentence)
    assert error.action.startswith(action)
