"""One page of a b-tree taken apart: its cells, their payloads, the values of a record (fileformat2.html, §1.6 and §2).

Promised: what is returned lay within its page and its record, every length fitting; anything else raises DamagedError.
Not promised: that the values are what was written; a flipped byte inside a value has no length to betray it.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from edge_agent.salvage.image import PAGE

INTERIOR_INDEX, INTERIOR_TABLE, LEAF_INDEX, LEAF_TABLE = 2, 5, 10, 13
TABLE, INDEX = frozenset({INTERIOR_TABLE, LEAF_TABLE}), frozenset({INTERIOR_INDEX, LEAF_INDEX})
LEAVES = frozenset({LEAF_INDEX, LEAF_TABLE})

Value = int | float | str | bytes | None
ReadPage = Callable[[int], bytes | None]

_FIRST = 100  # bytes of the database's own header on page 1
_WHOLE_TABLE = PAGE - 35  # payload kept on the page without overflow (§1.6)
_WHOLE_INDEX = (PAGE - 12) * 64 // 255 - 23
_LEAST = (PAGE - 12) * 32 // 255 - 23
_INTS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}


class DamagedError(Exception):
    """This part cannot be read."""


@dataclass(frozen=True, slots=True)
class Cell:
    """``child`` of an interior page; ``rowid`` of a table's page; ``record`` of every page but a table's interior."""

    child: int = 0
    rowid: int | None = None
    record: tuple[Value, ...] | None = None


@dataclass(frozen=True, slots=True)
class Page:
    kind: int
    cells: tuple[Cell, ...]
    spoiled: int  # cells that could not be read
    right: int = 0  # last child of an interior page

    @property
    def children(self) -> list[int]:
        return [cell.child for cell in self.cells if cell.child] + ([self.right] if self.right else [])


def kind(number: int, read: ReadPage) -> int:
    """By the page's first byte; 0 where there is no such page."""
    data = read(number)
    return 0 if data is None else data[_FIRST if number == 1 else 0]


def take_apart(number: int, read: ReadPage) -> Page:
    """Raises DamagedError where it is no page of a b-tree."""
    data = read(number)
    start = _FIRST if number == 1 else 0
    if data is None or data[start] not in TABLE | INDEX:
        raise DamagedError
    interior = data[start] not in LEAVES
    count = int.from_bytes(data[start + 3 : start + 5], "big")
    pointers = start + (12 if interior else 8)
    if pointers + 2 * count > PAGE:
        raise DamagedError
    cells, spoiled = [], 0
    for at in struct.unpack_from(f">{count}H", data, pointers):
        try:
            cells.append(_cell(data, at, data[start], read))
        except (DamagedError, IndexError, ValueError, struct.error):
            spoiled += 1
    right = int.from_bytes(data[start + 8 : start + 12], "big") if interior else 0
    return Page(data[start], tuple(cells), spoiled, right)


def _cell(data: bytes, at: int, of: int, read: ReadPage) -> Cell:
    child, rowid = 0, None
    if of not in LEAVES:
        child, at = int.from_bytes(data[at : at + 4], "big"), at + 4
    if of == INTERIOR_TABLE:
        return Cell(child, _varint(data, at)[0])
    length, at = _varint(data, at)
    if of == LEAF_TABLE:
        rowid, at = _varint(data, at)
        rowid -= (rowid >> 63) << 64
    return Cell(child, rowid, record(_payload(data, at, length, of, read)))


def _payload(data: bytes, at: int, length: int, of: int, read: ReadPage) -> bytes:
    whole = _WHOLE_TABLE if of == LEAF_TABLE else _WHOLE_INDEX
    if length <= whole:
        return _slice(data, at, length)
    spread = _LEAST + (length - _LEAST) % (PAGE - 4)
    local = spread if spread <= whole else _LEAST
    following = int.from_bytes(_slice(data, at + local, 4), "big")
    return b"".join([_slice(data, at, local), *_overflow(following, length - local, read)])


def _overflow(number: int, left: int, read: ReadPage) -> Iterator[bytes]:
    seen = set()
    while left > 0:
        data = read(number) if number not in seen else None
        if data is None:
            raise DamagedError
        seen.add(number)
        yield data[4 : 4 + min(left, PAGE - 4)]
        left -= PAGE - 4
        number = int.from_bytes(data[:4], "big")


def record(payload: bytes) -> tuple[Value, ...]:
    """Raises DamagedError, ValueError, IndexError."""
    head, at = _varint(payload, 0)
    kinds = []
    while at < head:
        serial, at = _varint(payload, at)
        kinds.append(serial)
    if at != head:
        raise DamagedError
    values = []
    for serial in kinds:
        value, at = _value(payload, at, serial)
        values.append(value)
    if at != len(payload):
        raise DamagedError
    return tuple(values)


def _value(payload: bytes, at: int, serial: int) -> tuple[Value, int]:
    if serial >= 12:
        size = (serial - 12) // 2
        raw = _slice(payload, at, size)
        return (raw.decode("utf-8") if serial % 2 else raw), at + size
    if serial in _INTS:
        size = _INTS[serial]
        return int.from_bytes(_slice(payload, at, size), "big", signed=True), at + size
    if serial == 7:
        return struct.unpack(">d", _slice(payload, at, 8))[0], at + 8
    if serial in (0, 8, 9):
        return {0: None, 8: 0, 9: 1}[serial], at
    raise DamagedError


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Value and where it ends (§1.6: up to nine bytes, the ninth with all its bits)."""
    value = 0
    for number in range(8):
        byte = data[at + number]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + number + 1
    return value << 8 | data[at + 8], at + 9


def _slice(data: bytes, at: int, size: int) -> bytes:
    part = data[at : at + size]
    if len(part) != size:
        raise DamagedError
    return part
