"""A document of dicts, lists, texts, numbers and booleans as YAML 1.2 in block style.

It writes what `edge-agent asyncapi` needs and no more: no anchors, no tags, no folded texts. A text that could be read
as anything else is written in double quotes as JSON has it, which YAML reads the same way.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

_PLAIN = re.compile(r"[A-Za-z$][\w $./()^-]*(?<! )|[A-Za-z$]")
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})


def to_yaml(document: dict[str, Any]) -> str:
    """The whole text, with a line break at its end."""
    return "".join(f"{line}\n" for line in _lines(document))


def _lines(value: Any) -> Iterator[str]:
    """The lines of a filled dict or list, not indented."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _entry(f"{_scalar(key)}:", inner)
    else:
        for inner in value:
            yield from _item(inner)


def _entry(head: str, value: Any) -> Iterator[str]:
    if isinstance(value, dict | list) and value:
        yield head
        yield from (f"  {line}" for line in _lines(value))
    else:
        yield f"{head} {_scalar(value)}"


def _item(value: Any) -> Iterator[str]:
    lines = _lines(value) if isinstance(value, dict | list) and value else iter((_scalar(value),))
    yield from (f"{'  ' if number else '- '}{line}" for number, line in enumerate(lines))


def _scalar(value: Any) -> str:
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return json.dumps(value, ensure_ascii=False)
