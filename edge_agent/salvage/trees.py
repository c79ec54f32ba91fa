"""The rows of a table, from the root down and, where a page above them is gone, from the pages themselves.

Promised: every row whose own page can be read is given, once or more often; rows of pages in ``Image.stale`` come last,
so that who takes the first of a key takes the newest. A page nothing points to any more is put under its table by the
pointer map an auto-vacuum database has (fileformat2.html, §1.8), or by the number of its columns. Not promised: rows
deleted long ago; pages that were given back are zeros (``secure_delete``).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from edge_agent.salvage.cells import (
    INDEX,
    INTERIOR_TABLE,
    LEAF_TABLE,
    LEAVES,
    TABLE,
    DamagedError,
    Value,
    kind,
    take_apart,
)
from edge_agent.salvage.image import PAGE, Image

Found = tuple[int | None, tuple[Value, ...]]  # rowid, values in the order they are stored

_ENTRY = 5  # bytes of the pointer map per page
_PER_MAP = PAGE // _ENTRY
_ROOT, _NODE = 1, 5  # uses of a page; between them free and overflow
_DEEPEST = 32


@dataclass(frozen=True, slots=True)
class Tree:
    """A table's (``keyed`` by rowid) or an index's."""

    name: str
    root: int
    keyed: bool
    table: bool = True
    columns: int = 0


@dataclass(slots=True)
class Spoiled:
    """What could not be read."""

    pages: dict[str, set[int]] = field(default_factory=dict)  # by tree
    homeless: set[int] = field(default_factory=set)  # pages with rows that belong to no tree anybody knows

    def page(self, tree: str, number: int) -> None:
        self.pages.setdefault(tree, set()).add(number)

    def __bool__(self) -> bool:
        return bool(self.pages or self.homeless)


class Forest:
    """Every tree of one database."""

    def __init__(self, image: Image, trees: Mapping[str, Tree], *, lost_too: bool = True) -> None:
        """``lost_too``: also pages that no tree leads to."""
        self._image = image
        self._trees = trees
        self.homes: dict[int, str] = {}  # page -> the tree it was reached from
        self.spoiled = Spoiled()
        for tree in trees.values():
            self._climb(tree)
        if lost_too:
            self._take_in()

    def rows(self, table: str) -> Iterator[Found]:
        """Raises OSError."""
        numbers = sorted(number for number, name in self.homes.items() if name == table)
        stale = self._image.stale
        for number in sorted(numbers, key=lambda n: n in stale):
            try:
                page = take_apart(number, self._image.page)
            except DamagedError:
                self.spoiled.page(table, number)
                continue
            if page.spoiled:
                self.spoiled.page(table, number)
            yield from ((cell.rowid, cell.record) for cell in page.cells if cell.record is not None)

    def _climb(self, tree: Tree) -> None:
        waiting = [(tree.root, 0)]
        while waiting:
            number, depth = waiting.pop()
            if number in self.homes or depth > _DEEPEST or not self._fits(number, tree):
                self.spoiled.page(tree.name, number)
                continue
            self.homes[number] = tree.name
            waiting += [(child, depth + 1) for child in self._children(number)]

    def _fits(self, number: int, tree: Tree) -> bool:
        return kind(number, self._image.page) in (TABLE if tree.keyed else INDEX)

    def _children(self, number: int) -> list[int]:
        if kind(number, self._image.page) in LEAVES:
            return []
        try:
            return take_apart(number, self._image.page).children
        except DamagedError:  # its rows are given up where they are read
            return []

    def _take_in(self) -> None:
        """Pages that hold rows and that no tree leads to."""
        for number in range(3, self._image.pages + 1):
            if number in self.homes or _is_map(number):
                continue
            home = self._home(number) if kind(number, self._image.page) in TABLE | INDEX else None
            if home is None:
                continue
            tree = self._trees.get(home)
            if tree is None:
                self.spoiled.homeless.add(number)
            elif self._fits(number, tree):
                self.homes[number] = home

    def _home(self, number: int) -> str | None:
        """The tree a page belongs to; "" when it has rows and that cannot be told; None when it has none."""
        roots = {tree.root: name for name, tree in self._trees.items()}
        use, above = self._map_entry(number)
        if use not in (_ROOT, _NODE):
            return None if _ROOT <= use <= _NODE else self._by_shape(number)
        for _ in range(_DEEPEST):
            if above in self.homes or above in roots:
                return self.homes.get(above) or roots[above]
            use, above = self._map_entry(above)
            if use != _NODE:
                break
        return self._by_shape(number)

    def _by_shape(self, number: int) -> str | None:
        try:
            page = take_apart(number, self._image.page)
        except DamagedError:
            return None
        if page.kind == INTERIOR_TABLE:
            return None  # has no rows of its own
        columns = {len(cell.record) for cell in page.cells if cell.record is not None}
        if not columns:
            return None
        fitting = [t.name for t in self._trees.values() if t.table and t.keyed and columns == {t.columns}]
        return fitting[0] if page.kind == LEAF_TABLE and len(fitting) == 1 else ""

    def _map_entry(self, number: int) -> tuple[int, int]:
        if number < 2:
            return 0, 0
        map_page = 2 + (number - 2) // (_PER_MAP + 1) * (_PER_MAP + 1)
        data, at = self._image.page(map_page), (number - map_page - 1) * _ENTRY
        if data is None or at < 0:
            return 0, 0
        return data[at], int.from_bytes(data[at + 1 : at + 5], "big")


def _is_map(number: int) -> bool:
    return (number - 2) % (_PER_MAP + 1) == 0
