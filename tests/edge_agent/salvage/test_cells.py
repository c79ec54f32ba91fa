"""Pages and records by hand, from SQLite's file format document (fileformat2.html)."""

import pytest

from edge_agent.salvage.cells import PAGE, Cell, DamagedError, record, take_apart


def test_a_record_by_its_header():
    """§2.1: a header with its own length, then a serial type per value; 13 + 2n is text of n bytes, 12 + 2n a blob."""
    header = bytes([8, 0, 1, 2, 8, 9, 13 + 2 * 2, 12 + 2 * 3])
    assert record(header + b"\x7f" + b"\xff\x00" + b"ab" + b"\x00\x01\x02") == (
        *(None, 127, -256, 0, 1, "ab", b"\x00\x01\x02"),
    )


@pytest.mark.parametrize(
    "payload",
    [
        bytes([2, 1]),  # the value is missing
        bytes([2, 8, 0]),  # a byte too many
        bytes([2, 10]),  # a serial type that is reserved
        bytes([9, 1, 5]),  # a header longer than the record
        bytes([2, 15, 0xFF]),  # text that is not UTF-8
    ],
)
def test_a_record_that_does_not_fit_is_none(payload):
    with pytest.raises((DamagedError, IndexError, ValueError)):
        record(payload)


def leaf(*cells: bytes) -> bytes:
    """§1.6: type 13, no free block, how many cells, where they begin, no fragments; then a pointer to each."""
    page, at = bytearray(PAGE), PAGE
    pointers = b""
    for cell in cells:
        at -= len(cell)
        page[at : at + len(cell)] = cell
        pointers += at.to_bytes(2, "big")
    page[: 8 + len(pointers)] = (
        bytes([13, 0, 0]) + len(cells).to_bytes(2, "big") + at.to_bytes(2, "big") + b"\0" + pointers
    )
    return bytes(page)


def test_the_rows_of_a_leaf_and_one_that_cannot_be_read():
    page = leaf(bytes([3, 1, 2, 1, 7]), bytes([3, 2, 9, 9, 9]))
    found = take_apart(2, {2: page}.get)
    assert found.cells == (Cell(rowid=1, record=(7,)),)
    assert found.spoiled == 1


def test_a_long_value_goes_on_over_pages_and_stops_at_a_loop():
    """Text of 4,997 bytes: type 13 + 2 * 4997 = 10007 (CE 17), a record of 5,000 bytes (A7 08).

    On 4 KiB pages M = 489, so that 489 + (5000 - 489) mod 4092 = 908 bytes are on the leaf and 4,092 on one page more.
    """
    payload = bytes([3, 0xCE, 0x17]) + b"x" * 4997
    cell = bytes([0xA7, 0x08, 1]) + payload[:908] + (3).to_bytes(4, "big")
    pages = {2: leaf(cell), 3: (0).to_bytes(4, "big") + payload[908:]}
    assert take_apart(2, pages.get).cells == (Cell(rowid=1, record=("x" * 4997,)),)
    # Of 9,092 bytes 908 are on the leaf, too, and 8,184 on two pages: here the first one names itself as the next.
    longer = bytes([0xC7, 0x04]) + cell[2:]
    looped = {2: leaf(longer), 3: (3).to_bytes(4, "big") + payload[908:]}
    assert take_apart(2, looped.get).spoiled == 1


@pytest.mark.parametrize("page", [None, bytes(PAGE), b"\xff" * PAGE, b"\x0d\0\0\xff\xff" + bytes(PAGE - 5)])
def test_what_is_no_page_of_a_tree_is_said_to_be_none(page):
    with pytest.raises(DamagedError):
        take_apart(2, {2: page}.get)
