"""Counting what one analyser led to, where no counter is kept: over a span of numbers at a time.

Promised: the cost of a call depends on the width of its span and not on how much is stored, so a caller that goes
through everything takes small spans and lets analysers be served in between. Not promised: one moment for all spans.
"""

from collections import Counter

from edge_agent.states import MessageState
from edge_agent.store.connection import Database
from edge_agent.store.rows import Route

Span = tuple[int, int]  # the first and the last number


class Tally:
    _database: Database

    def newest(self) -> Span:
        """The highest numbers given out: of a transmission, of a message."""
        transmission, message = (
            self._database.value("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)) or 0
            for table in ("transmission", "outbox")
        )
        return int(transmission), int(message)

    def ended_of(self, analyser: str, span: Span) -> list[tuple[int, str]]:
        """Number and mode of the analyser's ended transmissions, newest first."""
        rows = self._database.rows(
            "SELECT id, mode FROM transmission"
            " WHERE id BETWEEN ? AND ? AND analyser = ? AND state <> 'receiving' ORDER BY id DESC",
            (*span, analyser),
        )
        return [(int(number), str(mode)) for number, mode in rows]

    def sent_of(self, analyser: str, route: Route, span: Span) -> Counter[MessageState]:
        """How the analyser's messages on one route stand."""
        rows = self._database.rows(
            "SELECT state, count(*) FROM outbox WHERE number BETWEEN ? AND ? AND analyser = ? AND route = ?"
            " GROUP BY state",
            (*span, analyser, route),
        )
        return Counter({MessageState(state): int(count) for state, count in rows})
