"""A plain table for a terminal."""

import unicodedata
from collections.abc import Sequence


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell; wide East Asian characters count twice."""
    lines = [list(header), ["-" * _width(name) for name in header], *[list(row) for row in rows]]
    widths = [max(_width(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join(
        "  ".join(_padded(cell, w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def _padded(text: str, width: int) -> str:
    return text + " " * (width - _width(text))
