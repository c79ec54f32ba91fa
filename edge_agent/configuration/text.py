"""The text of a first configuration: the shipped file with a site's answers put in, so that every key stays explained.

Only whole lines of the shipped file are replaced: ``key = value`` or, where it shows a default, ``# key = value``. The
result says what the answers say and, for every other key, what the shipped file says.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence

Value = str | Sequence[str]
_TABLE = re.compile(r"^\[+(?P<name>[a-z0-9_]+)\]+$")
_KEY = re.compile(r"^(?:# )?(?P<key>[a-z0-9_]+) = (?P<value>.*)$")
_ANALYSER = "[[analyser]]"


def filled(shipped: str, tables: Mapping[str, Mapping[str, Value]], analysers: Sequence[Mapping[str, Value]]) -> str:
    """``tables``: table -> key -> value. Raises KeyError for a key that the shipped file does not show."""
    head, mark, block = shipped.partition(_ANALYSER)
    left = {(table, key): value for table, keys in tables.items() for key, value in keys.items()}
    lines: list[str] = []
    table = ""
    for line in head.splitlines():
        found = _TABLE.match(line)
        table = found["name"] if found else table
        lines.append(_put(line, table, left))
    if left:
        raise KeyError(next(iter(left)))
    return "\n".join([*lines, *_analysers((mark + block).splitlines(), analysers)]) + "\n"


def _analysers(block: list[str], analysers: Sequence[Mapping[str, Value]]) -> Iterator[str]:
    """The shipped analyser, explained, becomes the first one; the others are as long as they need to be."""
    if not analysers:
        yield from (line if line.startswith("#") else f"# {line}" for line in block)
        return
    first, *others = analysers
    left = {("", key): value for key, value in first.items()}
    # a key of the example that this analyser does not have must not stay
    yield from (_without(_put(line, "", left), first) for line in block)
    if left:
        raise KeyError(next(iter(left)))
    for analyser in others:
        yield from ("", _ANALYSER, *(f"{key} = {written(value)}" for key, value in analyser.items()))


def _put(line: str, table: str, left: dict[tuple[str, str], Value]) -> str:
    found = _KEY.match(line)
    if found is None or (table, found["key"]) not in left:
        return line
    value = written(left.pop((table, found["key"])))
    return line if value == found["value"] else f"{found['key']} = {value}"


def _without(line: str, analyser: Mapping[str, Value]) -> str:
    found = _KEY.match(line)
    shown_only = found is None or line.startswith("#") or found["key"] in analyser
    return line if shown_only else f"# {line}"


def written(value: Value) -> str:
    """A TOML basic string, or a list of them (TOML 1.0: control characters, quotes and backslashes escaped)."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", r"\u007f")
    return f"[{', '.join(map(written, value))}]"
