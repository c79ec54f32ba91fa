"""Where a device's folder is and what its line looks like: the few facts a simulator may read from a profile.

The folders are found without importing the package that holds them: a mistake there must not meet its mirror image.
"""

import difflib
import importlib.util
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulators.errors import ShapeError, UnknownDeviceError

KNOWN_FRAMING = ("lis01", "auto")


@dataclass(frozen=True, slots=True)
class Device:
    """``checksum`` and ``numbered`` are the profile's link settings; ``charset`` is what the analyser writes in."""

    name: str
    folder: Path
    checksum: str = "standard"
    numbered: bool = True
    charset: str = "utf-8"


def devices_folder() -> Path:
    """The shipped device folders. Raises ``ShapeError`` when the package is not installed."""
    found = importlib.util.find_spec("drivers")
    if found is None or not found.submodule_search_locations:
        raise ShapeError("The device folders are not installed.", "Install the project, or name a folder.")
    return Path(found.submodule_search_locations[0]) / "devices"


def device(name: str, folder: Path | None = None) -> Device:
    """The device called ``name``. Raises ``UnknownDeviceError`` with the nearest name."""
    root = folder or devices_folder()
    place = root / name
    if not name or not (place / "samples").is_dir():
        names = sorted(p.name for p in root.iterdir() if (p / "samples").is_dir()) if root.is_dir() else []
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"Did you mean {near[0]}?" if near else f"Known: {', '.join(names) or 'none'}."
        raise UnknownDeviceError(f"There is no device {name!r}.", hint)
    profile = _profile(place / "profile.toml")
    link, text = profile.get("link", {}), profile.get("text", {})
    if link.get("framing", "lis01") not in KNOWN_FRAMING:
        raise ShapeError(f"{name} does not use LIS01 frames.", "Use `analyser-sim replay --raw` for it.")
    return Device(
        name,
        place,
        checksum=str(link.get("checksum", "standard")),
        numbered=link.get("frame_number") != "none",
        charset=str(text.get("charset", "utf-8")),
    )


def _profile(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        return {}
    with path.open("rb") as file:
        return tomllib.load(file)
