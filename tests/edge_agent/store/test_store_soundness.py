"""A byte that went bad inside a value: found at start where it still has to go out, before it goes out otherwise."""

import re
import sqlite3
from datetime import UTC, datetime, timedelta

import pytest
from store_helpers import at_broker, filed, frame, queued, received, source
from test_store_audit_verification import as_before

from edge_agent.states import MessageState, TransmissionEvent
from edge_agent.store import audit, soundness
from edge_agent.store.connection import Database
from edge_agent.store.errors import StorageFailedError, StoreCorruptError
from edge_agent.store.rows import Chunk, ChunkKind
from edge_agent.store.times import from_us


def reopened(open_store, store, sql: str):
    """Changed behind the store's back, as a bad byte would; then the next start."""
    store.database.rows(sql)
    store.close()
    return open_store()


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE payload SET payload = CAST('MSH|another' AS BLOB)",
        "DELETE FROM payload",
        "UPDATE outbox SET digest = replace(digest, 'a', 'b')",
        "UPDATE outbox SET created = 9000000000000000000",
        "UPDATE outbox SET queued = -1",
    ],
)
def test_a_message_that_is_not_filed_and_not_as_it_was_stored_is_found_at_start(open_store, sql):
    store = open_store()
    queued(store, payload=b"MSH|a")
    with pytest.raises(StoreCorruptError):
        reopened(open_store, store, sql)


def test_a_message_that_is_not_found_by_its_own_id_is_found_at_start(open_store, data_dir):
    store = open_store()
    id = queued(store, payload=b"MSH|a").encode()
    store.close()
    file = data_dir / "agent.db"
    whole = file.read_bytes()
    found = 0
    for at in (match.start() for match in re.finditer(re.escape(id), whole)):
        file.write_bytes(whole[:at] + b"?" + whole[at + 1 :])
        try:
            store = open_store()
        except StoreCorruptError:
            found += 1
        else:  # in what refers to it: the audit chain, its specimen
            assert [row.id.encode() for row in store.messages(states=[MessageState.QUEUED])] == [id]
            store.published(id.decode(), replay="original")
            store.close()
    assert found == 2, "in its row, in the index"


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE chunk SET raw = CAST('other' AS BLOB), text_start = 0, text_length = 0",
        "DELETE FROM chunk",
        "UPDATE chunk SET received = 9000000000000000000",
        "UPDATE chunk SET text_length = 1000",
        "UPDATE chunk SET text_length = text_length - 1",
        "UPDATE chunk SET text_start = text_start + 1",
        "UPDATE chunk SET text_length = 0",
        "UPDATE transmission SET opened = -1",
        "UPDATE audit SET facts = '{' WHERE kind = 'transmission-complete'",
        "UPDATE audit SET facts = CAST(x'7b22ff227d' AS TEXT) WHERE kind = 'transmission-complete'",
    ],
)
@pytest.mark.parametrize("waits", ["to be read", "held"])
def test_bytes_that_are_still_to_be_read_and_are_not_as_they_came_are_found_at_start(open_store, sql, waits):
    store = open_store()
    if waits == "held":
        queued(store, holds=["GLU"])
    else:
        received(store)
    with pytest.raises(StoreCorruptError):
        reopened(open_store, store, sql)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"\x021H|\\^&\r\x03E5\r\n", b"H|\\^&\r"),
        (b"\x02111\x17A1\r\n", b"11"),  # its text is found at its number, too
        (b"\x02H|\\^&\r\x03", b"H|\\^&\r"),  # no number, no sum
        (b"\x021H|\\^&\r\x1d5A\x03", b"H|\\^&\r"),  # a sum behind GS
        (b"\x021\x0334\r\n", b""),
        (b"H|\\^&\r", b"H|\\^&\r"),  # bare
        (b"\x021H|\\^&\r\x03E5\r\n", b"another text, stored apart"),
    ],
)
def test_frames_of_every_dialect_are_well_as_the_store_cuts_them(open_store, raw, text):
    store = open_store()
    number = store.open_transmission(source())
    store.append(number, [Chunk(ChunkKind.FRAME, raw, text, 1, last=True)], end="L")
    store.close()
    open_store()


@pytest.mark.parametrize(
    ("name", "kind"), [("SQLITE_CORRUPT_INDEX", StoreCorruptError), ("SQLITE_IOERR_READ", StorageFailedError)]
)
def test_what_sqlite_cannot_read_is_damage_unless_the_disk_fails(open_store, monkeypatch, name, kind):
    def malformed(*_: object) -> object:
        error = sqlite3.DatabaseError("it says so")
        error.sqlite_errorname = name
        raise error
        yield

    store = open_store()
    queued(store)
    store.close()
    execute = Database.execute
    monkeypatch.setattr(
        Database, "execute", lambda s, sql, v=(): malformed() if sql == soundness._MESSAGES else execute(s, sql, v)
    )
    with pytest.raises(kind):
        open_store()


def test_what_is_done_with_does_not_keep_the_agent_from_starting(open_store):
    """The verification of the audit chain goes through it while the agent runs."""
    store = open_store()
    filed(store, queued(store))
    store = reopened(open_store, store, "UPDATE payload SET payload = CAST('MSH|another' AS BLOB)")
    assert store.ready(10) == []


def test_a_message_is_looked_at_once_more_before_it_is_sent_and_nothing_is_stored_until_it_is_well(open_store):
    store = open_store()
    queued(store, payload=b"MSH|a")
    store.database.rows("UPDATE payload SET payload = CAST('MSH|b' AS BLOB)")
    with pytest.raises(StorageFailedError):
        store.ready(10)
    with pytest.raises(StorageFailedError):
        received(store)
    with pytest.raises(StoreCorruptError):
        store.reopen()
    with pytest.raises(StorageFailedError):
        received(store)


def test_a_filed_message_the_analyser_asked_for_again_is_looked_at_too(open_store):
    store = open_store()
    sent = queued(store, payload=b"MSH|a")
    filed(store, sent)
    store.send_again(sent, who="a person", note="lost there")
    with pytest.raises(StoreCorruptError):
        reopened(open_store, store, "UPDATE payload SET payload = CAST('MSH|b' AS BLOB)")


# What no agent can have written, in a store whose entries are from before there were digests of whole rows.

EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC)


def waiting(store) -> None:
    """To be read, held, and a message in each state it can go out from."""
    received(store)
    received(store, event=TransmissionEvent.BROKEN, reason="link")
    queued(store, "S1", holds=["GLU"])
    at_broker(store, queued(store, "S2"))
    store.acknowledged(queued(store, "S3"), code="AR", detail="", consumer="ivd", digest_ok=True)
    store.block(queued(store, "S4"), "0x95", "too large")


@pytest.fixture
def old(open_store, monkeypatch):
    add = audit.add
    store = open_store()
    with monkeypatch.context() as patch:
        patch.setattr(audit, "add", lambda database, kind, facts: add(database, kind, as_before(kind, facts)))
        waiting(store)
    soundness.check(store.database)
    return store


@pytest.mark.parametrize("moment", [EARLIEST, LATEST])
def test_the_first_and_the_last_moment_there_is_are_well(open_store, clock, moment):
    clock.time = moment
    clock.monotonic = lambda: 0.0
    store = open_store()
    waiting(store)
    store.database.execute("UPDATE outbox SET retry_at = queued WHERE state = 'rejected'")
    soundness.check(store.database)


def found(store, sql: str) -> str:
    """What a start would say of a change that is then undone."""
    store.database.begin()
    try:
        store.database.execute(sql)
        soundness.check(store.database)
    except StoreCorruptError as error:
        return error.sentence
    finally:
        store.database.rollback()
    return ""


MOMENTS = [
    ("transmission", "opened", "id = 1"),
    ("transmission", "opened", "id = 2"),
    ("transmission", "opened", "id = 3"),
    ("transmission", "ended", "id = 1"),
    ("chunk", "received", "transmission = 1"),
    ("chunk", "received", "transmission = 3"),
    ("specimen_group", "since", "transmission = 3"),
    ("outbox", "created", "state = 'queued'"),
    ("outbox", "queued", "state = 'queued'"),
    ("outbox", "created", "state = 'at-broker'"),
    ("outbox", "at_broker", "state = 'at-broker'"),
    ("outbox", "queued", "state = 'rejected'"),
    ("outbox", "retry_at", "state = 'rejected'"),
    ("outbox", "created", "state = 'blocked'"),
]


def test_a_moment_that_cannot_be_is_found_in_every_column_of_what_waits(old):
    for table, name, rows in MOMENTS:
        for value in (-1, 253_402_300_800_000_000, 9_000_000_000_000_000_000):  # the second is the year 10000
            sql = f"UPDATE {table} SET {name} = {value} WHERE {rows}"
            assert "cannot be what was stored" in found(old, sql), sql


CUTS = [
    ("text_start = -1", False),
    ("text_length = -1", False),
    ("text_start = 3, text_length = length(raw) - 3", True),
    ("text_start = 3, text_length = length(raw) - 2", False),
    ("text = x'41', text_start = 3, text_length = length(raw) + 9", True),  # stored apart: not cut from the frame
]


def test_a_text_is_cut_from_inside_its_frame(old):
    for cut, well in CUTS:
        said = found(old, f"UPDATE chunk SET {cut} WHERE transmission = 1")
        assert ("cannot be what was stored" in said) is not well, cut


OTHERS = [
    ("UPDATE chunk SET raw = x'00', text_start = 0, text_length = 0 WHERE transmission = 1", "an analyser sent"),
    ("UPDATE chunk SET raw = x'00', text_start = 0, text_length = 0 WHERE transmission = 3", "an analyser sent"),
    *((f"UPDATE payload SET payload = x'00' WHERE number = {number}", "that is not filed") for number in (1, 2, 3, 4)),
    ("DELETE FROM payload WHERE number = 3", "that is not filed"),
]


def test_older_entries_hold_bytes_too(old):
    for sql, word in OTHERS:
        assert word in found(old, sql), sql


DONE = [
    "UPDATE transmission SET opened = -1 WHERE id = 7",
    "UPDATE transmission SET ended = -1 WHERE id = 7",
    "UPDATE chunk SET received = -1 WHERE transmission = 7",
    "UPDATE chunk SET text_start = -1 WHERE transmission = 7",
    "UPDATE specimen_group SET since = -1 WHERE transmission = 7",
    "UPDATE outbox SET created = -1 WHERE state = 'filed'",
    "UPDATE payload SET payload = x'00' WHERE number = 5",
]


def test_what_is_filed_is_left_to_the_verification_whatever_is_wrong_with_it(old):
    filed(old, queued(old, "S5"))
    for sql in DONE:
        assert found(old, sql) == "", sql


def test_what_still_comes_in_waits_for_its_entry(open_store):
    store = open_store()
    store.append(store.open_transmission(source()), [frame()])
    soundness.check(store.database)


def test_bytes_are_held_against_the_newest_entry_that_tells_of_them(open_store):
    """Retention tells again what stays when the chain's beginning goes."""
    store = open_store()
    number = received(store)
    store.audit("kept", {"transmission": str(number), "raw": "00" * 32})
    with pytest.raises(StoreCorruptError, match="what an analyser sent"):
        soundness.check(store.database)


def test_what_is_not_as_it_was_stored_is_said_where_it_is_sent(store):
    with pytest.raises(StorageFailedError, match="a message is not as it was stored"):
        soundness.as_stored(store.database, b"abc", "00" * 32)
    assert "SQLITE_CORRUPT" in store.broken
    # FIPS 180-2, appendix B.1
    soundness.as_stored(store.database, b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")


def test_a_number_that_is_no_moment_is_the_first_or_the_last_there_is():
    assert from_us(-1) == EARLIEST
    assert from_us(2**63 - 1) == LATEST
    assert from_us(1) == EARLIEST + timedelta(microseconds=1)
