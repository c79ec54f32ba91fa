"""Two profiles compared key by key, as a person would find the keys in the TOML file.

Pure. A row of a table of codes is named by its code, every other member of a list of tables by its place, from 1.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from drivers.profile import Profile

NOT_SET = "not set"
_NO_TABLES = {NOT_SET, "[]"}
_BARE = re.compile(r"[A-Za-z0-9_-]+")


class Touches(StrEnum):
    """What a key can change besides how a result is written."""

    NOTHING = ""
    IDENTITY = "identity"  # whether a result is recognised when it is sent again (edge_agent/identity.py)
    LINK = "link"  # the dialogue with the analyser


_IDENTITY = (
    *("specimen.id", "specimen.capture", "specimen.multiple", "specimen.identity", "specimen.patient_id"),
    *("result.code", "result.no_code", "result.component", "result.normalise", "result.value", "result.unit"),
    *("result.range", "result.flags", "result.no_result", "result.status", "result.time", "result.run"),
    *("result.implausible", "result.replicate", "result.volatile", "result.resend_marker", "result.resend_horizon_s"),
    *("text", "records", "select", "comment", "graphics"),
)


@dataclass(frozen=True, slots=True)
class Difference:
    path: str
    old: str  # as TOML, or NOT_SET
    new: str
    touches: Touches


def profile_differences(old: Profile, new: Profile) -> tuple[Difference, ...]:
    """Every key with another content. Empty where only the order of code rows differs."""
    before, after = _keys(old), _keys(new)
    both = ((path, before.get(path, NOT_SET), after.get(path, NOT_SET)) for path in dict.fromkeys((*before, *after)))
    return tuple(
        Difference(path, one, other, _touches(path))
        for path, one, other in both
        if one != other and {one, other} != _NO_TABLES  # each table of the list tells of itself
    )


def _touches(path: str) -> Touches:
    if path.endswith(".source"):
        return Touches.NOTHING
    if path.startswith("link."):
        return Touches.LINK
    decides = any(re.match(rf"{re.escape(key)}(?![\w-])", path) for key in _IDENTITY)
    return Touches.IDENTITY if decides else Touches.NOTHING


def _keys(profile: Profile) -> dict[str, str]:
    keys: dict[str, str] = {}
    full, brief = (profile.model_dump(mode="json", by_alias=True, exclude_defaults=left) for left in (False, True))
    for path, text in _walk("", full, brief):
        twin = path
        for number in range(2, len(keys) + 2):  # two rows of one code and nothing to tell them apart
            if twin not in keys:
                break
            twin = f"{path} ({number})"
        keys[twin] = text
    return keys


def _walk(path: str, node: Any, brief: Any) -> Iterator[tuple[str, str]]:
    """Of a table in a list only what it states: one that is new would bring a line for each key it leaves alone."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _walk(f"{path}.{_key(key)}" if path else _key(key), value, (brief or {}).get(key))
    elif isinstance(node, list) and node and all(isinstance(member, dict) for member in node):
        for number, (member, stated) in enumerate(zip(node, brief or node, strict=True), start=1):
            yield from _walk(f"{path}{_member(path, member, number)}", stated, stated)
    elif node is not None:
        yield path, json.dumps(node, ensure_ascii=False)


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else json.dumps(key, ensure_ascii=False)


def _member(path: str, member: Mapping[str, Any], number: int) -> str:
    if path != "test":
        return f"[{number}]"
    asked = [f"{name} {text}" for name, text in member["when"].items() if text]
    return f"[{', '.join([member['code'], *asked])}]"
