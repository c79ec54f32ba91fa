"""What is left of a configuration when its mistakes are taken out: only to look for further mistakes in it.

One pass names every mistake, and profiles, ports and certificates can be looked at only in settings that are correct.
Nothing ever runs with what comes from here.
"""

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Wrong = tuple[Sequence[str | int], bool]  # where, and whether a table as a whole is meant
_NEEDED: Mapping[str, Mapping[str, Any]] = {
    "agent": {"site": "left-out", "gateway": "left-out"},
    "mqtt": {"urls": ["mqtt://localhost"]},
}
_OF_A_TABLE = ("id", "profile", "urls", "site", "gateway")  # each was found right before its table as a whole was not


def rest(raw: Mapping[str, Any], wrong: Iterable[Wrong]) -> dict[str, Any]:
    """The content without what is ``wrong``, and with something harmless where a key must stand."""
    left = copy.deepcopy(dict(raw))
    for location, as_a_whole in wrong:
        _leave_out(left, location, as_a_whole)
    _fill(left)
    return left


def _leave_out(node: Any, location: Sequence[str | int], as_a_whole: bool) -> None:
    holder: dict[str, Any] = {}
    key = ""
    for part in location:
        if isinstance(node, dict) and isinstance(part, str) and part in node:
            holder, key, node = node, part, node[part]
        elif isinstance(node, list) and isinstance(part, int) and part < len(node):
            node = node[part]
        else:
            return  # a key that is missing
    if as_a_whole and isinstance(node, dict):
        for name in [name for name in node if name not in _OF_A_TABLE]:
            del node[name]
    else:
        holder.pop(key, None)


def _fill(left: dict[str, Any]) -> None:
    for table, needed in _NEEDED.items():
        found = left.get(table, {})
        left[table] = {**needed, **found} if isinstance(found, dict) else dict(needed)
    analysers = left.get("analyser", [])
    for index, analyser in enumerate(analysers if isinstance(analysers, list) else []):
        if isinstance(analyser, dict):
            _fill_analyser(index, analyser)


def _fill_analyser(index: int, analyser: dict[str, Any]) -> None:
    analyser.setdefault("id", f"left-out-{index}")
    analyser.setdefault("profile", "lis02_generic")
    if not analyser.get("transport") and not analyser.get("links"):
        analyser["transport"] = f"tcp-server://127.0.0.1:{index + 1}"
