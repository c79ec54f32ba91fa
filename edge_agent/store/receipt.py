"""The receipt without which no acknowledgement of data can be made.

Promised: a ``Stored`` exists only after the COMMIT that made its chunks durable returned. It needs a ``Committed``,
which ``connection.py`` alone makes, after COMMIT; a test looks for any other place that makes either.
Not promised: protection from code that sets out to forge one.
"""

from dataclasses import InitVar, dataclass
from typing import NoReturn

from edge_agent.store.errors import NotCommittedError


@dataclass(frozen=True, slots=True)
class Committed:
    """Proof that a COMMIT returned. ``number`` counts commits of this database."""

    number: int


@dataclass(frozen=True, slots=True)
class Stored:
    """These chunks are on the disk."""

    proof: InitVar[Committed]
    transmission: int
    chunks: int

    def __post_init__(self, proof: Committed) -> None:
        if not isinstance(proof, Committed):
            raise NotCommittedError


class Promise:
    """What ``append`` gives inside a group: worth nothing until the group's COMMIT turns it into a ``Stored``."""

    __slots__ = ("_chunks", "_transmission")

    def __init__(self, transmission: int, chunks: int) -> None:
        self._transmission = transmission
        self._chunks = chunks

    def redeem(self, proof: Committed) -> Stored:
        return Stored(proof, self._transmission, self._chunks)

    @property
    def chunks(self) -> NoReturn:
        raise NotCommittedError

    @property
    def transmission(self) -> NoReturn:
        raise NotCommittedError


def redeemed(value: object, proof: Committed) -> object:
    """``value`` with every promise in it (itself, or in a tuple or list) turned into a receipt."""
    if isinstance(value, Promise):
        return value.redeem(proof)
    if type(value) in (tuple, list):
        return type(value)(redeemed(v, proof) for v in value)  # type: ignore[attr-defined, call-arg]  # tuple or list, checked above
    return value
