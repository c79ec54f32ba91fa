"""Everything that can be read of a damaged store, in a scratch database of the same tables.

The tables are those the store's migrations make, with their types and checks but without references, triggers and
indexes: a row that no agent could have written is not taken. Where the schema itself cannot be read its trees are where
the migrations put them, which is the same in every store. Promised: the first row of a key is kept. Not promised: that
rows fit together; ``judgement.py`` sees to that.
"""

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edge_agent.salvage.cells import DamagedError, Value
from edge_agent.salvage.image import Image
from edge_agent.salvage.trees import Forest, Spoiled, Tree
from edge_agent.store import schema
from edge_agent.store.connection import APPLICATION_ID
from edge_agent.store.errors import StoreCorruptError

_MAGIC = b"SQLite format 3\0"
_NUMBERS = "sqlite_sequence"


@dataclass(frozen=True, slots=True)
class Table:
    """Columns in the order a row stores them: a key other than the rowid comes first."""

    name: str
    columns: tuple[str, ...]
    rowid: str  # the column that is the rowid; "" where rows have none
    defaults: tuple[Value, ...]


class Scratch:
    """The database ``file``, made anew; close ``connection`` after use."""

    def __init__(self, file: Path, version: int) -> None:
        self.connection = sqlite3.connect(file, isolation_level=None)
        for pragma in ("auto_vacuum = INCREMENTAL", "journal_mode = OFF", "synchronous = OFF", "cell_size_check = ON"):
            self.connection.execute(f"PRAGMA {pragma}").fetchall()
        for number, sql in schema.migrations():
            if number <= version:
                self.connection.executescript(sql)
        objects = self.connection.execute("SELECT type, name, rootpage FROM sqlite_schema").fetchall()
        self.roots = {str(name): int(root) for kind, name, root in objects if root}
        self.tables = {name: self._table(name) for kind, name, _ in objects if kind == "table"}
        for kind, name, _ in objects:
            if kind == "trigger" or (kind == "index" and not name.startswith("sqlite_")):
                self.connection.execute(f"DROP {kind} {name}")

    def _table(self, name: str) -> Table:
        columns = self.connection.execute(f"PRAGMA table_info({name})").fetchall()
        parts = self.connection.execute("SELECT wr FROM pragma_table_list WHERE name = ?", (name,)).fetchone()
        keyed = not parts[0]
        if not keyed:
            columns.sort(key=lambda c: (c[5] == 0, c[5] or c[0]))
        rowid = next((c[1] for c in columns if keyed and c[5] == 1 and c[2] == "INTEGER"), "")
        values = [self.connection.execute(f"SELECT {c[4] or 'NULL'}").fetchone()[0] for c in columns]
        return Table(name, tuple(c[1] for c in columns), rowid, tuple(values))

    def trees(self, roots: dict[str, int]) -> dict[str, Tree]:
        """``roots``: what the store's own schema says; unless it names every table, what the migrations made."""
        chosen = roots if self.tables.keys() <= roots.keys() else self.roots
        return {name: self._tree(name, root) for name, root in chosen.items()}

    def _tree(self, name: str, root: int) -> Tree:
        table = self.tables.get(name)
        if table is None:
            return Tree(name, root, keyed=False, table=False)
        return Tree(name, root, keyed=bool(table.rowid) or name == _NUMBERS, columns=len(table.columns))

    def fill(self, forest: Forest) -> None:
        for table in self.tables.values():
            marks = ", ".join("?" * len(table.columns))
            sql = f"INSERT INTO {table.name} ({', '.join(table.columns)}) VALUES ({marks})"  # noqa: S608  # our schema's
            self.connection.execute("BEGIN")
            for values in _rows(forest, table):
                with contextlib.suppress(sqlite3.IntegrityError, OverflowError):  # known already, or no row of ours
                    self.connection.execute(sql, values)
            self.connection.execute("COMMIT")

    def close(self) -> None:
        self.connection.close()


def read(image: Image, scratch: Scratch) -> Spoiled:
    """Raises OSError."""
    forest = Forest(image, scratch.trees(_roots(image)))
    scratch.fill(forest)
    return forest.spoiled


def version_of(image: Image) -> int:
    """The schema the store says it has; the newest this agent knows where it does not. Raises StoreTooNewError."""
    known = schema.migrations()[-1][0]
    head = image.page(1) or b""
    if head[:16] != _MAGIC or int.from_bytes(head[68:72], "big") != APPLICATION_ID:
        return known
    found = int.from_bytes(head[60:64], "big")
    try:
        schema.refuse_newer(found, known)
    except StoreCorruptError:
        return known
    return found or known


def _roots(image: Image) -> dict[str, int]:
    """Of tables and indexes by the store's own sqlite_schema, as far as it can be read."""
    own = Forest(image, {"sqlite_schema": Tree("sqlite_schema", 1, keyed=True)}, lost_too=False)
    with contextlib.suppress(DamagedError):
        rows = [values for _, values in own.rows("sqlite_schema")]
        return {str(v[1]): v[3] for v in rows if len(v) == 5 and isinstance(v[3], int) and v[3]}
    return {}


def _rows(forest: Forest, table: Table) -> Iterator[tuple[Value, ...]]:
    """As the columns of the table: what was added later has its default in rows that are older."""
    for rowid, stored in forest.rows(table.name):
        if len(stored) <= len(table.columns):
            whole = stored + table.defaults[len(stored) :]
            yield tuple(rowid if name == table.rowid else v for name, v in zip(table.columns, whole, strict=True))
