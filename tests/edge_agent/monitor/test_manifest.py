"""What a manifest says of an interval, worked out with `sha256sum`; and what a request may say."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from edge_agent.monitor.manifest import MOST_ASKED, WIDTH, Reconcile, Sweep, digest, of_analyser
from edge_agent.store.reconciliation import Head, Line
from edge_agent.store.rows import Route

STORE = "0A1B2C3D"
# printf first | sha256sum, printf third | sha256sum
FIRST = "a7937b64b8caa58f03721bb6bacf5c78cb235febe0e70b1b84cd99541461a08e"
THIRD = "b1e99324505bd32da0e1f85dcf5e19a09db0481e8a15f62c41eb320304a8e927"
# printf '%s\n' "1 0A1B2C3D-00000000001 $FIRST" "3 0A1B2C3D-00000000005 $THIRD" | sha256sum
BOTH = "16d0e3de19e658ded0f3d1202325f1468859dcf1d7c34826febe2d6cbd1a0d30"
NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # printf '' | sha256sum

LINES = (
    Line(1, f"{STORE}-00000000001", Route.RESULT, FIRST, filed=True),
    Line(2, f"{STORE}-00000000002", Route.QC, "0" * 64, filed=True),
    Line(3, f"{STORE}-00000000005", Route.RESULT, THIRD, filed=True),
    Line(4, f"{STORE}-00000000006", Route.RESULT, "1" * 64, filed=False),
)


def test_the_digest_is_that_of_the_worked_example() -> None:
    assert digest([LINES[0], LINES[2]]) == BOTH
    assert digest([]) == NOTHING


def test_each_route_has_an_interval_of_its_own_that_names_what_it_does_not_count() -> None:
    entry = of_analyser(Head(STORE, "xn1", 6, 1), [((1, 6), LINES)], None)
    result, qc = entry.intervals
    assert (result.route, result.first, result.last, result.count, result.digest) == ("result", 1, 6, 2, BOTH)
    assert result.not_counted == ((2, 2), (4, 6))
    assert (qc.route, qc.count, qc.not_counted) == ("qc", 1, ((1, 1), (3, 6)))


def test_an_interval_without_anything_confirmed_is_not_spoken_of() -> None:
    assert of_analyser(Head(STORE, "xn1", 4, 4), [((4, 4), LINES[3:])], None).intervals == ()


def test_the_newest_numbers_every_time_and_older_ones_in_turn() -> None:
    sweep, head = Sweep(), Head(STORE, "xn1", 4 * WIDTH, 11)
    newest = (3 * WIDTH + 1, 4 * WIDTH)
    older = [sweep.spans(head) for _ in range(4)]
    assert [spans[0] for spans in older] == [newest] * 4
    assert [spans[1] for spans in older] == [
        (2 * WIDTH + 1, 3 * WIDTH),
        (WIDTH + 1, 2 * WIDTH),
        (11, WIDTH),
        (2 * WIDTH + 1, 3 * WIDTH),  # and from the beginning
    ]


def test_numbers_that_came_since_are_not_left_out_between_the_two() -> None:
    sweep = Sweep()
    sweep.spans(Head(STORE, "xn1", 2 * WIDTH, 1))
    spans = sweep.spans(Head(STORE, "xn1", 5 * WIDTH, 1))
    assert spans == [(4 * WIDTH + 1, 5 * WIDTH), (3 * WIDTH + 1, 4 * WIDTH)]


@pytest.mark.parametrize(
    ("head", "spans"),
    [
        (Head(STORE, "xn1", 0, None), []),
        (Head(STORE, "xn1", 900, None), []),
        (Head(STORE, "xn1", 1, 1), [(1, 1)]),
        (Head(STORE, "xn1", 900, 800), [(800, 900)]),
        (Head(STORE, "xn1", WIDTH, 1), [(1, WIDTH)]),
        (Head(STORE, "xn1", WIDTH + 1, 1), [(2, WIDTH + 1), (1, 1)]),
    ],
)
def test_a_short_history_is_spoken_of_whole(head: Head, spans: list[tuple[int, int]]) -> None:
    sweep = Sweep()
    assert sweep.spans(head) == spans
    assert sweep.spans(head) == spans


GOOD: dict[str, Any] = {"store": STORE, "analyser": "xn1", "last_filed": 20, "gaps": [[3, 3], [7, 12]]}


def test_a_request_names_numbers_of_one_store_and_analyser() -> None:
    asked = Reconcile.model_validate_json(json.dumps(GOOD))
    assert list(asked.spans(0, 10)) == [(3, 3), (7, 10)]
    assert list(asked.spans(8, 20)) == [(9, 12)]
    assert Reconcile.model_validate_json(json.dumps(GOOD | {"gaps": [], "last_filed": 0})).gaps == ()


@pytest.mark.parametrize(
    "spoiled",
    [
        {"store": "0a1b2c3d"},
        {"store": "0A1B2C3D1"},
        {"store": None},
        {"analyser": "XN 1"},
        {"analyser": "../x"},
        {"analyser": "x" * 33},
        {"last_filed": -1},
        {"last_filed": 10**11},
        {"last_filed": "20"},
        {"last_filed": 20.0},
        {"last_filed": True},
        {"gaps": [[0, 3]]},
        {"gaps": [[3]]},
        {"gaps": [[3, 4, 5]]},
        {"gaps": [["3", "4"]]},
        {"gaps": [[4, 3]]},
        {"gaps": [[3, 4], [4, 5]]},
        {"gaps": [[5, 6], [1, 2]]},
        {"gaps": [3, 4]},
        {"gaps": {"3": 4}},
        {"gaps": [[1, MOST_ASKED + 1]]},
        {"gaps": [[1, 10**11]]},
        {"gaps": [[n, n] for n in range(1, MOST_ASKED + 2)]},
        {"more": 1},
    ],
)
def test_one_that_says_anything_else_is_none(spoiled: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Reconcile.model_validate_json(json.dumps(GOOD | spoiled))


@pytest.mark.parametrize("missing", GOOD)
def test_one_without_a_field_is_none_but_for_the_gaps(missing: str) -> None:
    text = json.dumps({name: value for name, value in GOOD.items() if name != missing})
    if missing == "gaps":
        assert Reconcile.model_validate_json(text).gaps == ()
    else:
        with pytest.raises(ValidationError):
            Reconcile.model_validate_json(text)


def test_as_many_numbers_as_are_allowed_are_taken() -> None:
    Reconcile.model_validate_json(json.dumps(GOOD | {"gaps": [[1, MOST_ASKED]], "last_filed": MOST_ASKED}))
