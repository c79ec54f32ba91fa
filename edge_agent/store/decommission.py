"""The mark that a data directory is out of service: the agent refuses to start on it until a person takes it away.

Promised: the mark is on the disk when ``mark`` returns; it deletes nothing. ``erase`` deletes the database, for a
person who said so.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from edge_agent.errors import OutOfServiceError
from edge_agent.store.directory import (
    UNFINISHED,
    database_files,
    forget_unfinished,
    hidden_name,
    sync_directory,
)
from edge_agent.store.identity import FILE, WITNESS

MARK = "decommissioned"
_OF_SALVAGES = ("evidence-*", "salvage.partial")


def mark(data_dir: Path, facts: Mapping[str, str]) -> None:
    """Raises OSError."""
    fd = os.open(data_dir / MARK, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    try:
        os.write(fd, json.dumps(dict(facts)).encode())
        os.fsync(fd)
    finally:
        os.close(fd)
    sync_directory(data_dir)


def refuse_decommissioned(data_dir: Path) -> None:
    """Raises OutOfServiceError. A directory one may not look into is told by who opens the store in it."""
    if is_decommissioned(data_dir):
        raise OutOfServiceError(data_dir / MARK)


def is_decommissioned(data_dir: Path) -> bool:
    return os.path.lexists(data_dir / MARK)


def erase(data_dir: Path) -> list[Path]:
    """Delete the database and its copies; which files went. For who holds the directory's lock.

    Also the copies that an interrupted backup, upgrade or salvage left: they have the same patients in them.
    """
    copies = (*data_dir.glob("agent-schema-*"), *(data_dir / UNFINISHED).glob("agent.db*"))
    evidence = sorted(path for name in _OF_SALVAGES for path in data_dir.glob(f"{name}/*") if path.is_file())
    named = (data_dir / FILE, data_dir / WITNESS)  # say that there was a store
    files = (*database_files(data_dir), hidden_name(database_files(data_dir)[0]), *sorted(copies), *evidence, *named)
    gone = [path for path in files if path.exists()]
    for path in gone:
        path.unlink()
    for name in _OF_SALVAGES:
        for folder in data_dir.glob(name):
            folder.rmdir()
    forget_unfinished(data_dir)
    sync_directory(data_dir)
    return gone


def former_stores(data_dir: Path) -> list[Path]:
    """What a restore moved aside or left half made. Nothing here deletes them."""
    place = data_dir.resolve()
    return sorted((*place.parent.glob(f"{place.name}.before-*"), *place.parent.glob(f"{place.name}.restoring")))
