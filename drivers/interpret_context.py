"""Reading by path: the records a path may speak of at one place of a message, and the drafts built from them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from drivers.canonical import Comment, Hold, Observation, Unread
from drivers.paths import Path, read
from drivers.profile import Profile
from drivers.protocols.lis02 import Record

Chain = Mapping[str, Record]  # record type -> the record of that type in force: H, P, O, and the one being read


@dataclass(slots=True)
class ResultDraft:
    """An observation while comments may still come."""

    observation: Observation
    comments: list[Comment] = field(default_factory=list)
    flags: list[str] = field(default_factory=list)
    reason: str = ""
    records: list[int] = field(default_factory=list)


@dataclass(slots=True)
class PatientDraft:
    record: Record | None = None
    undecodable: bool = False
    comments: list[Comment] = field(default_factory=list)


@dataclass(slots=True)
class OrderDraft:
    """An O record and what hangs under it. Without a record: results that stand under no order we could read."""

    patient: PatientDraft
    record: Record | None = None
    holds: list[Hold] = field(default_factory=list)
    comments: list[Comment] = field(default_factory=list)
    results: list[ResultDraft] = field(default_factory=list)
    lots: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    records: list[int] = field(default_factory=list)


class Reader:
    """A profile applied to the records in force."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.clean = profile.text.clean

    def text(self, path: Path, chain: Chain) -> str:
        return self.clean(read(path, chain.get(path.record)))

    def first(self, paths: Iterable[Path], chain: Chain) -> str:
        """The first text that is not empty."""
        for path in paths:
            text = self.clean(read(path, chain.get(path.record)))
            if text:
                return text
        return ""

    def every(self, paths: Iterable[Path], chain: Chain) -> tuple[str, ...]:
        return tuple(text for text in (self.text(path, chain) for path in paths) if text)


class Notes:
    """What nobody mapped, collected on the way."""

    def __init__(self) -> None:
        self.unread: list[Unread] = []

    def add(self, record: Record, path: str, reason: str) -> None:
        self.unread.append(Unread(record.index, path, reason))
