"""The one line of the configuration file that says whether an analyser is in production, changed and nothing else.

Promised: every other byte of the file stays; what is written reads as the same configuration with another mode, or it
is not written; the file is replaced as a whole, with its owner, group and mode. Not promised: a change where the file
is laid out so that no single line can be told; then the person is told what to write.
"""

import contextlib
import os
import re
import shutil
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edge_agent.configuration.lines import LineIndex
from edge_agent.errors import AgentError
from edge_agent.store.directory import sync_directory

_MODE = re.compile(r"""(?P<before>\s*["']?mode["']?\s*=\s*)(?P<value>"[^"]*"|'[^']*')(?P<after>.*)""", re.DOTALL)


def with_mode(text: str, analyser: str, mode: str) -> str | None:
    """The file's text with that mode; None where its layout does not show one line to change.

    Raises tomllib.TOMLDecodeError, KeyError for an analyser that is not there.
    """
    index, wanted = _wanted(text, analyser, mode)
    lines = text.splitlines(keepends=True)
    known = LineIndex(text)
    place = f"analyser.{index}"
    if (number := known.line(f"{place}.mode")) != known.line(place):
        found = _MODE.fullmatch(lines[number - 1]) if number else None
        if found is None:
            return None
        lines[number - 1] = f'{found["before"]}"{mode}"{found["after"]}'
    elif (number := known.line(f"{place}.id")) != known.line(place):
        lines.insert(number, _beside(lines[number - 1], mode))
        lines[number - 1] = _ended(lines[number - 1], lines[number])
    changed = "".join(lines)
    return changed if _reads_as(changed, wanted) else None


def line_for(mode: str) -> str:
    return f'mode = "{mode}"'


def _wanted(text: str, analyser: str, mode: str) -> tuple[int, dict[str, Any]]:
    content = tomllib.loads(text)
    for index, table in enumerate(content["analyser"]):
        if table["id"] == analyser:
            table["mode"] = mode
            return index, content
    raise KeyError(analyser)


def _reads_as(text: str, wanted: dict[str, Any]) -> bool:
    """A key index reads lines and no TOML, so what it led to is read as TOML before it is believed."""
    with contextlib.suppress(tomllib.TOMLDecodeError):
        return tomllib.loads(text) == wanted
    return False


def _beside(line: str, mode: str) -> str:
    indent = line[: len(line) - len(line.lstrip())]
    ending = "\r\n" if line.endswith("\r\n") else "\n"
    return f"{indent}{line_for(mode)}{ending}"


def _ended(line: str, like: str) -> str:
    """The file's last line may have no end."""
    return line if line.endswith("\n") else line + like[len(like.rstrip()) :]


@contextmanager
def replacement(path: Path, text: str) -> Iterator[Path]:
    """Write ``text`` beside ``path``, as much like it as this user may; gone at the end unless put in its place.

    Raises OSError where this user may not.
    """
    new = path.with_name(f".{path.name}.new")
    status = path.stat()
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text.encode())
            made = os.fstat(file.fileno())
            if (made.st_uid, made.st_gid) != (status.st_uid, status.st_gid):
                os.fchown(file.fileno(), status.st_uid, status.st_gid)
            shutil.copystat(path, new)
            os.utime(new)
            file.flush()
            os.fsync(file.fileno())
        yield new
    finally:
        new.unlink(missing_ok=True)


def put(new: Path, path: Path) -> None:
    """Raises OSError."""
    new.replace(path)
    sync_directory(path.parent)


def by_hand(path: Path, analyser: str, mode: str, why: str) -> AgentError:
    """What a person writes where this program cannot."""
    return AgentError(
        f"{path} cannot be changed by this command: {why}.",
        code="write-by-hand",
        action=f'As somebody who may, write in the [[analyser]] table with id = "{analyser}": {line_for(mode)}, '
        "then run `edge-agent check` and `edge-agent reload`.",
    )
