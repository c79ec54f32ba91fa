"""A byte that went bad inside a value: found at start where it still has to go out, before it goes out otherwise."""

import pytest
from store_helpers import filed, queued, received, source

from edge_agent.store.errors import StorageFailedError, StoreCorruptError
from edge_agent.store.rows import Chunk, ChunkKind


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
