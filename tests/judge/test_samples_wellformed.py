"""The samples themselves: bytes as the link standard wants them, expectations in the agreed form, a source for each.

Nothing of the agent is used here. That a driver reads a sample as expected is tested elsewhere.
"""

import json
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from judge.wire import ENQ, EOT, frames, text

CASE_KEYS = frozenset(
    re.findall(
        "[a-z_]+",
        "source held specimens not_results unread messages terminated termination saved_records interrupted link ",
    )
)
SPECIMEN_KEYS = frozenset(
    re.findall(
        "[a-z_]+",
        "id role hold interrupted patient_id patient_name type stat rack position control report_type "
        "comments order_comments order_comments_include observations others ",
    )
)
GIVEN = frozenset(("code", "value", "unit", "flags", "status"))


def _cases() -> list[Path]:
    spec = find_spec("drivers.devices")
    assert spec is not None
    assert spec.submodule_search_locations
    return sorted(p.parent for p in Path(spec.submodule_search_locations[0]).glob("*/samples/*/wire.bin"))


CASES = _cases()
each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.parent.parent.name}/{case.name}")


def _expected(case: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((case / "expected.json").read_text(encoding="utf-8"))
    return loaded


def _leaves(expected: dict[str, Any]) -> list[str]:
    """Ids, values and units that must have come from the wire."""
    found = []
    for specimen in expected["specimens"]:
        found.append(specimen["id"])
        for observation in specimen.get("observations") or ():
            found += [observation["code"], observation["value"], observation["unit"], observation.get("range", "")]
    return [leaf for leaf in found if leaf and not set(leaf) & set("|^\\&")]


@each_case
def test_a_sample_is_framed_as_the_standard_has_it(case: Path) -> None:
    wire = (case / "wire.bin").read_bytes()
    assert (wire[0], wire[-1]) == (ENQ, EOT)
    assert all(frame.number in "01234567" for frame in frames(wire))


@each_case
def test_expectations_have_the_agreed_keys(case: Path) -> None:
    expected = _expected(case)
    assert expected.keys() <= CASE_KEYS
    assert expected["source"]
    for specimen in expected["specimens"]:
        assert specimen.keys() <= SPECIMEN_KEYS
        assert all(observation.keys() >= GIVEN for observation in specimen.get("observations") or ())


@each_case
def test_what_is_expected_was_on_the_wire(case: Path) -> None:
    sent = text((case / "wire.bin").read_bytes()).decode("utf-8", "backslashreplace")
    sent = sent.replace("&H&", "").replace("&N&", "")  # highlighting carries no text
    assert [leaf for leaf in _leaves(_expected(case)) if leaf not in sent] == []


@each_case
def test_every_hold_is_seen_at_a_specimen_or_covers_the_message(case: Path) -> None:
    expected = _expected(case)
    codes = {specimen["hold"] for specimen in expected["specimens"] if "hold" in specimen}
    assert codes <= {hold["code"] for hold in expected["held"]}


@each_case
def test_a_sample_names_where_its_expectations_come_from(case: Path) -> None:
    assert len((case / "PROVENANCE.md").read_text(encoding="utf-8")) > 80


def test_a_wrong_checksum_would_be_noticed() -> None:
    wire = (CASES[0] / "wire.bin").read_bytes()
    with pytest.raises(AssertionError, match="checksum"):
        frames(wire.replace(b"H|", b"H\\", 1))
