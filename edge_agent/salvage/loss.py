"""What a salvage found, and what it did not: counts, numbers and times, never content."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class MissingTransmission:
    """Bytes an analyser sent that cannot be read, or not be proved unaltered, and whose results are nowhere else."""

    number: int
    analyser: str  # "" where nobody knows


@dataclass(frozen=True, slots=True)
class MissingMessage:
    """A message that cannot be read and that nobody is known to have filed."""

    id: str
    analyser: str
    transmission: int


@dataclass(frozen=True, slots=True)
class Gap:
    """Sequence numbers of messages that are gone, of one identity of the store and analyser."""

    identity: str
    analyser: str
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Resend:
    """What an analyser has to send again: everything it sent between these."""

    analyser: str
    since: datetime | None
    until: datetime


@dataclass(slots=True)
class Loss:
    pages: int = 0  # that belong to tables
    frames: int = 0  # of the log
    commits: int = 0  # that the directory knows of and the store does not have
    transmissions: list[MissingTransmission] = field(default_factory=list)
    messages: list[MissingMessage] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    resend: list[Resend] = field(default_factory=list)
    identities: bool = False  # what recognises repeats is not whole
    audit_entries: int = 0  # behind the break

    def __bool__(self) -> bool:
        """Whether a result may be missing, or come a second time."""
        return bool(self.commits or self.transmissions or self.messages or self.resend or self.identities)


@dataclass(slots=True)
class Carried:
    """``rows``: by table, what the new store has. ``read``: what could be read at all."""

    read: Mapping[str, int] = field(default_factory=dict)
    rows: Mapping[str, int] = field(default_factory=dict)
    again: int = 0  # messages not known to be filed: they go out with the id and content they had
    reread: int = 0  # transmissions whose bytes are read once more because what they led to is gone
    rebuilt: int = 0  # messages put together from their text and the audit chain


def ranges(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Runs of consecutive numbers."""
    found: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if found and number == found[-1][1] + 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found
