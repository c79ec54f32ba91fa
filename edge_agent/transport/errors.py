"""What can be wrong with a port, and how it is said.

AgentError
└── TransportError
    └── PortUrlError      a port's URL cannot be read

A lost or missing port is no error: it is a ``LinkState`` with a sentence, and the transport tries again.
"""

import errno
import socket

from edge_agent.errors import AgentError


class TransportError(AgentError):
    """Anything about a port that a person has to correct."""


class PortUrlError(TransportError):
    def __init__(self, sentence: str, *, action: str = "") -> None:
        super().__init__(
            sentence,
            code="port-url",
            action=action or "Correct transport (or peer) of this analyser in the configuration.",
        )


_CAUSES = {
    errno.ENOENT: "does not exist",
    errno.ENODEV: "is gone",
    errno.ENXIO: "is gone",
    errno.EIO: "was unplugged",
    errno.EACCES: "may not be opened by this user",
    errno.EPERM: "may not be opened by this user",
    errno.EADDRINUSE: "is in use by another program",
    errno.EAGAIN: "is in use by another program",
    errno.EBUSY: "is in use by another program",
    errno.EADDRNOTAVAIL: "is not an address of this machine",
    errno.ECONNREFUSED: "refuses the connection",
    errno.ECONNRESET: "broke the connection off",
    errno.EPIPE: "broke the connection off",
    errno.ECONNABORTED: "broke the connection off",
    errno.EHOSTUNREACH: "cannot be reached",
    errno.ENETUNREACH: "cannot be reached",
    errno.ENETDOWN: "cannot be reached",
    errno.ETIMEDOUT: "does not answer any more",
    errno.ENOTTY: "is not a serial port",
    errno.EMFILE: "cannot be opened: too many open files",
}


def sentence(port: str, error: BaseException | None) -> str:
    """One sentence for a person. ``port`` is a path or an address; the system's wording is kept where ours has none."""
    number = getattr(error, "errno", None)
    if number in _CAUSES:
        return f"{port} {_CAUSES[number]}."
    if isinstance(error, socket.gaierror):
        return f"The name in {port} is not known to this network."
    if isinstance(error, TimeoutError):
        return f"{port} does not answer."
    if error is None:
        return f"{port} closed the connection."
    return f"{port} does not work: {_plain(error)}."


def _plain(error: BaseException) -> str:
    words = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(words).strip().rstrip(".")
