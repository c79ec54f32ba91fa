"""Which fields of which records a profile reads. What is left over is shown as unread, and fails the kit."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from pydantic import BaseModel

from drivers.paths import Path, parse

# Read by the interpreter whatever the profile says, or without content by the standard (record type, sequence number).
FIXED = tuple(
    parse(text)
    for text in (
        *("H.1", "H.2", "H.5", "H.12", "H.13", "H.14"),
        *("P.1", "P.2", "P.6", "P.8", "P.9"),
        *("O.1", "O.2", "O.5", "O.7", "O.8", "O.12", "O.15", "O.26"),
        *("R.1", "R.2", "R.8", "R.12", "R.14"),
        *("C.1", "C.2", "C.3", "C.4", "C.5"),
        *("M.1", "M.2", "S.1", "S.2"),
        *("Q.1", "Q.2", "Q.3", "Q.5", "Q.13"),
        *("L.1", "L.2", "L.3"),
    )
)


class Coverage:
    """The union of all paths of a profile, its ``unused`` list and the fixed ones."""

    def __init__(self, table: BaseModel, unused: tuple[str, ...]) -> None:
        self.whole_records = frozenset(text for text in unused if len(text) == 1)
        self.paths: Mapping[str, frozenset[Path]] = _by_record(
            [*FIXED, *paths_in(table), *(parse(text) for text in unused if len(text) > 1)]
        )
        self._fields = {record: frozenset(p.field for p in paths) for record, paths in self.paths.items()}

    def record(self, letter: str) -> bool:
        """Whether records of this type are left aside on purpose."""
        return letter in self.whole_records

    def field(self, letter: str, number: int) -> bool:
        """Whether any part of the field is read."""
        return letter in self.whole_records or number in self._fields.get(letter, ())

    def component(self, letter: str, number: int, component: int) -> bool:
        """Whether this component is read."""
        paths = self.paths.get(letter, ())
        return letter in self.whole_records or any(path.covers(number, component) for path in paths)


def paths_in(value: object) -> Iterator[Path]:
    """Every path of a table, its tables included."""
    if isinstance(value, Path):
        yield value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from paths_in(getattr(value, name))
    elif isinstance(value, tuple):
        for item in value:
            yield from paths_in(item)


def _by_record(paths: list[Path]) -> Mapping[str, frozenset[Path]]:
    letters = {path.record for path in paths}
    return MappingProxyType({x: frozenset(p for p in paths if p.record == x) for x in letters})
