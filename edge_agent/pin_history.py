"""The profiles an analyser was read by before: ``profiles/history/<analyser>/0001.json`` and on, the newest last.

Promised: an entry is whole or not there, and is there before the pin it tells of is replaced, with who replaced it,
when and why. Not promised: that the replacement came about; a crash between the two leaves an entry equal to the pin.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from drivers.profile import Profile
from drivers.sdk import Device
from edge_agent.errors import AgentError
from edge_agent.store.directory import sync_directory


@dataclass(frozen=True, slots=True)
class Change:
    """A person's decision for another profile."""

    at: str  # RFC 3339, UTC
    who: str
    note: str


@dataclass(frozen=True, slots=True)
class Former:
    """A profile that was in use until ``change`` put ``replaced_by`` (a hash) in its place."""

    number: int
    device: Device
    change: Change
    replaced_by: str


def remember(folder: Path, analyser: str, old: Device, replaced_by: str, change: Change) -> None:
    """Keep ``old``. Raises OSError, and AgentError where what is there already cannot be read."""
    place = folder / "history" / analyser
    for made in (place.parent, place):
        made.mkdir(mode=0o700, parents=True, exist_ok=True)
        sync_directory(made.parent)
    number = max((former.number for former in former_pins(folder, analyser)), default=0) + 1
    content = {
        **asdict(change),
        "replaced_by": replaced_by,
        "hash": old.hash,
        "device": old.name,
        "profile": old.profile.model_dump(mode="json", by_alias=True),
    }
    write_whole(place / f"{number:04}.json", json.dumps(content, ensure_ascii=False, indent=1))


def former_pins(folder: Path, analyser: str) -> list[Former]:
    """Oldest first. Raises AgentError ``pin-history`` for an entry that cannot be read."""
    place = folder / "history" / analyser
    return [_read(path, analyser) for path in sorted(place.glob("[0-9]*.json"), key=lambda p: int(p.stem))]


def _read(path: Path, analyser: str) -> Former:
    try:
        content = _CONTENT.validate_json(path.read_bytes())
        change = Change(*(str(content[name]) for name in ("at", "who", "note")))
        profile = Profile.model_validate_json(json.dumps(content["profile"]))
        return Former(int(path.stem), Device(str(content["device"]), profile), change, str(content["replaced_by"]))
    except (OSError, KeyError, ValidationError) as error:
        raise AgentError(
            f"A former profile of {analyser} in {path} cannot be read.",
            code="pin-history",
            action="Put the file back from a backup, or move it away; the profile in use is not touched.",
        ) from error


_CONTENT = TypeAdapter(dict[str, Any])


def write_whole(path: Path, text: str) -> None:
    """Atomic: a power cut leaves the old file or the new one."""
    new = path.with_suffix(".new")
    with new.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    sync_directory(path.parent)
