"""The profile each analyser was started with stays in use until a person changes it.

A pin is the whole merged profile, in ``data_dir/profiles/<analyser>.json``, written once at first use. An update of the
program or of ``devices.d`` therefore never changes how a running analyser's results are read behind the lab's back;
``status`` says when a newer profile is there.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from drivers.profile import Profile
from drivers.sdk import Device
from edge_agent.errors import AgentError


@dataclass(frozen=True, slots=True)
class Pinned:
    device: Device  # in use
    newer: str  # the shipped or overridden profile's hash where it differs from the pinned one, else ""


def pinned(folder: Path, analyser: str, shipped: Device) -> Pinned:
    """The analyser's pinned device; pins ``shipped`` at first use or when another profile was configured.

    Raises AgentError for a pin that cannot be read: results must not be read by another profile unasked.
    """
    path = folder / f"{analyser}.json"
    if not path.exists():
        _write(path, shipped)
        return Pinned(shipped, "")
    name, text = _read(path, analyser)
    if name != shipped.name:
        _write(path, shipped)
        return Pinned(shipped, "")
    try:
        device = Device(shipped.name, Profile.model_validate_json(text))
    except ValidationError as error:
        raise _damaged(path, analyser) from error
    return Pinned(device, "" if device.hash == shipped.hash else shipped.hash)


def _read(path: Path, analyser: str) -> tuple[str, str]:
    try:
        name, _, text = path.read_text(encoding="utf-8").partition("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise _damaged(path, analyser) from error
    if not text:
        raise _damaged(path, analyser)
    return name, text


def _damaged(path: Path, analyser: str) -> AgentError:
    return AgentError(
        f"The pinned profile of {analyser} in {path} cannot be read.",
        code="pin",
        action="Put the file back from a backup; or remove it to pin the profile that is installed now.",
    )


def _write(path: Path, device: Device) -> None:
    """Atomic: a power cut leaves the old pin or the new one."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    new = path.with_suffix(".new")
    with new.open("w", encoding="utf-8") as file:
        file.write(f"{device.name}\n{device.profile.model_dump_json()}")
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
