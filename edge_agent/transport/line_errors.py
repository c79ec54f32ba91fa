"""What a UART's driver counts of a bad line: parity and framing errors, overruns (Linux, TIOCGICOUNT).

Promised: a rise between two looks is said once, with its kind. Not promised: that a port counts; a pseudo-terminal,
some USB adapters and every terminal server do not, and other systems have no such call. Nothing hangs on it: a damaged
byte is refused by the frame's check digits, and these figures say why.
"""

import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass

TIOCGICOUNT = 0x545D
_COUNTS = struct.Struct("20i")  # serial_icounter_struct of linux/serial.h; its seventh to ninth and eleventh are used

Ioctl = Callable[[int, int, bytes], bytes]


@dataclass(frozen=True, slots=True)
class LineErrors:
    """Since the port was opened."""

    framing: int = 0
    overrun: int = 0  # of the chip, and of the driver's buffer
    parity: int = 0

    def since(self, before: "LineErrors") -> "LineErrors":
        return LineErrors(self.framing - before.framing, self.overrun - before.overrun, self.parity - before.parity)

    @property
    def total(self) -> int:
        return self.framing + self.overrun + self.parity

    def __str__(self) -> str:
        return f"{self.parity} parity errors, {self.framing} framing errors, {self.overrun} overruns"


class Counters:
    """Of one open port."""

    def __init__(self, fd: int, ioctl: Ioctl) -> None:
        self._fd = fd
        self._ioctl = ioctl
        self._first = self._read()

    def look(self) -> LineErrors | None:
        """What was counted since it was opened; None where nothing counts."""
        now = self._read()
        return None if now is None or self._first is None else now.since(self._first)

    def _read(self) -> LineErrors | None:
        try:
            found = _COUNTS.unpack(self._ioctl(self._fd, TIOCGICOUNT, bytes(_COUNTS.size)))
        except OSError:  # ENOTTY, EINVAL: nothing counts here; EBADF, EIO: the port is gone, and its reader finds out
            return None
        return LineErrors(framing=found[6], overrun=found[7] + found[10], parity=found[8])


def counters(fd: int) -> Counters | None:
    """None where the system knows no such counters."""
    if sys.platform != "linux":
        return None
    import fcntl

    return Counters(fd, fcntl.ioctl)
