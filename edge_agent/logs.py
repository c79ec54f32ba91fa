"""One line per event on stderr. Never patient data: the data path logs ids of its own making only.

Promised: of a defect the kind and the place are written, wherever it is met, and never its own words, the arguments of
what failed, or a value: an exception's text quotes what was being read. Not promised: anything of what a library
writes to stderr by itself, from C.
"""

import json
import logging
import sys
import threading
import traceback
import warnings
from asyncio import AbstractEventLoop
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Literal, TextIO

Format = Literal["text", "json"]
log = logging.getLogger(__name__)
_MOST_FRAMES = 20
_Raised = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


class _Wordless(logging.Formatter):
    """Writes where an exception came from, innermost first, without what it says (design invariant 11)."""

    def formatException(self, ei: _Raised) -> str:  # noqa: N802  # the name is logging's
        kind, _, frames = ei
        if kind is None:
            return "no exception"
        places = [f"{f.filename}:{f.lineno} in {f.name}" for f in reversed(traceback.extract_tb(frames))]
        return " < ".join([kind.__name__, *places[:_MOST_FRAMES]])


class _OneLine(_Wordless):
    """Control characters in a peer's text must not forge a second line (CWE-117)."""

    def format(self, record: logging.LogRecord) -> str:
        return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in super().format(record))


class _JsonLine(_Wordless):
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


class _Handler(logging.StreamHandler[TextIO]):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # the name is logging's
        """A line that cannot be made: logging's own way would print its arguments."""
        kind = sys.exc_info()[0]
        words = f"A line of the log could not be written: {kind.__name__ if kind else 'error'}"
        place = f"{record.pathname}:{record.lineno}"
        self.stream.write(self.format(_record(record.name, f"{words}, {place}")) + "\n")


def _record(name: str, message: str) -> logging.LogRecord:
    return logging.LogRecord(name, logging.ERROR, __file__, 0, message, None, None)


def set_up(level: int, form: Format = "text") -> None:
    """Also for what nobody caught: in the main thread, in another, in a destructor; and for warnings."""
    handler = _Handler(sys.stderr)
    handler.setFormatter(_JsonLine() if form == "json" else _OneLine("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level, handlers=[handler])
    sys.excepthook = lambda kind, error, frames: _say("The agent", (kind, error, frames))
    threading.excepthook = _say_of_thread
    sys.unraisablehook = lambda args: _say("A destructor", (args.exc_type, args.exc_value, args.exc_traceback))
    warnings.showwarning = lambda _message, kind, file, line, *_: log.warning(
        "A library warns: %s, %s:%d.", kind.__name__, file, line
    )


def in_loop(_loop: AbstractEventLoop, context: dict[str, Any]) -> None:
    """For ``set_exception_handler``: asyncio's own would print callbacks with their arguments."""
    error = context.get("exception")
    _say("A callback", (type(error), error, error.__traceback__) if error else (None, None, None))


def _say_of_thread(args: threading.ExceptHookArgs) -> None:
    _say("A thread", (args.exc_type, args.exc_value, args.exc_traceback))


def _say(what: str, raised: Any) -> None:
    if raised[0] is KeyboardInterrupt:
        return
    log.critical("%s ended by a defect of the program.", what, exc_info=raised)
