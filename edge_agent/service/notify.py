"""What the service manager is told: one datagram to the socket it names (sd_notify(3)).

Promised: a manager that does not listen, or listens slowly, never holds the agent up. Not promised: that a datagram
arrives; whoever needs one to arrive says it again.
"""

import logging
import os
import socket
from collections.abc import Mapping
from typing import Self

log = logging.getLogger(__name__)

_LONGEST_VALUE = 512


class Notifier:
    """Says ``KEY=value`` lines to ``address``; says nothing when that is empty."""

    def __init__(self, address: str = "", watchdog_s: float = 0.0) -> None:
        """``address`` is a path, or the name of an abstract socket after "@". ``watchdog_s`` is 0 where none is on."""
        self._address = address
        self.watchdog_s = watchdog_s
        self._failing = False

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], pid: int | None = None) -> Self:
        """$NOTIFY_SOCKET, $WATCHDOG_USEC and $WATCHDOG_PID (sd_notify(3), sd_watchdog_enabled(3))."""
        address = environ.get("NOTIFY_SOCKET", "")
        if address and not address.startswith(("/", "@")):
            log.warning("The service manager names a socket of an unknown kind; it is told nothing.")
            address = ""
        return cls(address, _watchdog_s(environ, os.getpid() if pid is None else pid) if address else 0.0)

    @property
    def listened_to(self) -> bool:
        return bool(self._address)

    def tell(self, **facts: str) -> None:
        """One datagram with all ``facts``. Never raises and never waits."""
        if not self._address:
            return
        lines = "\n".join(f"{key}={_one_line(value)}" for key, value in facts.items())
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.setblocking(False)
                sender.sendto(lines.encode(), _name(self._address))
        except OSError as error:
            if not self._failing:
                log.warning("The service manager cannot be told anything: %s.", os.strerror(error.errno or 0))
            self._failing = True
            return
        if self._failing:
            log.info("The service manager listens again.")
        self._failing = False


def _name(address: str) -> bytes:
    """An abstract name begins with NUL on the wire (unix(7))."""
    raw = os.fsencode(address)
    return b"\0" + raw[1:] if raw.startswith(b"@") else raw


def _one_line(value: str) -> str:
    """A peer's text in a sentence must not become a line of its own, such as ``WATCHDOG=1``."""
    return "".join(c if c.isprintable() else " " for c in value)[:_LONGEST_VALUE]


def _watchdog_s(environ: Mapping[str, str], pid: int) -> float:
    """Seconds; 0 when no watchdog is on, or when it is on another process."""
    microseconds = environ.get("WATCHDOG_USEC", "")
    if not microseconds.isdecimal() or environ.get("WATCHDOG_PID", str(pid)) != str(pid):
        return 0.0
    return int(microseconds) / 1_000_000
