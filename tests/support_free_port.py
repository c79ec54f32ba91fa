"""Ports for servers that the tests start: each given out once, and none that an outgoing connection may take."""

import random
import socket

_GIVEN: set[int] = set()
_BELOW_EPHEMERAL = range(15_000, 32_000)  # Linux gives 32768 and up to outgoing connections


def free_port() -> int:
    """A port of this machine's loopback that nobody listens on now and no test was given before."""
    while True:
        port = random.choice(_BELOW_EPHEMERAL)
        if port in _GIVEN:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _GIVEN.add(port)
        return port
