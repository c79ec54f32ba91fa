"""A fact that went bad keeps a store from starting; a salvage does without it and loses no row."""

import pytest
from salvage_helpers import altered, opened, rows, salvage

from edge_agent.store.errors import StoreCorruptError
from edge_agent.store.facts import spoiled

SPOILED = {
    "commits": "d795550998304138",
    "last_id": "1O",
    "audit_base": "7 " + "g" * 64,
    "audit_gone": "",
    "seen_forgotten": "9" * 18,
    "last_backup": "-5 store.zip",
    "ahead.ABCD1234.xn1": "1 2 3 4 x",
}


@pytest.mark.parametrize("name", SPOILED)
def test_a_fact_that_cannot_be_what_was_stored_is_found_and_done_without(data_dir, content, name):
    altered(data_dir, f"INSERT OR REPLACE INTO fact VALUES ('{name}', '{SPOILED[name]}')")
    with pytest.raises(StoreCorruptError, match="a fact of it"):
        opened(data_dir)
    salvage(data_dir)
    store = opened(data_dir)
    assert rows(store) == content
    assert store.verification().run() is None
    store.close()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("commits", "12 1710000000000000"),
        ("commits", "12 1710000000000000 1710000000000000 5 0f2c-1"),
        ("last_backup", "1710000000000000 결과 1.zip"),
        ("audit_base", "7 " + "0a" * 32),
        ("ahead.ABCD1234.xn1", "10 8 1 0 1710000000000000"),
        ("something.else", "of a version to come"),
    ],
)
def test_what_an_agent_writes_is_well(name, value):
    assert spoiled([(name, value)]) == []
    assert spoiled([(name, b"\xff")]) == ([] if name == "something.else" else [name])
