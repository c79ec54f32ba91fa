"""The damaged store put aside, whole, before anything opens it; and the new one put in its place.

Promised: the database, its log, its shared memory and what says who the store is go together into one folder, under
their names, with the SHA-256 of each beside them; nothing is deleted or written over. A mark in the data directory says
so from the first move to the last: while it is there no agent starts, and a salvage that was interrupted goes on where
it was. SQLite empties the log of a database it does not find, so the database goes first and the mark before it.
"""

import hashlib
import os
import shutil
from datetime import datetime
from pathlib import Path

from edge_agent.store.directory import SALVAGED, SALVAGING, database_files, hidden_name, sync_directory
from edge_agent.store.identity import FILE, WITNESS
from edge_agent.store.times import to_us

SUMS = "SHA256SUMS"
WORK = "salvage.partial"  # the new store while it is made


class Evidence:
    """Of one data directory, whose lock is held."""

    def __init__(self, data_dir: Path, now: datetime) -> None:
        """An interrupted salvage keeps the folder it began. Touches nothing."""
        self._data_dir = data_dir
        self._mark = data_dir / SALVAGING
        name = self._mark.read_text("utf-8").strip() if self._mark.exists() else f"evidence-{now:%Y%m%dT%H%M%SZ}"
        self.folder = data_dir / name
        self.database, self.log, _ = database_files(self.folder)
        self.identity, self.witness = self.folder / FILE, self.folder / WITNESS

    def secure(self) -> dict[str, str]:
        """Move everything there; the SHA-256 of each file, hex. Raises OSError."""
        _write(self._mark, self.folder.name)
        self.folder.mkdir(mode=0o700, exist_ok=True)
        sync_directory(self._data_dir)
        if not (self.folder / SUMS).exists():
            self._move()
            sums = {path.name: _sha256(path) for path in sorted(self.folder.iterdir())}
            _write(self.folder / SUMS, "".join(f"{sha}  {name}\n" for name, sha in sums.items()))
        lines = (self.folder / SUMS).read_text("utf-8").splitlines()
        return {name: sha for sha, _, name in (line.partition("  ") for line in lines)}

    def _move(self) -> None:
        database, log, shared = database_files(self._data_dir)
        if hidden_name(database).exists() and not database.exists():
            hidden_name(database).rename(database)
        for path in (database, log, shared, self._data_dir / FILE, self._data_dir / WITNESS):
            if path.exists() and not (self.folder / path.name).exists():
                path.rename(self.folder / path.name)
        sync_directory(self.folder)
        sync_directory(self._data_dir)

    def work_folder(self) -> Path:
        """An empty folder for the new store."""
        folder = self._data_dir / WORK
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        return folder

    def put_in_place(self, made: Path, since: datetime) -> None:
        """``made``: the new database, synced; ``since``: results after it may be missing."""
        _write(self._data_dir / SALVAGED, str(to_us(since)))
        made.rename(database_files(self._data_dir)[0])
        sync_directory(self._data_dir)
        shutil.rmtree(self._data_dir / WORK)
        self._mark.unlink()
        sync_directory(self._data_dir)


def _write(path: Path, text: str) -> None:
    """Whole or not at all."""
    aside = path.with_suffix(".new")
    fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, text.encode())
        os.fsync(fd)
    finally:
        os.close(fd)
    aside.rename(path)
    sync_directory(path.parent)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
