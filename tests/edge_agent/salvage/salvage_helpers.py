"""A damaged store, and what is looked at when it was salvaged."""

import sqlite3
from pathlib import Path

from store_helpers import StillClock

from edge_agent.salvage.found import Scratch
from edge_agent.salvage.image import PAGE, Image
from edge_agent.salvage.salvaging import Salvaged, Salvaging
from edge_agent.salvage.trees import Forest
from edge_agent.store import schema
from edge_agent.store.directory import database_files
from edge_agent.store.rows import Chunk, ChunkKind
from edge_agent.store.store import Store

KNOWN = schema.migrations()[-1][0]

TABLES = ("transmission", "chunk", "specimen_group", "observation", "seen", "outbox", "payload", "attempt", "counter")
# STX, frame number 1, text, ETX; the digits are the sum of what lies between modulo 256 (LIS01-A2 6.3.1.2): 0xE5.
FRAME = Chunk(ChunkKind.FRAME, b"\x021H|\\^&\r\x03E5\r\n", b"H|\\^&\r", 1, last=True)


def opened(data_dir: Path, **options: object) -> Store:
    return Store.open(data_dir, StillClock(), reserve_mb=0, low_water_mb=0, allow_unsafe=True, **options)  # type: ignore[arg-type]


def rows(store: Store) -> dict[str, list[tuple[object, ...]]]:
    return {table: store.database.rows(f"SELECT * FROM {table} ORDER BY 1, 2") for table in TABLES}


def salvage(data_dir: Path) -> Salvaged:
    return Salvaging(data_dir, ["xn1"], StillClock()).salvage()


def pages_of(data_dir: Path, tree: str, tmp_path: Path) -> list[int]:
    scratch = Scratch(tmp_path / "scratch.db", KNOWN)
    with Image(*database_files(data_dir)[:2]) as image:
        homes = Forest(image, scratch.trees({})).homes
    scratch.close()
    return [number for number, name in sorted(homes.items()) if name == tree]


def spoil(data_dir: Path, page: int, *, at: int = 0, size: int = PAGE) -> None:
    with (data_dir / "agent.db").open("r+b") as file:
        file.seek((page - 1) * PAGE + at)
        file.write(b"\xff" * size)


def altered(data_dir: Path, *statements: str) -> None:
    other = sqlite3.connect(data_dir / "agent.db")
    for sql in statements:
        other.execute(sql)
    other.commit()
    other.close()
