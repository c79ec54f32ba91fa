"""What the audit chain holds against the rows: digests over the columns that decide a result's fate.

Each is SHA-256 over columns as SQLite writes them (whole numbers plain, the rest by ``quote()``), a row a line; all but
that of the bytes themselves are cut to 128 bits. They are read back from the rows in the transaction that wrote them,
so that an entry tells what is there and not what was meant. A digest tells no patient: it is over too much to guess.

A column that is added later does not come into these: entries that are there already would not fit any more. It gets a
digest, and a fact, of its own.

Not covered on purpose: what only says when something is tried next (``retry_at``, ``replay_at``), what counts
(``attempts``), what follows from other rows (``head``, ``unsettled``, ``counter``: verified against those), and what
still comes in: a transmission is covered from its end on, because a frame waits for no digest.
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Protocol

from edge_agent.store.connection import Row, Values

_Columns = tuple[tuple[str, ...], tuple[str, ...]]
# Of each kind of row the whole numbers that are never null, then the rest.
_TRANSMISSION: _Columns = (
    ("id", "revision", "opened", "opened_steady"),
    ("analyser", "peer", "profile", "profile_hash", "mode", "ended", "ended_steady", "reason"),
)
_FRAME: _Columns = (
    ("position", "received", "length(raw)", "text_start", "text_length", "last"),
    ("kind", "text", "number", "reason"),
)
_READ: _Columns = (("converted",), ("state", "completed_by"))
_GROUP: _Columns = (
    ("id", "since", "stat", "held", "failed", "released"),
    ("analyser", "specimen", "role", "state", "hold", "detail"),
)
_OBSERVATION: _Columns = (
    ("o.group_id", "o.position", "o.occurrence"),
    ("o.digest", "o.code", "o.state", "o.hold", "o.detail", "o.message_id"),
)
_CARRIED: _Columns = (("number",), ("group_id",))
_MESSAGE: _Columns = (
    ("number", "sequence", "stat", "graphics", "created", "queued", "held", "transmission"),
    ("id", "identity", "analyser", "route", "specimen_key", "digest", "repeat_of", "replaces"),
)
# What the broker last refused a queued message for changes with each try and decides nothing.
_STATE: _Columns = (
    (),
    ("state", "iif(state = 'queued', '', code)", "iif(state = 'queued', '', reason)", "at_broker", "filed"),
)


def _select(columns: _Columns, rest: str, as_they_are: str = "") -> str:
    numbers, others = columns
    form = ",".join(["%d"] * len(numbers) + ["%s"] * len(others))
    values = ", ".join([*numbers, *(f"quote({column})" for column in others)])
    return f"SELECT {as_they_are}printf('{form}', {values}) {rest}"


FRAMES = _select(_FRAME, "FROM chunk WHERE transmission = ?", "position, raw, ")
_ONE_TRANSMISSION = _select(_TRANSMISSION, "FROM transmission WHERE id = ?")
_READING = (
    _select(_READ, "FROM transmission WHERE id = ?"),
    _select(_GROUP, "FROM specimen_group WHERE transmission = ? ORDER BY id"),
    _select(
        _OBSERVATION,
        "FROM specimen_group g CROSS JOIN observation o ON o.group_id = g.id WHERE g.transmission = ?"
        " ORDER BY g.id, o.position",
    ),
    _select(_CARRIED, "FROM outbox WHERE transmission = ? ORDER BY number"),
)
_FIXED = _select(_MESSAGE, "FROM outbox WHERE id = ?")
_STATE_NOW = _select(_STATE, "FROM outbox WHERE id = ?")


def short(*lines: str) -> str:
    """SHA-256 over lines, hex, cut to 128 bits."""
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:32]


QUEUED = short("'queued','','',NULL,NULL")  # a message's state when it was queued


class Rows(Protocol):
    """A database, the store's or one like it."""

    def rows(self, sql: str, values: Values = ()) -> list[Row]: ...


class FramesDigest:
    """Over the frames of a transmission, in order, a few at a time."""

    def __init__(self) -> None:
        self._raw = hashlib.sha256()
        self._lines = hashlib.sha256()

    def update(self, rows: Iterable[tuple[int, bytes, str]]) -> None:
        """``rows`` of ``FRAMES``."""
        for _, raw, line in rows:
            self._raw.update(raw)
            self._lines.update(f"{line}\n".encode())

    def facts(self) -> Mapping[str, str]:
        """``raw``: over every byte received. ``frames``: how they were cut, when each came, what was taken from it."""
        return {"raw": self._raw.hexdigest(), "frames": self._lines.hexdigest()[:32]}


def end_facts(database: Rows, transmission: int) -> dict[str, str]:
    """Of a transmission that ended: its bytes, its frames, and under which profile it is read."""
    return {**frames_facts(database, transmission), "row": transmission_digest(database, transmission)}


def differing(database: Rows, transmission: int, told: Mapping[str, str], *, current: bool) -> set[str]:
    """Which facts of an ended transmission are not as ``told``; its row's aside where the schema is not ``current``."""
    found = end_facts(database, transmission) if current else frames_facts(database, transmission)
    return {name for name, digest in found.items() if told.get(name, digest) != digest}


def frames_facts(database: Rows, transmission: int) -> Mapping[str, str]:
    digest = FramesDigest()
    digest.update(database.rows(f"{FRAMES} ORDER BY position", (transmission,)))
    return digest.facts()


def transmission_digest(database: Rows, transmission: int) -> str:
    return _digest(database, (_ONE_TRANSMISSION,), (transmission,))


def reading_digest(database: Rows, transmission: int) -> str:
    """What became of a transmission: its state, specimens, observations, and which messages carry them."""
    return _digest(database, _READING, (transmission,))


def readings(database: Rows, transmissions: Iterable[int]) -> str:
    """A fact that tells the reading of each."""
    return " ".join(f"{number}:{reading_digest(database, number)}" for number in transmissions)


def all_facts(database: Rows, transmission: int) -> dict[str, str]:
    """Everything that is told of an ended transmission, at once."""
    return {
        "transmission": str(transmission),
        **end_facts(database, transmission),
        "readings": readings(database, (transmission,)),
        **_message_facts(database, transmission),
    }


def _message_facts(database: Rows, transmission: int) -> dict[str, str]:
    """Facts that tell every message of a transmission, and its state."""
    rows = database.rows(
        "SELECT id, analyser, sequence, digest FROM outbox WHERE transmission = ? ORDER BY number", (transmission,)
    )
    messages = (f"{id_}:{analyser}:{n}:{sha}:{message_digest(database, id_)}" for id_, analyser, n, sha in rows)
    states = (f"{id_}:{state_digest(database, id_)}" for id_, *_ in rows)
    facts = {"messages": " ".join(messages), "states": " ".join(states)}
    return {name: value for name, value in facts.items() if value}


def message_digest(database: Rows, id: str) -> str:
    """What never changes of a message."""
    return _digest(database, (_FIXED,), (id,))


def state_digest(database: Rows, id: str) -> str:
    """Its state, why, and since when it waits at the broker or is filed."""
    return _digest(database, (_STATE_NOW,), (id,))


def _digest(database: Rows, statements: Iterable[str], values: Values) -> str:
    return short(*(row[0] for sql in statements for row in database.rows(sql, values)))
