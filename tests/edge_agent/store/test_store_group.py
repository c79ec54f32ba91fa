"""Many jobs under one COMMIT: each has its outcome, and what comes afterwards is on its own again."""

import pytest
from store_faults import Faults, intercept
from store_helpers import frame, source

from edge_agent.store.errors import StorageFailedError
from edge_agent.store.receipt import Stored
from edge_agent.store.store import Store


@pytest.fixture
def faults(monkeypatch) -> Faults:
    faults = Faults()
    intercept(monkeypatch, faults)
    return faults


def test_every_job_of_a_group_has_an_outcome_also_when_none_was_begun(faults, open_store):
    store = open_store()
    number = store.open_transmission(source())
    [good, bad] = store.group([lambda s: s.append(number, [frame()]), lambda s: s.append(99, [frame()])])
    assert good.result() == Stored(store.database._committed, number, 1)
    assert bad.error is not None
    with pytest.raises(type(bad.error)):
        bad.result()
    faults.arm("BEGIN")
    outcomes = store.group([lambda s: s.append(number, [frame()])] * 3)
    assert [type(outcome.error) for outcome in outcomes] == [StorageFailedError] * 3
    assert len(store.group([lambda s: s.identity] * 2)) == 2
    assert store.broken == "as SQLite would say it (SQLITE_IOERR_FSYNC)"


def test_after_a_group_however_it_ended_a_write_has_its_receipt_at_once(store):
    number = store.open_transmission(source())

    def bad(_store: Store) -> None:
        raise KeyboardInterrupt

    store.group([lambda s: s.append(number, [frame()])])
    assert store.append(number, [frame()]).chunks == 1
    with pytest.raises(KeyboardInterrupt):
        store.group([lambda s: s.append(number, [frame()]), bad])
    assert store.append(number, [frame()]).chunks == 1
    assert len(store.transmission(number).chunks) == 3  # what was in the group that was ended is undone
