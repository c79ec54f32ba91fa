"""Devices by name: shipped, installed, the site's own."""

from collections.abc import Callable
from pathlib import Path

import pytest

from drivers import interpret, sdk
from drivers.errors import InterpretationError, ProfileError, UnknownDeviceError
from drivers.sdk import FOLDERS, SHIPPED, Device, load, names

MINIMAL = "api_version = 1\nrevision = 1\nsources = ['manual']\n"


def test_every_device_folder_is_in_the_table_and_every_entry_is_a_folder() -> None:
    folders = {path.parent.name for path in FOLDERS.glob("*/profile.toml")}
    assert set(SHIPPED.values()) == folders


@pytest.mark.parametrize(
    ("asked", "meant"), [("sysmex", "sysmex_xn"), ("genexpert", "cepheid_genexpert"), ("generic", "lis02_generic")]
)
def test_an_unknown_device_is_refused_with_a_suggestion(asked: str, meant: str) -> None:
    with pytest.raises(UnknownDeviceError, match=f'no device is called "{asked}"; did you mean "{meant}"'):
        load(asked)


def test_a_far_off_name_gets_the_list() -> None:
    with pytest.raises(UnknownDeviceError, match="there are cepheid_genexpert, horiba_yumizen"):
        load("zzzzzzzz")


def test_a_sites_file_is_laid_over_the_shipped_profile(tmp_path: Path) -> None:
    (tmp_path / "sysmex_xn.toml").write_text("[specimen]\nmax_length = 22\n", encoding="utf-8")
    changed = load("sysmex_xn", tmp_path)
    assert changed.profile.specimen.max_length == 22
    assert changed.hash != load("sysmex_xn").hash
    assert load("horiba_yumizen", tmp_path).hash == load("horiba_yumizen").hash


def test_a_sites_own_device_folder_is_found(tmp_path: Path) -> None:
    (tmp_path / "acme_a1").mkdir()
    (tmp_path / "acme_a1" / "profile.toml").write_text(MINIMAL, encoding="utf-8")
    assert load("acme_a1", tmp_path).name == "acme_a1"
    assert "acme_a1" in names(tmp_path)
    assert "acme_a1" not in names()


def test_a_sites_folder_may_not_take_a_shipped_name(tmp_path: Path) -> None:
    (tmp_path / "sysmex_xn").mkdir()
    (tmp_path / "sysmex_xn" / "profile.toml").write_text(MINIMAL, encoding="utf-8")
    with pytest.raises(ProfileError, match="claims the name of a shipped device"):
        load("lis02_generic", tmp_path)


def installed(root: Path, name: str) -> None:
    """A package as an installer leaves it: a folder and its metadata."""
    package = root / "acme_driver"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('nothing of it may run')\n", encoding="utf-8")
    (package / "profile.toml").write_text(MINIMAL, encoding="utf-8")
    info = root / "acme_driver-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-driver\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(f"[edge_agent.drivers]\n{name} = acme_driver\n", encoding="utf-8")


def test_an_installed_package_is_found_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(tmp_path, "acme_a2")
    monkeypatch.syspath_prepend(tmp_path)
    assert load("acme_a2").name == "acme_a2"


def test_an_installed_package_may_not_take_a_shipped_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(tmp_path, "lis02_generic")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ProfileError, match="claims the name of a shipped device"):
        load("sysmex_xn")


def test_an_installed_package_without_a_folder_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(tmp_path, "acme_a3")
    for file in (tmp_path / "acme_driver").iterdir():
        file.unlink()
    (tmp_path / "acme_driver").rmdir()
    (tmp_path / "acme_driver.py").write_text("", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ProfileError, match="cannot be found or is not a folder"):
        load("acme_a3")


def test_a_protocol_without_a_reader_is_refused(tmp_path: Path) -> None:
    (tmp_path / "acme_a4").mkdir()
    (tmp_path / "acme_a4" / "profile.toml").write_text(MINIMAL + 'protocol = "hl7"\n', encoding="utf-8")
    with pytest.raises(ProfileError, match='protocol "hl7" has no reader'):
        load("acme_a4", tmp_path)


def test_a_defect_is_told_with_its_place_and_without_the_patient(
    device_with: Callable[[str], Device], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(message: object, profile: object) -> object:
        raise KeyError("Kim Minjun 880523")

    monkeypatch.setattr(interpret, "report", broken)
    with pytest.raises(InterpretationError) as caught:
        device_with("").read(b"H|\\^&\rP|1||PID\rL|1\r")
    assert "Kim" not in str(caught.value)
    assert "message 1: KeyError at test_sdk.py:" in str(caught.value)
    assert caught.value.__cause__ is None
    assert sdk.Device.read.__doc__ is not None


def test_reading_the_same_bytes_gives_the_same_report(device_with: Callable[[str], Device]) -> None:
    text = b"H|\\^&\rP|1||PID\rO|1|S1\rR|1|^^^A|1\rL|1\r"
    assert device_with("").read(text) == device_with("").read(text)
