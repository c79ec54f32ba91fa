"""One line per event on stderr. Never patient data: the data path logs ids of its own making only."""

import logging
import sys


class _OneLine(logging.Formatter):
    """Control characters in a peer's text must not forge a second line (CWE-117)."""

    def format(self, record: logging.LogRecord) -> str:
        return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in super().format(record))


def set_up(level: int) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLine("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level, handlers=[handler])
