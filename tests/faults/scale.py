"""How much of a harness is run: a sample whose turn moves on with every run, or everything (FAULTS=full).

An enumerated list is dealt out over ``TURNS`` runs, so that ten runs one after another on one machine cover all of it.
The turn is kept beside other caches of this user; FAULTS_TURN names one, FAULTS_SEED repeats a run's random moments.
"""

import os
import random
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TypeVar
from zlib import crc32

import pytest

T = TypeVar("T")

FULL = os.environ.get("FAULTS") == "full"
TURNS = 10
_KEPT = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ivd-edge-agent" / "faults-turn"


def many(sample: int, full: int) -> int:
    """How often a random trial is made. FAULTS_SCALE multiplies the full number (a night: 10)."""
    return max(1, int(full * float(os.environ.get("FAULTS_SCALE", "1")))) if FULL else sample


@cache
def turn() -> int:
    """0 to 9: the share of each enumerated list that this run looks at."""
    if named := os.environ.get("FAULTS_TURN"):
        return int(named) % TURNS
    try:
        last = int(_KEPT.read_text(encoding="ascii"))
    except (OSError, ValueError):
        last = random.SystemRandom().randrange(TURNS)
    following = (last + 1) % TURNS
    _KEPT.parent.mkdir(parents=True, exist_ok=True)
    _KEPT.write_text(str(following), encoding="ascii")
    return following


def share(points: Sequence[T]) -> Sequence[T]:
    """This turn's points of an enumerated list; all of them in a full run."""
    return points if FULL else points[turn() :: TURNS]


def one_in(groups: int, scenarios: Sequence[T]) -> Sequence[T]:
    """Scenarios that take their time: this turn's group of so many; all of them in a full run."""
    return scenarios if FULL else scenarios[turn() % groups :: groups]


@cache
def seed() -> int:
    """New in each run, printed at its beginning."""
    return int(os.environ.get("FAULTS_SEED") or random.SystemRandom().randrange(1, 1_000_000))


def chance(name: str) -> random.Random:
    """A harness's own stream of random numbers, the same for the same seed whatever else runs."""
    return random.Random(f"{seed()} {name}")


def has_its_turn(item: pytest.Item) -> bool:
    """For tests marked ``every(n)``, which take their time and enumerate nothing."""
    mark = item.get_closest_marker("every")
    return FULL or mark is None or crc32(item.name.encode()) % mark.args[0] == turn() % mark.args[0]
