"""What is missing, by numbers that have no gaps, and from when to when an analyser has to send again."""

import sqlite3
from collections.abc import Collection
from datetime import datetime

from edge_agent.salvage.loss import Gap, Loss, MissingTransmission, Resend, ranges
from edge_agent.salvage.told import Chain
from edge_agent.store.times import maybe_from_us
from edge_agent.store.told import GONE

# Where one of these has a hole, the oldest or the newest rows may have been in it.
_NUMBERING = frozenset({"transmission", "sqlite_sequence", "fact", ""})


def reckon(
    found: sqlite3.Connection,
    chain: Chain,
    spoiled: Collection[str],
    loss: Loss,
    analysers: Collection[str],
    broke: datetime,
) -> None:
    """Complete ``loss``. ``spoiled``: trees with pages that cannot be read, "" where a page's tree is unknown.

    ``analysers``: the configured ones; ``broke``: when the store was last written.
    """
    loss.audit_entries = max(chain.head - chain.entry, 0)
    if not chain.whole:
        known = {m.number for m in loss.transmissions}
        loss.transmissions += [MissingTransmission(n, "") for n in _numbers_missing(found) if n not in known]
    loss.gaps = _gaps(found)
    holes = not _NUMBERING.isdisjoint(spoiled)
    names = {str(name) for (name,) in found.execute("SELECT DISTINCT analyser FROM transmission")} | set(analysers)
    spans = [_around(found, m.number, broke, names, m.analyser) for m in loss.transmissions]
    spans += [_around(found, m.transmission, broke, names, m.analyser) for m in loss.messages]
    spans += [_beside(found, gap, broke) for gap in loss.gaps]
    if loss.commits or (not chain.whole and (loss.frames or holes)):
        spans.append([Resend(name, _newest(found), broke) for name in sorted(names)])
    if holes and not _begins(found):
        spans.append([Resend(name, None, _oldest(found) or broke) for name in sorted(names)])
    loss.resend = _joined([one for span in spans for one in span])


def _numbers_missing(found: sqlite3.Connection) -> list[int]:
    """Transmissions that are not there and that retention is not known to have taken."""
    last = found.execute("SELECT max(seq) FROM sqlite_sequence WHERE name = 'transmission'").fetchone()[0] or 0
    there = {n for (n,) in found.execute("SELECT id FROM transmission")}
    settled = {
        number
        for (number,) in found.execute(
            "SELECT transmission FROM told_purged UNION SELECT transmission FROM told_read WHERE waiting = 0"
        )
    }
    first = max(min(there, default=1), _gone(found) + 1)
    return [number for number in range(first, last + 1) if number not in there and number not in settled]


def _gaps(found: sqlite3.Connection) -> list[Gap]:
    there: dict[tuple[str, str], set[int]] = {}
    explained = (
        "SELECT identity, analyser, sequence FROM outbox UNION ALL"
        " SELECT substr(id, 1, 8), analyser, sequence FROM told_message WHERE id IN (SELECT id FROM told_filed)"
        " OR transmission IN (SELECT transmission FROM told_purged)"
    )
    for identity, analyser, sequence in found.execute(explained):
        there.setdefault((identity, analyser), set()).add(sequence)
    given = {(i, a): n for i, a, n in found.execute("SELECT identity, analyser, last FROM sequence")}
    gaps = []
    for key, numbers in sorted(there.items()):
        wanted = range(min(numbers), max(*numbers, given.get(key, 0)) + 1) if numbers else range(0)
        gaps += [Gap(*key, first, last) for first, last in ranges(set(wanted) - numbers)]
    return gaps


def _around(
    found: sqlite3.Connection, number: int, broke: datetime, names: Collection[str], analyser: str
) -> list[Resend]:
    """Between the transmissions before and behind it, of its analyser; of all where nobody knows whose it was."""
    before, behind = found.execute(
        "SELECT max(iif(id < :number, opened, NULL)), min(iif(id > :number, ifnull(ended, opened), NULL))"
        " FROM transmission WHERE (analyser = :analyser OR :analyser = '')"
        " AND id IN (SELECT transmission FROM sound)",
        {"number": number, "analyser": analyser},
    ).fetchone()
    since, until = maybe_from_us(before), maybe_from_us(behind) or broke
    return [Resend(name, since, until) for name in ([analyser] if analyser else sorted(names))]


def _beside(found: sqlite3.Connection, gap: Gap, broke: datetime) -> list[Resend]:
    """Between the messages before and behind it."""
    before, behind = found.execute(
        "SELECT max(iif(o.sequence < :first, t.opened, NULL)),"
        " min(iif(o.sequence > :last, ifnull(t.ended, t.opened), NULL))"
        " FROM outbox o JOIN transmission t ON t.id = o.transmission"
        " WHERE o.identity = :identity AND o.analyser = :analyser",
        {"first": gap.first, "last": gap.last, "identity": gap.identity, "analyser": gap.analyser},
    ).fetchone()
    return [Resend(gap.analyser, maybe_from_us(before), maybe_from_us(behind) or broke)]


def _begins(found: sqlite3.Connection) -> bool:
    """Whether the first transmission there is the first there ever was, or those before it are known to be purged."""
    first = found.execute("SELECT min(id) FROM transmission").fetchone()[0]
    purged = found.execute("SELECT count(*) FROM told_purged WHERE transmission < ?", (first,)).fetchone()[0]
    return first is not None and (purged == first - 1 or first - 1 <= _gone(found))


def _gone(found: sqlite3.Connection) -> int:
    """Up to which transmission retention has told by entries that went themselves."""
    row = found.execute("SELECT value FROM fact WHERE name = ?", (GONE,)).fetchone()
    return int(row[0]) if row and row[0].isdecimal() else 0


def _newest(found: sqlite3.Connection) -> datetime | None:
    return maybe_from_us(found.execute("SELECT max(ifnull(ended, opened)) FROM transmission").fetchone()[0])


def _oldest(found: sqlite3.Connection) -> datetime | None:
    return maybe_from_us(found.execute("SELECT min(opened) FROM transmission").fetchone()[0])


def _joined(spans: list[Resend]) -> list[Resend]:
    """One per analyser, over all of its spans."""
    joined: dict[str, Resend] = {}
    for span in spans:
        one = joined.setdefault(span.analyser, span)
        since = None if one.since is None or span.since is None else min(one.since, span.since)
        joined[span.analyser] = Resend(span.analyser, since, max(one.until, span.until))
    return sorted(joined.values(), key=lambda one: one.analyser)
