"""Taking away what is filed and old, in small steps, and giving the space back.

Promised: nothing goes that has an unfiled message, anything held, failed or released, or an interruption nobody
completed; frames, reading, messages and attempts of a transmission go together. Not promised: space at once; the file
shrinks page by page.
"""

from datetime import datetime
from itertools import takewhile

from edge_agent.store import audit
from edge_agent.store.connection import Database
from edge_agent.store.times import to_us

FREE_PAGES_KEPT = 256  # for what comes next; shrinking and growing again would wear the disk for nothing
_PAGES_PER_STEP = 64


class Retention:
    _database: Database

    def purge(self, *, filed_before: datetime, identities_before: datetime, step_rows: int = 200) -> int:
        """One step; how many rows went or pages were given back. 0 = nothing is left to do.

        ``filed_before``: a transmission goes when its last message was filed before. ``identities_before``: what
        recognises repeats, and the audit chain's beginning, go when older. Both count back from what the wall clock
        shows now; so far back by the store's own time, things are old.
        """
        steady = self._database.steady
        filed, identities = steady.of(filed_before), steady.of(identities_before)
        with self._database.writing():
            removed = self._transmissions(filed, step_rows)
            if removed < step_rows:
                removed += self._identities(identities, step_rows - removed)
            if removed < step_rows:
                removed += self._chain(min(identities, to_us(identities_before)), step_rows - removed)
            return removed or self._shrink()

    def _transmissions(self, before: int, limit: int) -> int:
        removed = 0
        gone: list[int] = []
        while removed < limit:
            transmission = self._database.value(
                "SELECT id FROM transmission t WHERE t.converted = 1 AND t.unsettled = 0"
                " AND t.state IN ('complete', 'completed-by') AND t.settled < ? AND NOT EXISTS"
                " (SELECT 1 FROM outbox o WHERE o.transmission = t.id AND (o.replay_at IS NOT NULL"
                " OR o.state <> 'filed')) ORDER BY t.settled LIMIT 1",
                (before,),
            )
            if transmission is None:
                break
            removed += self._transmission(transmission)
            gone.append(transmission)
        if gone:
            audit.add(self._database, "purged", {"transmissions": " ".join(map(str, gone))})
        return removed

    def _transmission(self, transmission: int) -> int:
        return sum(
            self._database.execute(sql, (transmission,)).rowcount
            for sql in (
                "DELETE FROM attempt WHERE number IN (SELECT number FROM outbox WHERE transmission = ?)",
                "DELETE FROM payload WHERE number IN (SELECT number FROM outbox WHERE transmission = ?)",
                "DELETE FROM outbox WHERE transmission = ?",
                "DELETE FROM observation WHERE group_id IN (SELECT id FROM specimen_group WHERE transmission = ?)",
                "DELETE FROM specimen_group WHERE transmission = ?",
                "DELETE FROM chunk WHERE transmission = ?",
                "DELETE FROM transmission WHERE id = ?",
            )
        )

    def _identities(self, before: int, limit: int) -> int:
        return self._database.execute(
            "DELETE FROM seen WHERE (analyser, digest, occurrence) IN (SELECT analyser, digest, occurrence FROM seen s"
            " WHERE s.seen < ? AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.id = s.message_id AND o.state <> 'filed')"
            " ORDER BY s.seen LIMIT ?)",
            (before, limit),
        ).rowcount

    def _chain(self, before: int, limit: int) -> int:
        """The chain's oldest entries; where it begins then is kept, so that the rest still verifies."""
        rows = self._database.rows(
            "SELECT entry, at, hash FROM audit WHERE entry < (SELECT max(entry) FROM audit) ORDER BY entry LIMIT ?",
            (limit,),
        )
        old = list(takewhile(lambda row: row[1] < before, rows))
        if not old:
            return 0
        entry, _, hash_ = old[-1]
        self._database.set_fact("audit_base", f"{entry} {hash_.hex()}")
        return self._database.execute("DELETE FROM audit WHERE entry <= ?", (entry,)).rowcount

    def _shrink(self) -> int:
        free: int = self._database.value("PRAGMA freelist_count")
        pages = max(min(_PAGES_PER_STEP, free - FREE_PAGES_KEPT), 0)
        if pages:
            self._database.rows(f"PRAGMA incremental_vacuum({pages})")
        return pages
