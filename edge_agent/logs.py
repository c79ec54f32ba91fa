"""One line per event on stderr. Never patient data: the data path logs ids of its own making only."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Literal

Format = Literal["text", "json"]


class _OneLine(logging.Formatter):
    """Control characters in a peer's text must not forge a second line (CWE-117)."""

    def format(self, record: logging.LogRecord) -> str:
        return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in super().format(record))


class _JsonLine(logging.Formatter):
    """``{"ts", "level", "logger", "message"}`` in UTF-8, for the journal and for programs.

    ``ts`` is UTC with milliseconds. JSON lets DEL, U+0085, U+2028 and marks of direction stand as they are (RFC 8259
    section 7); readers of lines and terminals do not, so those are escaped, too.
    """

    def format(self, record: logging.LogRecord) -> str:
        line = json.dumps(
            {
                "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
                "level": record.levelname,
                "logger": record.name,
                "message": super().format(record),
            },
            ensure_ascii=False,
        )
        return "".join(c if c.isprintable() else _escaped(c) for c in line)


def _escaped(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))


def set_up(level: int, form: Format = "text") -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLine() if form == "json" else _OneLine("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level, handlers=[handler])
