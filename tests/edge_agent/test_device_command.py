"""`device list`: with and without a configuration, and with a profile of the site that is wrong."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from support_gateway import CONFIG

from edge_agent.cli import device as device_command
from edge_agent.cli.main import main

SHIPPED = ["cepheid_genexpert", "horiba_yumizen", "lis02_generic", "sysmex_xn"]
OWN = 'api_version = 1\nrevision = 3\nvendor = "Kim"\nmodel = "K-1"\ngrade = "captured"\nsources = ["a", "b"]\n'


def edge_agent(*words: object) -> Result:
    return CliRunner(env={"EDGE_AGENT_CONFIG": ""}).invoke(main, [*map(str, words)], catch_exceptions=False)


def listed(*words: object) -> dict[str, dict[str, Any]]:
    return {d["name"]: d for d in json.loads(edge_agent("device", "list", "--json", *words).stdout)["devices"]}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "devices.d").mkdir()
    path = tmp_path / "edge-agent.toml"
    path.write_text(CONFIG, encoding="utf-8")
    return path


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_command, "config_path", lambda _: tmp_path / "none.toml")


@pytest.mark.usefixtures("nowhere")
def test_the_shipped_devices_are_listed_without_agent_and_configuration() -> None:
    result = edge_agent("device", "list")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["name", "protocol", "grade", "revision", "sources", "from", "device"]
    assert [line.split()[0] for line in lines[1:]] == SHIPPED
    [xn] = [line for line in lines if line.startswith("sysmex_xn")]
    assert "Sysmex XN" in xn
    assert sorted(listed()) == SHIPPED
    assert all(d["protocol"] == "lis02" and d["revision"] >= 1 for d in listed().values())


def test_with_a_configuration_its_own_devices_and_changes_are_listed(config: Path) -> None:
    folder = config.parent / "devices.d"
    (folder / "own_device").mkdir()
    (folder / "own_device" / "profile.toml").write_text(OWN, encoding="utf-8")
    (folder / "sysmex_xn.toml").write_text("revision = 77\n", encoding="utf-8")
    found = listed("--config", config)
    assert sorted(found) == sorted([*SHIPPED, "own_device"])
    own = found["own_device"]
    assert (own["from"], own["revision"], own["grade"], own["vendor"], own["model"], own["sources"]) == (
        "devices.d",
        3,
        "captured",
        "Kim",
        "K-1",
        ["a", "b"],
    )
    assert (found["sysmex_xn"]["revision"], found["sysmex_xn"]["from"]) == (77, "shipped, changed in devices.d")
    assert found["lis02_generic"]["from"] == "shipped"


def test_a_device_that_cannot_be_used_is_listed_with_what_is_wrong(config: Path) -> None:
    (config.parent / "devices.d" / "sysmex_xn.toml").write_text("revison = 2\n", encoding="utf-8")
    result = edge_agent("device", "list", "--config", config)
    assert result.exit_code == 1
    assert "cannot be used, see below" in result.stdout
    assert [line for line in result.stdout.splitlines() if line.startswith("sysmex_xn: ") and "revison" in line]
    assert "lis02_generic" in result.stdout


def test_a_claimed_name_is_said(config: Path) -> None:
    (config.parent / "devices.d" / "sysmex_xn").mkdir()
    (config.parent / "devices.d" / "sysmex_xn" / "profile.toml").write_text(OWN, encoding="utf-8")
    result = edge_agent("device", "list", "--config", config)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "claims the name of a shipped device" in result.stderr
    assert "[device]" in result.stderr


def test_a_configuration_that_is_named_and_missing_is_an_error(tmp_path: Path) -> None:
    assert edge_agent("device", "list", "--config", tmp_path / "none.toml").exit_code == 78
    assert edge_agent("--config", tmp_path / "none.toml", "device", "list").exit_code == 78
