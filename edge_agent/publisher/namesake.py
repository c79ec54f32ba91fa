"""Telling another gateway that uses our name, by what it says of itself under our topic ``state``."""

import json
from collections.abc import Collection

_ALIVE = ("starting", "ready", "degraded", "stopping")


def is_namesake(payload: bytes, ours: Collection[str]) -> bool:
    """Whether a ``state`` message is the birth of another gateway that uses our id."""
    try:
        said = json.loads(payload)
        return said["state"] in _ALIVE and said["session"] not in ours
    except (ValueError, KeyError, RecursionError, TypeError):
        return False
