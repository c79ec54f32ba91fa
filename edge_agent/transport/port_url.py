"""The URLs of ports, read strictly: an unknown option is an error with a suggestion, never ignored."""

import difflib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from edge_agent.transport.errors import PortUrlError

SCHEMES = ("tcp-server", "tcp-client", "serial", "rfc2217")


@dataclass(frozen=True, slots=True)
class TcpServerUrl:
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class TcpClientUrl:
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class SerialUrl:
    """Line settings; the defaults are LIS01-A2's usual 9600 8N1 without handshake."""

    device: str  # a path, or an rfc2217:// URL without options
    remote: bool = False
    baudrate: int = 9600
    bytesize: int = 8
    parity: str = "N"
    stopbits: float = 1
    rtscts: bool = False
    xonxoff: bool = False
    dsrdtr: bool = False

    @property
    def name(self) -> str:
        """For people."""
        return self.device.removeprefix("rfc2217://")


PortUrl = TcpServerUrl | TcpClientUrl | SerialUrl


def parse(url: str) -> PortUrl:
    """Raises PortUrlError."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise PortUrlError(f'"{url}" is not a port URL: its port must be a number up to 65535.') from None
    match parts.scheme:
        case "tcp-server":
            return TcpServerUrl(*_address(url, parts, lowest=0))
        case "tcp-client":
            return TcpClientUrl(*_address(url, parts, lowest=1))
        case "serial":
            return replace(SerialUrl(_device(url, parts)), **_options(url, parts))
        case "rfc2217":
            host, port = _address(url, parts, lowest=1, options=True)
            bracketed = f"[{host}]" if ":" in host else host
            return replace(SerialUrl(f"rfc2217://{bracketed}:{port}", remote=True), **_options(url, parts))
        case _:
            raise PortUrlError(_unknown(f'"{url}" does not begin with a known kind of port', parts.scheme, SCHEMES))


def _address(url: str, parts: SplitResult, *, lowest: int, options: bool = False) -> tuple[str, int]:
    if not parts.hostname or parts.port is None or parts.port < lowest:
        raise PortUrlError(f'"{url}" needs an address and a port, as in {parts.scheme}://10.0.0.9:4001.')
    if parts.path not in ("", "/") or parts.username is not None:
        raise PortUrlError(f'"{url}" has more than an address and a port.')
    if parts.query and not options:
        raise PortUrlError(f'"{url}" has options, and {parts.scheme} has none.')
    return parts.hostname, parts.port


def _device(url: str, parts: SplitResult) -> str:
    device = unquote(parts.netloc + parts.path)
    if not device:
        raise PortUrlError(f'"{url}" names no device, as in serial:///dev/serial/by-id/usb-...?baudrate=9600.')
    return device


def _options(url: str, parts: SplitResult) -> dict[str, Any]:
    read: dict[str, Any] = {}
    for name, text in parse_qsl(parts.query, keep_blank_values=True):
        if name not in _READERS:
            raise PortUrlError(_unknown(f'"{url}" has the unknown option {name}', name, tuple(_READERS)))
        if name in read:
            raise PortUrlError(f'"{url}" gives {name} twice.')
        reader, allowed = _READERS[name]
        try:
            read[name] = reader(text)
        except (ValueError, KeyError):
            raise PortUrlError(f'"{url}": {name} cannot be "{text}"; it is {allowed}.') from None
    return read


def _baudrate(text: str) -> int:
    rate = int(text)
    if not 50 <= rate <= 4_000_000:
        raise ValueError(text)
    return rate


_SWITCH = {"0": False, "1": True, "false": False, "true": True}
_READERS: dict[str, tuple[Callable[[str], object], str]] = {
    "baudrate": (_baudrate, "a number such as 9600"),
    "bytesize": ({"5": 5, "6": 6, "7": 7, "8": 8}.__getitem__, "5, 6, 7 or 8"),
    "parity": (lambda text: {p: p for p in "NEOMS"}[text.upper()], "N, E, O, M or S"),
    "stopbits": ({"1": 1, "1.5": 1.5, "2": 2}.__getitem__, "1, 1.5 or 2"),
    "rtscts": (_SWITCH.__getitem__, "0 or 1"),
    "xonxoff": (_SWITCH.__getitem__, "0 or 1"),
    "dsrdtr": (_SWITCH.__getitem__, "0 or 1"),
}


def _unknown(what: str, word: str, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f"{what}; did you mean {near[0]}?" if near else f"{what}; known: {', '.join(known)}."
