"""What the facts of a store look like: one that looks otherwise is damage, and not a number to go on from."""

import re
from collections.abc import Iterable
from typing import Any

_NUMBER = "(?:[0-9]{1,17}|[12][0-9]{17})"  # also of microseconds, to the year 9999
_LOOKS = {
    "commits": f"{_NUMBER} {_NUMBER}( {_NUMBER} {_NUMBER} [^ ]+)?",  # number, wall clock; since some version, steady.py
    "last_id": _NUMBER,
    "audit_base": f"{_NUMBER} [0-9a-f]{{64}}",
    "audit_gone": _NUMBER,
    "seen_forgotten": _NUMBER,
    "last_backup": f"{_NUMBER} .+",
    "ahead": f"{_NUMBER}( {_NUMBER}){{4}}",
}


def spoiled(facts: Iterable[tuple[str, Any]]) -> list[str]:
    """Names of those that no agent wrote so. What has another name is nobody's number."""
    return [name for name, value in facts if not _fits(name, value)]


def _fits(name: str, value: object) -> bool:
    kind, *parts = name.split(".")
    looks = _LOOKS.get(kind)
    if looks is None or (kind == "ahead") != (len(parts) == 2):
        return looks is None
    return isinstance(value, str) and re.fullmatch(looks, value) is not None
