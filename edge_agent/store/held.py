"""What is held or failed, and its release.

Promised: everything that waits is listed here with its reason and age; a release is somebody's, with a note, and puts
the whole transmission up for conversion again. Not promised: that it then goes out; the reason may still be there.
"""

from edge_agent.states import ItemEvent, ItemState, after_item
from edge_agent.store import audit
from edge_agent.store.connection import Database, Row
from edge_agent.store.coverage import readings
from edge_agent.store.errors import NoteRequiredError
from edge_agent.store.rows import Group, NewObservation, ObservationKey
from edge_agent.store.times import from_us

_ALL = (0, 2**62)
_TOLD_AT_ONCE = 50  # transmissions in one entry


class Held:
    _database: Database

    def held(
        self,
        *,
        analyser: str | None = None,
        code: str | None = None,
        limit: int = 100,
        between: tuple[int, int] = _ALL,
    ) -> list[Group]:
        """Specimens with anything held or failed, oldest first, with their observations. ``code``: one reason only.

        ``between``: only what came in transmissions from the first to the last of these.
        """
        return [
            self._group(row)
            for row in self._database.rows(
                "SELECT id, transmission, analyser, specimen, role, state, hold, detail, since, stat"
                " FROM specimen_group g WHERE g.held + g.failed > 0"
                " AND (:analyser IS NULL OR g.analyser = :analyser)"
                " AND +g.transmission BETWEEN :first AND :last"
                " AND (:code IS NULL OR g.hold = :code OR EXISTS (SELECT 1 FROM observation o WHERE o.group_id = g.id"
                " AND o.state IN ('held', 'failed') AND o.hold = :code)) ORDER BY g.id LIMIT :limit",
                {"analyser": analyser, "code": code, "limit": limit, "first": between[0], "last": between[1]},
            )
        ]

    def held_transmissions(self, *, analyser: str | None = None, code: str | None = None) -> list[int]:
        """Transmissions with anything held or failed, oldest first. ``code``: for that reason only."""
        rows = self._database.rows(
            "SELECT DISTINCT g.transmission FROM specimen_group g WHERE g.held + g.failed > 0"
            " AND (:analyser IS NULL OR g.analyser = :analyser)"
            " AND (:code IS NULL OR g.hold = :code OR EXISTS (SELECT 1 FROM observation o WHERE o.group_id = g.id"
            " AND o.state IN ('held', 'failed') AND o.hold = :code)) ORDER BY g.transmission",
            {"analyser": analyser, "code": code},
        )
        return [row[0] for row in rows]

    def waiting_by_code(self, limit: int = 10_000) -> dict[tuple[str, ItemState, str], int]:
        """(analyser, held or failed, code) -> how many, of the ``limit`` oldest specimens; one without results is 1."""
        rows = self._database.rows(
            "SELECT g.analyser, coalesce(o.state, g.state), coalesce(o.hold, g.hold), count(*)"
            " FROM (SELECT * FROM specimen_group WHERE held + failed > 0 ORDER BY id LIMIT ?) g"
            " LEFT JOIN observation o ON o.group_id = g.id AND o.state IN ('held', 'failed') GROUP BY 1, 2, 3",
            (limit,),
        )
        return {(analyser, ItemState(state), code): count for analyser, state, code, count in rows}

    def groups(self, transmission: int) -> list[Group]:
        """Everything a transmission was read as, in the order it was sent."""
        return [
            self._group(row)
            for row in self._database.rows(
                "SELECT id, transmission, analyser, specimen, role, state, hold, detail, since, stat"
                " FROM specimen_group WHERE transmission = ? ORDER BY id",
                (transmission,),
            )
        ]

    def find(self, *, specimen: str, limit: int = 100) -> list[str]:
        """Ids of the messages that carry a specimen id, newest first."""
        rows = self._database.rows(
            "SELECT o.id FROM specimen_group g JOIN outbox o ON o.group_id = g.id WHERE g.specimen = ?"
            " ORDER BY g.id DESC, o.number DESC LIMIT ?",
            (specimen, limit),
        )
        return [row[0] for row in rows]

    def find_transmissions(self, *, specimen: str, limit: int = 100) -> list[int]:
        """Transmissions that brought a specimen id, newest first, also where nothing was published of it."""
        rows = self._database.rows(
            "SELECT DISTINCT transmission FROM specimen_group WHERE specimen = ? ORDER BY id DESC LIMIT ?",
            (specimen, limit),
        )
        return [row[0] for row in rows]

    def sent_again(self, message_id: str, limit: int = 100) -> list[int]:
        """Later transmissions that repeated something this message carried."""
        rows = self._database.rows(
            "SELECT DISTINCT g.transmission FROM observation o JOIN specimen_group g ON g.id = o.group_id"
            " WHERE o.message_id = ? AND o.state = 'duplicate' ORDER BY g.transmission LIMIT ?",
            (message_id, limit),
        )
        return [row[0] for row in rows]

    def release(
        self,
        *,
        analyser: str | None = None,
        code: str | None = None,
        between: tuple[int, int] = _ALL,
        who: str,
        note: str,
    ) -> int:
        """Held and failed things become received, their transmissions unconverted. How many things.

        ``between`` as for ``held``. Raises NoteRequiredError.
        """
        if not who.strip() or not note.strip():
            raise NoteRequiredError
        with self._database.writing():
            groups = self.held(analyser=analyser, code=code, limit=1_000_000, between=between)
            released = sum(self._release(group, code) for group in groups)
            facts = {"count": str(released), "who": who, "note": note, "analyser": analyser or "", "code": code or ""}
            facts["transmissions"] = "" if between == _ALL else "-".join(str(n) for n in dict.fromkeys(between))
            if released:
                self._tell_released(facts, list(dict.fromkeys(group.transmission for group in groups)))
        return released

    def _tell_released(self, facts: dict[str, str], transmissions: list[int]) -> None:
        told = facts | {"readings": readings(self._database, transmissions[:_TOLD_AT_ONCE])}
        audit.add(self._database, "released", {name: value for name, value in told.items() if value})
        for start in range(_TOLD_AT_ONCE, len(transmissions), _TOLD_AT_ONCE):
            read = readings(self._database, transmissions[start : start + _TOLD_AT_ONCE])
            audit.add(self._database, "released", {"readings": read})

    def _release(self, group: Group, code: str | None) -> int:
        chosen = [
            position
            for position, o in enumerate(group.observations)
            if o.state in (ItemState.HELD, ItemState.FAILED) and code in (None, o.hold, group.hold)
        ]
        as_a_whole = group.state in (ItemState.HELD, ItemState.FAILED) and (
            code in (None, group.hold) or len(chosen) == len(_waiting(group))
        )
        state = after_item(group.state, ItemEvent.RELEASE) if as_a_whole else group.state
        for position in chosen:
            self._database.execute(
                "UPDATE observation SET state = ? WHERE group_id = ? AND position = ?",
                (after_item(group.observations[position].state, ItemEvent.RELEASE), group.id, position),
            )
        count = max(len(chosen), int(as_a_whole))
        self._recount(group.id, state, count)
        self._database.execute("UPDATE transmission SET converted = 0 WHERE id = ?", (group.transmission,))
        return count

    def _recount(self, group: int, state: ItemState, released: int) -> None:
        self._database.execute(
            "UPDATE specimen_group SET state = :state, released = released + :released,"
            " held = max(:state = 'held', (SELECT count(*) FROM observation WHERE group_id = :id AND state = 'held')),"
            " failed = max(:state = 'failed',"
            " (SELECT count(*) FROM observation WHERE group_id = :id AND state = 'failed')) WHERE id = :id",
            {"state": state, "released": released, "id": group},
        )

    def _group(self, row: Row) -> Group:
        observations = self._database.rows(
            "SELECT digest, occurrence, code, state, hold, detail, message_id FROM observation WHERE group_id = ?"
            " ORDER BY position",
            (row[0],),
        )
        return Group(
            id=row[0],
            transmission=row[1],
            analyser=row[2],
            specimen=row[3],
            role=row[4],
            state=ItemState(row[5]),
            hold=row[6],
            detail=row[7],
            since=from_us(row[8]),
            stat=bool(row[9]),
            observations=tuple(_observation(o) for o in observations),
        )


def _waiting(group: Group) -> list[NewObservation]:
    return [o for o in group.observations if o.state in (ItemState.HELD, ItemState.FAILED)]


def _observation(row: Row) -> NewObservation:
    digest, occurrence, code, state, hold, detail, message_id = row
    return NewObservation(ObservationKey(digest, occurrence), code, ItemState(state), hold, detail, message_id)
