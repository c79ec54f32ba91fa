"""An analyser's results are read by the profile it was started with, until a person changes it."""

import os
import stat
from pathlib import Path

import pytest
from support_pipeline import device

from drivers.sdk import SHIPPED, Device, load
from edge_agent.errors import AgentError
from edge_agent.pins import pinned


def changed() -> Device:
    return device(usual_gap_s=77)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "profiles"


def test_at_first_use_the_installed_profile_is_pinned(folder: Path) -> None:
    generic = load("lis02_generic")
    found = pinned(folder, "an1", generic)
    assert (found.device.hash, found.newer) == (generic.hash, "")
    assert [p.name for p in folder.iterdir()] == ["an1.json"]


def test_a_change_of_the_installed_profile_changes_nothing_and_is_said(folder: Path) -> None:
    generic = load("lis02_generic")
    pinned(folder, "an1", generic)
    found = pinned(folder, "an1", changed())
    assert (found.device.hash, found.newer) == (generic.hash, changed().hash)
    assert found.device.profile.usual_gap_s == generic.profile.usual_gap_s
    assert pinned(folder, "an1", generic).newer == ""


def test_another_profile_in_the_configuration_is_pinned_anew(folder: Path) -> None:
    pinned(folder, "an1", load("lis02_generic"))
    found = pinned(folder, "an1", load("sysmex_xn"))
    assert (found.device.name, found.newer) == ("sysmex_xn", "")
    assert pinned(folder, "an1", load("sysmex_xn")).device.hash == load("sysmex_xn").hash


def test_each_analyser_has_its_own_pin(folder: Path) -> None:
    pinned(folder, "an1", load("lis02_generic"))
    assert pinned(folder, "an2", changed()).device.hash == changed().hash


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_a_pinned_profile_is_the_same_profile(folder: Path, name: str) -> None:
    """Written, read back, and equal to the last rule, for every device we ship."""
    shipped = load(name)
    pinned(folder, "an1", shipped)
    found = pinned(folder, "an1", changed() if name != "lis02_generic" else shipped).device
    found = pinned(folder, "an1", shipped).device if found.name != name else found
    assert found.profile == shipped.profile
    assert found.hash == shipped.hash


@pytest.mark.parametrize("content", [b"", b"lis02_generic\n", b'lis02_generic\n{"api_version": 1', b"\xff\xfe"])
def test_a_pin_that_cannot_be_read_stops_the_start(folder: Path, content: bytes) -> None:
    """Quietly pinning the installed one would change how results are read behind the lab's back."""
    pinned(folder, "an1", load("lis02_generic"))
    (folder / "an1.json").write_bytes(content)
    with pytest.raises(AgentError) as caught:
        pinned(folder, "an1", load("lis02_generic"))
    assert caught.value.code == "pin"
    assert "an1" in caught.value.sentence


def test_a_crash_while_pinning_leaves_the_old_pin(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pinned(folder, "an1", load("lis02_generic"))
    before = (folder / "an1.json").read_bytes()

    def power_cut(descriptor: int) -> None:
        raise OSError("the power went")

    monkeypatch.setattr(os, "fsync", power_cut)
    with pytest.raises(AgentError, match="cannot be written"):
        pinned(folder, "an1", load("sysmex_xn"))
    assert (folder / "an1.json").read_bytes() == before


def test_the_folder_is_for_the_owner_alone(folder: Path) -> None:
    pinned(folder, "an1", load("lis02_generic"))
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
