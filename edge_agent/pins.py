"""The profile each analyser was started with stays in use until a person changes it.

A pin is the whole merged profile, in ``data_dir/profiles/<analyser>.json``, written once at first use. An update of the
program or of ``devices.d`` therefore never changes how a running analyser's results are read behind the lab's back;
``status`` says when a newer profile is there, and ``profile adopt`` puts it in the old one's place. At any moment the
pin is the old one or the new one, whole.
"""

from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from drivers.profile import Profile
from drivers.sdk import Device
from edge_agent.errors import AgentError
from edge_agent.pin_history import Change, remember, write_whole


@dataclass(frozen=True, slots=True)
class Pinned:
    device: Device  # in use
    newer: str  # the shipped or overridden profile's hash where it differs from the pinned one, else ""


def pinned(folder: Path, analyser: str, shipped: Device) -> Pinned:
    """The analyser's pinned device; pins ``shipped`` at first use or when another profile was configured.

    Raises AgentError for a pin that cannot be read: results must not be read by another profile unasked; and for one
    that cannot be written: another profile would be taken at the next start.
    """
    device = pin_of(folder, analyser, shipped.name)
    if device is None:
        try:
            _write(_path(folder, analyser), shipped)
        except OSError as error:
            raise _not_written(folder, analyser, error.strerror or "the disk would not") from error
        return Pinned(shipped, "")
    return Pinned(device, "" if device.hash == shipped.hash else shipped.hash)


def pin_of(folder: Path, analyser: str, name: str) -> Device | None:
    """The pinned device; None if there is none, or one of another name. Raises AgentError ``pin``."""
    path = _path(folder, analyser)
    if not path.exists():
        return None
    pinned_name, text = _read(path, analyser)
    if pinned_name != name:
        return None
    try:
        return Device(name, Profile.model_validate_json(text))
    except ValidationError as error:
        raise _damaged(path, analyser) from error


def replace_pin(folder: Path, analyser: str, old: Device, new: Device, change: Change) -> None:
    """``new`` in the place of ``old``, which is kept. Raises OSError; the pin is then the old one still."""
    remember(folder, analyser, old, new.hash, change)
    _write(_path(folder, analyser), new)


def _path(folder: Path, analyser: str) -> Path:
    return folder / f"{analyser}.json"


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


def _not_written(folder: Path, analyser: str, why: str) -> AgentError:
    return AgentError(
        f"The profile of {analyser} cannot be written in {folder}: {why}.",
        code="pin",
        action="Check the disk and the owner of the data directory, then start or reload again.",
    )


def _write(path: Path, device: Device) -> None:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    write_whole(path, f"{device.name}\n{device.profile.model_dump_json()}")
