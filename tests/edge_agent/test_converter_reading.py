"""Bytes read again by a profile that changed meanwhile: nothing goes out twice, nothing on another specimen."""

from dataclasses import replace
from pathlib import Path

import pytest
from support_conversion import bench, reader
from support_pipeline import device, records, segments, source, values

from edge_agent import converter
from edge_agent.states import ItemState

GLUCOSE = {"code": "GLU", "units": {"mg/dL": "mg/dL"}, "source": "made up for this test"}
SODIUM = r"R|1|^^^NA|140|mmol/L||N||F||||20240612102000"
ORDER = (r"H|\^&|||BENCH-7|||||||P|LIS02-A2|20240612120000", "P|1||P-1017", "O|1|S24-0028||^^^NA|R")
BOTH = records(*ORDER, SODIUM, "R|2|^^^GLU|5.1|mmol/L||N||F||||20240612102000", "L|1|N")


def test_what_is_read_otherwise_after_part_of_it_went_out_waits_and_doubles_nothing(tmp_path: Path) -> None:
    """The former value would be unknown, and the same result would go out under a second id."""
    with bench(tmp_path, {"an1": reader(device(test=[GLUCOSE]))}) as made:
        number = made.receive(BOTH)
        made.convert()
        assert [values(m.payload) for m in made.messages()] == [["140"]]
        made.readers["an1"] = reader(device(test=[], result={"volatile": ["flags"]}))
        assert made.release() == 1
        made.convert()
        assert [values(m.payload) for m in made.messages()] == [["140"]]
        assert [g.hold for g in made.groups(number) if g.state is ItemState.HELD] == ["reading-changed"]
        assert "reading-changed" in made.codes()
        made.readers["an1"] = reader(device(test=[]))
        assert made.release() == 1
        made.convert()
        assert [values(m.payload) for m in made.messages()] == [["140"], ["5.1"]]
        assert {g.state for g in made.groups(number)} == {ItemState.CONVERTED}


def test_without_that_hold_it_would_go_out_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control of the test above."""
    monkeypatch.setattr(converter, "_still_there", lambda before, keys: True)
    with bench(tmp_path, {"an1": reader(device(test=[GLUCOSE]))}) as made:
        made.receive(BOTH)
        made.convert()
        made.readers["an1"] = reader(device(test=[], result={"volatile": ["flags"]}))
        made.release()
        made.convert()
        assert [values(m.payload) for m in made.messages()] == [["140"], ["140", "5.1"]]


def test_what_came_under_another_devices_profile_is_read_by_the_new_one_only_when_released(tmp_path: Path) -> None:
    """It was received and not yet converted when the configuration changed; the specimen id may stand elsewhere."""
    with bench(tmp_path) as made:
        number = made.receive(records(*ORDER, SODIUM, "L|1|N"), of=replace(source(), profile="sysmex_xn"))
        made.convert()
        (group,) = made.groups(number)
        assert (group.state, group.hold, group.detail) == (ItemState.HELD, "wrong-device", "it came as sysmex_xn")
        assert made.messages() == []
        assert made.release() == 1
        made.convert()
        assert [segments(m.payload, "SPM")[0][2] for m in made.messages()] == ["S24-0028"]
