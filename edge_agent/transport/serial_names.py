"""The serial ports of this machine by names that last, for people who choose one. Opens nothing.

A name under /dev/serial/by-id carries the adapter's serial number and follows it to any socket. An adapter without a
serial number has such a name too, but two alike share it; /dev/serial/by-path names the socket it is plugged into.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from serial.tools import list_ports


class Listed(Protocol):
    """What pyserial tells of a port."""

    device: str
    description: str
    serial_number: str | None


@dataclass(frozen=True, slots=True)
class SerialName:
    path: str  # to be written into a configuration
    device: str  # what it means just now, /dev/ttyUSB0
    description: str
    note: str = ""  # one sentence when the name does not follow the adapter


_BY_SOCKET = (
    "The adapter has no serial number: this name means the socket it is plugged into, so leave it in that socket."
)
_NO_NAME = "There is no lasting name for it; its number can change when something is plugged in."


def serial_names(
    folder: Path = Path("/dev/serial"), listed: Callable[[], Iterable[Listed]] = list_ports.comports
) -> list[SerialName]:
    """Every serial port that is there, by its best name, sorted; those without any lasting name last."""
    by_id, by_path = _links(folder / "by-id"), _links(folder / "by-path")
    found = [_named(port, by_id, by_path) for port in listed()]
    return sorted(found, key=lambda name: (name.note == _NO_NAME, name.path))


def _named(port: Listed, by_id: Mapping[Path, Path], by_path: Mapping[Path, Path]) -> SerialName:
    device = Path(port.device).resolve()
    description = "" if port.description in ("", "n/a") else port.description
    if device in by_id and (port.serial_number or device not in by_path):
        return SerialName(str(by_id[device]), port.device, description)
    if device in by_path:
        return SerialName(str(by_path[device]), port.device, description, _BY_SOCKET)
    built_in = port.device.startswith(("/dev/ttyS", "/dev/ttyAMA"))  # on the board: its number does not change
    return SerialName(port.device, port.device, description, "" if built_in else _NO_NAME)


def _links(folder: Path) -> dict[Path, Path]:
    """What each name means. The last of several names in order wins; by-path has a usb and a usbv2 name for one."""
    return {link.resolve(): link for link in sorted(folder.iterdir(), reverse=True)} if folder.is_dir() else {}
