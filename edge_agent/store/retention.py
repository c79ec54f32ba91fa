"""Taking away what is filed and old, in small steps, and giving the space back.

Promised: nothing goes that has an unfiled message, anything held, failed or released, or an interruption nobody
completed; frames, reading, messages and attempts of a transmission go together; what goes is told in the audit chain,
and what is still here when the entries that told it go is told again. Not promised: space at once; the file shrinks
page by page.
"""

from datetime import datetime, timedelta
from itertools import takewhile

from edge_agent.store import audit, told
from edge_agent.store.connection import Database, Row
from edge_agent.store.coverage import all_facts
from edge_agent.store.times import to_us

FREE_PAGES_KEPT = 256  # for what comes next; shrinking and growing again would wear the disk for nothing
_PAGES_PER_STEP = 64
_ONE_DAY = timedelta(days=1) // timedelta(microseconds=1)


class Retention:
    _database: Database

    def purge(self, *, filed_before: datetime, identities_before: datetime, step_rows: int = 200) -> int:
        """One step; how many rows went or pages were given back. 0 = nothing is left to do.

        ``filed_before``: a transmission goes when its last message was filed before. ``identities_before``: what
        recognises repeats goes when older; the audit chain's beginning when older than both. They count back from what
        the wall clock shows now; so far back by the store's own time, things are old.
        """
        steady = self._database.steady
        filed, identities = steady.of(filed_before), steady.of(identities_before)
        with self._database.writing():
            removed = self._transmissions(filed, step_rows)
            if removed < step_rows:
                removed += self._identities(identities, step_rows - removed)
            if removed < step_rows:
                chain = min(filed, identities, to_us(filed_before), to_us(identities_before))
                removed += self._chain(chain, step_rows - removed)
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
        removed = self._database.execute(
            "DELETE FROM seen WHERE (analyser, digest, occurrence) IN (SELECT analyser, digest, occurrence FROM seen s"
            " WHERE s.seen < ? AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.id = s.message_id AND o.state <> 'filed')"
            " ORDER BY s.seen LIMIT ?)",
            (before, limit),
        ).rowcount
        if removed and before > int(self._database.fact(told.FORGOTTEN) or 0):
            self._database.set_fact(told.FORGOTTEN, str(before))
            audit.add(self._database, "forgotten", {"before": str(before)})
        return removed

    def _chain(self, before: int, limit: int) -> int:
        """The chain's oldest entries; where it begins then is kept, so that the rest still verifies.

        Never what was written today: a purge by another clock than the store's would have no end.
        """
        before = min(before, self._database.now_us() - _ONE_DAY)
        rows = audit.entries(self._database, 0, limit)
        newest, _ = audit.head(self._database)
        old = list(takewhile(lambda row: row[1] < before and row[0] < newest, rows))
        if not old:
            return 0
        entry, hash_ = old[-1][0], old[-1][4].hex()
        gone = max(int(self._database.fact(told.GONE) or 0), *(told.last_purged(row) for row in old))
        self._tell_again(old)
        removed = self._database.execute("DELETE FROM audit WHERE entry <= ?", (entry,)).rowcount
        self._database.set_fact(audit.BASE, f"{entry} {hash_}")
        self._database.set_fact(told.GONE, str(gone))
        facts = {"entry": str(entry), "hash": hash_, "gone": str(gone)}
        audit.add(self._database, "shortened", facts | {"before": self._database.fact(told.FORGOTTEN) or "0"})
        return removed

    def _tell_again(self, entries: list[Row]) -> None:
        """What is still here of what these tell, so that it stays covered when they are gone."""
        for transmission in sorted({number for row in entries for number in told.transmissions(self._database, row)}):
            if self._database.row("SELECT 1 FROM transmission WHERE id = ?", (transmission,)):
                audit.add(self._database, "kept", all_facts(self._database, transmission))

    def _shrink(self) -> int:
        free: int = self._database.value("PRAGMA freelist_count")
        pages = max(min(_PAGES_PER_STEP, free - FREE_PAGES_KEPT), 0)
        if pages:
            self._database.rows(f"PRAGMA incremental_vacuum({pages})")
        return pages
