"""What belongs into a backup besides the database, and what never does.

In: the pinned profiles, ``identity.json`` (to be read; a restored store takes a new identity), the configuration file
and the TOML files of its ``devices.d``. Never: private keys, password files, certificates; they are put on another PC
the way they were put on this one.
"""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from edge_agent.backup.archive import DATABASE, Counts, Manifest, facts_of
from edge_agent.configuration.file import resolve
from edge_agent.settings import Settings
from edge_agent.store.backup import Facts
from edge_agent.store.directory import database_files
from edge_agent.store.identity import FILE as IDENTITY
from edge_agent.version import __version__


@dataclass(frozen=True, slots=True)
class Contents:
    manifest: Manifest
    places: dict[str, Path]


def contents(folder: Path, facts: Facts, config: Path, settings: Settings, made: datetime, *, online: bool) -> Contents:
    """Of the checked copy in ``folder``, where the other files are copied too. Hashes every file. Raises OSError."""
    places = {DATABASE: database_files(folder)[0]}
    for name, path in _beside(config, settings):
        places[name] = folder / "beside" / name
        places[name].parent.mkdir(parents=True, exist_ok=True)
        places[name].write_bytes(path.read_bytes())  # may change before it is sent
    manifest = Manifest(
        made=made,
        online=online,
        agent=__version__,
        sqlite=sqlite3.sqlite_version,
        store_schema=facts.schema,
        site=settings.agent.site,
        gateway=settings.agent.gateway,
        identity=facts.identity,
        newest=facts.newest,
        audit_entry=facts.audit_entry,
        audit_hash=facts.audit_hash,
        counts=Counts(
            messages={state.value: count for state, count in facts.messages.items()},
            held=facts.held,
            failed=facts.failed,
            unconverted=facts.unconverted,
        ),
        files={name: facts_of(path) for name, path in places.items()},
    )
    return Contents(manifest, places)


def _beside(config: Path, settings: Settings) -> Iterator[tuple[str, Path]]:
    data_dir = resolve(config, settings.agent.data_dir)
    if (data_dir / IDENTITY).exists():
        yield IDENTITY, data_dir / IDENTITY
    for pin in sorted((data_dir / "profiles").rglob("*.json")):  # also those that were used before
        yield pin.relative_to(data_dir).as_posix(), pin
    yield "config/edge-agent.toml", config
    devices = resolve(config, settings.drivers.devices_dir)
    for file in sorted(devices.rglob("*.toml")):
        yield f"config/devices.d/{file.relative_to(devices).as_posix()}", file
