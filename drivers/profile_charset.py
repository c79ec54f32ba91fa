"""Sets of characters as sorted ranges of code points: enough to prove that two parts of a pattern cannot overlap."""

from collections.abc import Iterable

LAST = 0x10FFFF

Ranges = tuple[tuple[int, int], ...]

ANY: Ranges = ((0, LAST),)
NONE: Ranges = ()


def ranges(pairs: Iterable[tuple[int, int]]) -> Ranges:
    """Sorted and joined."""
    joined: list[tuple[int, int]] = []
    for first, last in sorted(pairs):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        else:
            joined.append((first, last))
    return tuple(joined)


def one(character: str) -> Ranges:
    return ((ord(character), ord(character)),)


def union(left: Ranges, right: Ranges) -> Ranges:
    return ranges(left + right)


def inverse(of: Ranges) -> Ranges:
    gaps: list[tuple[int, int]] = []
    start = 0
    for first, last in of:
        if first > start:
            gaps.append((start, first - 1))
        start = last + 1
    if start <= LAST:
        gaps.append((start, LAST))
    return tuple(gaps)


def overlap(left: Ranges, right: Ranges) -> bool:
    return any(a <= d and c <= b for a, b in left for c, d in right)


def as_class(of: Ranges) -> str:
    """The set as a character class for ``re``, every bound written as a code point."""
    return "[" + "".join(_code(first) + ("" if first == last else "-" + _code(last)) for first, last in of) + "]"


def _code(point: int) -> str:
    return f"\\U{point:08x}"
