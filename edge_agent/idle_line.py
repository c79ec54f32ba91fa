"""What to do with bytes that come while no session is open.

Promised: they are kept. A few bytes go into the next transmission as evidence; more than a few, or a few that nothing
follows, become a transmission of their own that shows up as held. A line that only hums makes few of them: each one
without a good frame in between doubles the time until the next, up to an hour.
"""

from edge_agent.evidence import Evidence

FEW = 32  # bytes; the shortest message that means anything, H and L, is about as long
QUIET_S = 30.0  # LIS01-A2 §6.5.2.3 gives a sender as long before a session counts as dead
OLDEST_S = 600.0
MOST_APART_S = 3600.0


class IdleLine:
    def __init__(self) -> None:
        self._apart = 0.0

    def due(self, evidence: Evidence) -> float | None:
        """When the collected bytes are to be stored, on the monotonic clock."""
        if evidence.since is None:
            return None
        apart = self._apart if evidence.size <= FEW else 0.0
        quiet = max(evidence.last + QUIET_S, evidence.since + apart)
        return min(quiet, evidence.since + max(OLDEST_S, apart))

    def deserves_its_own(self, evidence: Evidence) -> bool:
        return evidence.size > FEW

    def was_noisy(self) -> None:
        self._apart = min(max(QUIET_S, self._apart) * 2, MOST_APART_S)

    def was_good(self) -> None:
        self._apart = 0.0
