"""Finding the one message a broker cannot bear, without blaming an innocent one.

Promises: a message is blamed only if the broker names it (0x90, 0x95, 0x99), or if it was the sole message in flight
at three disconnects without a known network cause while others passed. After a disconnect with messages in flight and
no known cause, messages go one at a time until each of those in flight has passed or is blocked; suspects go after
all others. Does not know why a broker hangs up: a broker that dies at every message blames nobody, since none passes.
"""

from collections.abc import Collection, Sequence

from edge_agent.publisher.verdicts import NAMED

STRIKES = 3

# DISCONNECT codes that speak of the broker or the network, not of what we sent (MQTT 5.0 §3.14.2.1).
_KNOWN_CAUSES = frozenset({0x00, 0x04, 0x87, 0x88, 0x89, 0x8B, 0x8D, 0x8E, 0x98, 0x9C, 0x9D, 0x9F})


def is_known_cause(code: int | None, network: bool) -> bool:
    """``code``: the broker's DISCONNECT, None when the connection just ended; ``network``: it ended by a timeout."""
    return network if code is None else code in _KNOWN_CAUSES


class Suspicion:
    def __init__(self) -> None:
        self._suspects: dict[str, int] = {}  # message id -> times it was alone at a disconnect
        self._others_passed: set[str] = set()  # suspects since whose first disconnect another message passed

    @property
    def one_at_a_time(self) -> bool:
        return bool(self._suspects)

    @property
    def suspects(self) -> Sequence[str]:
        """These go after all others, alone, the least suspect first: it may be the one that shows others pass."""
        return sorted(self._suspects, key=self._suspects.__getitem__)

    def disconnected(self, in_flight: Collection[str], code: int | None, network: bool) -> str | None:
        """The connection ended. The id of the message to block, or None."""
        if is_known_cause(code, network) or not in_flight:
            return None
        for message in in_flight:
            self._suspects.setdefault(message, 0)
        if len(in_flight) != 1:
            return None
        (message,) = in_flight
        return self._strike(message, code)

    def passed(self, message: str) -> None:
        """The broker answered for this message: it can bear it."""
        self.forget(message)
        self._others_passed.update(self._suspects)

    def forget(self, message: str) -> None:
        """The message is blocked, filed or set aside."""
        self._suspects.pop(message, None)
        self._others_passed.discard(message)

    def _strike(self, message: str, code: int | None) -> str | None:
        self._suspects[message] += 1
        named = code in NAMED
        if named or (self._suspects[message] >= STRIKES and message in self._others_passed):
            self.forget(message)
            return message
        return None
