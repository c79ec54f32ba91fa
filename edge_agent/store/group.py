"""Group commit: many jobs, one COMMIT, each job in a savepoint of its own.

Promised: a job's outcome is made after the COMMIT that covers it; a job that raises is undone alone; after a storage
error no job of the group succeeds and no receipt exists. Not promised: that the failed group left nothing on the disk.
"""

import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from edge_agent.store.connection import Database
from edge_agent.store.errors import StorageFailedError
from edge_agent.store.receipt import Committed, redeemed

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a job returned, or why it did not."""

    value: Any = None
    error: BaseException | None = None

    def result(self) -> Any:
        if self.error is not None:
            raise self.error
        return self.value


def run_group(database: Database, store: S, jobs: Iterable[Callable[[S], Any]]) -> list[Outcome]:
    """One outcome per job taken from ``jobs``; none when not even the transaction could be opened.

    Jobs are taken while the group runs, so an iterator may end it early.
    """
    outcomes: list[Outcome] = []
    taken = 0
    try:
        database.begin()
        database.in_group = True
        for job in jobs:
            taken += 1
            outcomes.append(_run(database, store, job))
        proof = database.commit()
    except StorageFailedError as error:
        return [Outcome(error=error)] * taken
    except sqlite3.Error as error:  # of the group's own statements, whatever its kind
        return [Outcome(error=database.fail(error))] * taken
    except BaseException:
        database.rollback()
        raise
    finally:
        database.in_group = False
    return [_redeemed(outcome, proof) for outcome in outcomes]


def _run(database: Database, store: S, job: Callable[[S], Any]) -> Outcome:
    database.execute("SAVEPOINT job")
    try:
        outcome = Outcome(job(store))
    except StorageFailedError:
        raise
    except Exception as error:  # noqa: BLE001  # whatever a job raises belongs to who gave it; the others go on
        outcome = Outcome(error=error)
        if not database.broken:
            database.execute("ROLLBACK TO job")
    # Also when the job kept a storage error to itself: this statement then fails for all of them.
    database.execute("RELEASE job")
    return outcome


def _redeemed(outcome: Outcome, proof: Committed) -> Outcome:
    return outcome if outcome.error is not None else Outcome(redeemed(outcome.value, proof))
