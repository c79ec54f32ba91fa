"""Port states as they change: each told once, with the moment it began."""

from edge_agent.clock import Clock
from edge_agent.transport.base import LinkState, OnState


class StateReport:
    def __init__(self, clock: Clock, on_state: OnState) -> None:
        self._clock = clock
        self._on_state = on_state
        self._last: LinkState | None = None

    def up(self) -> None:
        self._say(True, "")

    def down(self, reason: str) -> None:
        self._say(False, reason)

    def _say(self, up: bool, reason: str) -> None:
        last = self._last
        if last is not None and (last.up, last.reason) == (up, reason):
            return
        # a port that stays down for another reason has been down since the first
        since = last.since if last is not None and last.up == up else self._clock.now()
        self._last = LinkState(up, since, reason)
        self._on_state(self._last)
