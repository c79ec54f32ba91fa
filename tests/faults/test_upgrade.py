"""An agent of the next version starts on this one's store, is killed, and the old one is started again by mistake."""

import os
import sqlite3
import sys
from pathlib import Path

import pytest
from faults.damaged_store import Base, content_of, digests, goes_on, judged, opened
from faults.outcomes_file import ENUMERATED, Outcome, Outcomes
from faults.scale import share

sys.path.insert(0, str(Path(__file__).parents[1] / "edge_agent" / "store"))  # store_faults lies beside its tests

from store_faults import die_at, in_child, intercept, statements  # after the path above

from edge_agent.store import schema
from edge_agent.store.connection import APPLICATION_ID
from edge_agent.store.errors import StoreTooNewError

pytestmark = [pytest.mark.broker, pytest.mark.slow]

UPGRADE = "upgrade killed at each statement"
# What a next version may do: a column, a table, a trigger on a table with rows, and every row of one written anew.
NEXT = """
ALTER TABLE transmission ADD COLUMN weather TEXT NOT NULL DEFAULT '';
CREATE TABLE tide (at INTEGER PRIMARY KEY, height TEXT NOT NULL) STRICT;
CREATE TRIGGER tide_of AFTER INSERT ON outbox BEGIN
    INSERT INTO tide VALUES (new.number, '');
END;
CREATE INDEX outbox_identity ON outbox (identity);
UPDATE outbox SET reason = reason || ' ';
UPDATE outbox SET reason = trim(reason);
"""


def with_next(monkeypatch: pytest.MonkeyPatch) -> int:
    """The number of the schema an agent of the next version knows."""
    known = schema.migrations()
    number = known[-1][0] + 1
    monkeypatch.setattr(schema, "migrations", lambda: [*known, (number, NEXT)])
    return number


def test_an_upgrade_that_is_killed_anywhere_costs_nothing_and_the_old_agent_touches_nothing(
    tmp_path: Path, base: Base, outcomes: Outcomes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as newer:
        number = with_next(newer)
        counted = base.copy(tmp_path / "counted")
        points = range(1, statements(lambda: opened(counted).close(), newer) + 1)
        upgraded = contents(tmp_path / "counted")
    tried = share(points)
    for statement in tried:
        data_dir = base.copy(tmp_path / str(statement))
        with monkeypatch.context() as newer:
            with_next(newer)
            in_child(lambda data_dir=data_dir, at=statement: killed(data_dir, at, monkeypatch))
            copy = data_dir / f"agent-schema-{number - 1}.db"
            made = copy.exists()  # or the killed start did not get so far
            opened(data_dir).close()
            assert made or copy.exists()
        before = digests(data_dir)
        with pytest.raises(StoreTooNewError):
            opened(data_dir)
        assert digests(data_dir) == before
        with monkeypatch.context() as newer:
            with_next(newer)
            assert contents(data_dir) == upgraded, f"killed at statement {statement}"
    with monkeypatch.context() as newer:
        with_next(newer)
        verdict = judged(base, goes_on(data_dir, base))
    faults = {kind: len(verdict.of(kind)) for kind in ("lost", "doubled", "altered", "misattributed")}
    assert verdict.flawless, verdict.table()
    outcomes.add(Outcome(UPGRADE, ENUMERATED, len(tried), len(points), verdict.acknowledged, **faults))


def contents(data_dir: Path) -> dict[str, list[tuple[object, ...]]]:
    """Without the audit trail, which tells when it was upgraded; that it holds is verified."""
    store = opened(data_dir)
    content = content_of(store)
    assert store.audit_verify() is None
    store.close()
    return {table: rows for table, rows in content.items() if table != "audit"}


def killed(data_dir: Path, statement: int, monkeypatch: pytest.MonkeyPatch) -> None:
    intercept(monkeypatch, die_at(statement))
    opened(data_dir)


def older(base: Base, data_dir: Path, version: int) -> Path:
    """The base as an agent with an older schema would have left it: its tables, by plain SQL, with the same rows."""
    base.copy(data_dir, folded=True)
    newer = (data_dir / "agent.db").rename(data_dir / "newer.db")
    database = sqlite3.connect(data_dir / "agent.db", isolation_level=None)
    database.execute("PRAGMA auto_vacuum = INCREMENTAL")
    for number, sql in schema.migrations():
        if number <= version:
            database.executescript(sql)
    triggers = database.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
    for name, _ in triggers:
        database.execute(f"DROP TRIGGER {name}")
    database.execute("ATTACH ? AS newer", (str(newer),))
    for (table,) in database.execute("SELECT name FROM main.sqlite_schema WHERE type = 'table'").fetchall():
        names = [row[0] for row in database.execute("SELECT name FROM pragma_table_info(?, 'main')", (table,))]
        database.execute(f"DELETE FROM main.{table}")
        database.execute(f"INSERT INTO main.{table} SELECT {', '.join(names)} FROM newer.{table}")
    for _, sql in triggers:
        database.execute(sql)
    database.execute(f"PRAGMA user_version = {version}")
    database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    database.close()
    newer.unlink()
    return data_dir


@pytest.mark.parametrize("version", [number for number, _ in schema.migrations()[:-1]])
def test_a_store_of_each_older_schema_goes_on_with_its_backlog(tmp_path: Path, base: Base, version: int) -> None:
    data_dir = older(base, tmp_path / "data", version)
    verdict = judged(base, goes_on(data_dir, base))
    assert verdict.flawless, verdict.table()
    store = opened(data_dir)
    assert store.former is None
    store.close()


def test_the_copy_from_before_is_the_store_as_it_was(
    tmp_path: Path, base: Base, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The way back: the copy under the database's name, with the old agent."""
    data_dir = base.copy(tmp_path / "data", folded=True)
    with monkeypatch.context() as newer:
        number = with_next(newer)
        opened(data_dir).close()
    back = base.copy(tmp_path / "back", folded=True)
    (data_dir / f"agent-schema-{number - 1}.db").rename(back / "agent.db")
    store = opened(back)
    assert content_of(store) == base.content
    store.close()


def test_an_upgrade_outside_a_transaction_is_found_by_the_same_count(
    tmp_path: Path, base: Base, outcomes: Outcomes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """sqlite3's own ``executescript`` commits each statement: killed in between, the next start cannot go on."""
    data_dir = base.copy(tmp_path / "data")
    with_next(monkeypatch)
    halves = NEXT.partition("CREATE TABLE")

    def half(database, number: int, sql: str) -> None:
        database.connection.executescript(halves[0])
        os._exit(9)

    with monkeypatch.context() as unsafe:
        unsafe.setattr(schema, "_apply", half)
        in_child(lambda: opened(data_dir))
    with pytest.raises(Exception, match="duplicate column"):
        opened(data_dir)
    outcomes.control(UPGRADE, "one transaction per migration", "the store cannot be opened by either version")
