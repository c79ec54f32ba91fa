"""How a device departs from LIS01-A2 on the line, and its check bytes. The defaults are the standard."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import xor
from types import MappingProxyType

from drivers.errors import OptionError

STX, ETX, EOT, ENQ, ACK, LF, CR, NAK, ETB, GS = 0x02, 0x03, 0x04, 0x05, 0x06, 0x0A, 0x0D, 0x15, 0x17, 0x1D

_HEX = tuple(b"%02X" % n for n in range(256))


def _hex_sum(body: bytes) -> bytes:
    return _HEX[sum(body) & 0xFF]


# kind -> the check bytes over ``body``: frame number (if any), text and end character, as bytes (LIS01-A2 §6.3.3)
_CHECKS: Mapping[str, Callable[[bytes], bytes]] = MappingProxyType(
    {
        "standard": _hex_sum,
        "incl_stx": lambda body: _HEX[(sum(body) + STX) & 0xFF],
        "no_etx": lambda body: _HEX[sum(body[:-1]) & 0xFF],
        "xor1": lambda body: bytes((reduce(xor, body, 0),)),
        "gs_hex": lambda body: _hex_sum(body).lower(),
        "none": lambda body: b"",
    }
)
_LENGTHS = MappingProxyType({"standard": 2, "incl_stx": 2, "no_etx": 2, "xor1": 1, "gs_hex": 2, "none": 0})

_ALLOWED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "framing": ("lis01", "bare", "auto"),
        "checksum": tuple(_CHECKS),
        "frame_number": ("strict", "continues", "any", "none"),
        "trailer": ("crlf", "any", "none"),
        "etb": ("split", "record"),
        "ack_unit": ("frame", "record", "message", "session"),
        "end_of_message": ("L", "EOT", "idle"),
    }
)
_RESYNC = frozenset({"enq_again", "eot_first", "nul", "vt_padding"})


@dataclass(frozen=True, slots=True)
class Dialect:
    """The ``[link]`` table of a profile. An unknown value raises ``OptionError``. Times are seconds.

    ``framing``: ``lis01`` frames; ``bare`` records without STX and ETX; ``auto`` takes a message that starts with ``H``
    and a delimiter, before any frame, as bare. ``checksum``: two hexadecimal digits over frame number to end
    character (``standard``), the same with STX (``incl_stx``) or without the end character (``no_etx``), one byte of
    exclusive or (``xor1``), two digits after a GS that ends the text (``gs_hex``), or nothing. ``trailer``: CR LF
    demanded (``crlf``); CR, LF, both or nothing (``any``); nothing (``none``). ``etb``: whether an ETB frame goes on
    in the next (``split``) or holds complete records (``record``).

    ``resync``: ``enq_again`` answers an ENQ in mid-session and goes on; ``eot_first`` ignores an EOT before the first
    frame and takes a frame without ENQ; ``vt_padding`` swallows a run of STX before a frame; ``nul`` says that NULs
    between frames are this device's habit (they are swallowed from every device).
    """

    framing: str = "lis01"
    checksum: str = "standard"
    frame_number: str = "strict"
    trailer: str = "crlf"
    etb: str = "split"
    max_frame: int = 64_000  # characters, overhead included (§6.3.1.2); E1381 allowed 247
    max_message: int = 16 * 1024 * 1024
    ack_unit: str = "frame"
    end_of_message: str = "L"
    idle_s: float = 3.0
    receive_s: float = 30.0
    reply_s: float = 15.0
    busy_s: float = 10.0
    contention_s: float = 20.0
    settle_s: float = 0.5  # silence that shows a byte was the last one, where only silence can (see lis01_frames)
    nak_limit: int = 6
    resync: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        for name, allowed in _ALLOWED.items():
            value = getattr(self, name)
            if value not in allowed:
                raise OptionError(f'link.{name} is "{value}"; it may be {", ".join(allowed)}.')
        for word in sorted(self.resync - _RESYNC):
            raise OptionError(f'link.resync has "{word}"; it may hold {", ".join(sorted(_RESYNC))}.')

    @property
    def check_length(self) -> int:
        return _LENGTHS[self.checksum]

    @property
    def numbered(self) -> bool:
        return self.frame_number != "none"

    def check(self, body: bytes) -> bytes:
        """The check bytes of a frame. ``body``: frame number (if the dialect has one), text, end character."""
        return _CHECKS[self.checksum](body)

    def verifies(self, body: bytes, found: bytes) -> bool:
        """Whether ``found`` are the check bytes of ``body``. Exact: a lower-case digit is a damaged one."""
        if self.checksum == "standard":
            return _HEX[sum(body) & 0xFF] == found
        if self.checksum == "gs_hex":
            found = found.lower()  # both cases are in use there
        return _CHECKS[self.checksum](body) == found
