"""`service install`, `remove` and `show`: each step said, nothing of the site's own ever touched."""

import json
import os
import pwd
import stat
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from edge_agent.cli.main import main
from edge_agent.configuration.file import load
from edge_agent.errors import AgentError
from edge_agent.service import install
from edge_agent.service.install import Installer
from edge_agent.service.unit import Places, config_text, unit_text

PYTHON = Path("/opt/edge-agent/bin/python")
UNIT = "etc/systemd/system/edge-agent.service"
MODULES = "etc/modules-load.d/edge-agent.conf"
CONFIG = "etc/edge-agent/edge-agent.toml"


def edge_agent(*words: object) -> Result:
    return CliRunner().invoke(main, [str(w) for w in words], catch_exceptions=False)


def files(root: Path) -> list[str]:
    return sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file())


class System:
    """A machine with systemd whose commands only write down what they were asked."""

    def __init__(self, root: Path) -> None:
        self.places = Places(root)
        self.journal = root / "journal"
        self.folder = root / "bin"
        self.folder.mkdir()
        for name in ("useradd", "systemctl", "userdel"):
            self.has(name)

    def has(self, name: str, then: str = "") -> None:
        program = self.folder / name
        program.write_text(f'#!/bin/sh\necho "{name} $*" >> {self.journal}\n{then}\n', encoding="utf-8")
        program.chmod(0o755)

    def asked(self) -> list[str]:
        return self.journal.read_text(encoding="utf-8").splitlines() if self.journal.exists() else []

    def installer(self) -> Installer:
        return Installer(self.places, PYTHON, alien=False)


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> System:
    def nobody(name: str) -> None:
        raise KeyError(name)

    made = System(tmp_path)
    monkeypatch.setenv("PATH", f"{made.folder}:{os.environ['PATH']}")
    monkeypatch.setattr(install, "BOOTED", tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(pwd, "getpwnam", nobody)
    return made


# Under another root: files only


def test_under_another_root_the_three_files_are_written_and_each_is_said(tmp_path: Path) -> None:
    done = edge_agent("service", "install", "--root", tmp_path, "--python", PYTHON)
    assert (done.exit_code, files(tmp_path)) == (0, sorted([CONFIG, MODULES, UNIT]))
    lines = done.stdout.splitlines()
    assert lines[:3] == [f"Wrote {tmp_path / name}." for name in (UNIT, MODULES, CONFIG)]
    assert all(line.endswith(".") for line in lines)


def test_under_another_root_no_command_is_run(system: System) -> None:
    edge_agent("service", "install", "--root", system.places.root, "--python", PYTHON)
    edge_agent("service", "remove", "--root", system.places.root)
    assert system.asked() == []


def test_the_first_configuration_is_the_shipped_one_and_everybody_can_read_it(tmp_path: Path) -> None:
    former = os.umask(0o077)
    try:
        edge_agent("service", "install", "--root", tmp_path, "--python", PYTHON)
    finally:
        os.umask(former)
    assert load(tmp_path / CONFIG).agent.gateway == "gw-01"
    assert stat.S_IMODE((tmp_path / CONFIG).stat().st_mode) == 0o644
    assert stat.S_IMODE((tmp_path / "etc/edge-agent").stat().st_mode) == 0o755


def test_a_configuration_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    config = tmp_path / CONFIG
    config.parent.mkdir(parents=True)
    config.write_text("# ours", encoding="utf-8")
    done = edge_agent("service", "install", "--root", tmp_path, "--python", PYTHON)
    assert config.read_text(encoding="utf-8") == "# ours"
    assert f"{config} is there and stays as it is." in done.stdout


def test_a_second_time_nothing_is_written_and_an_old_unit_is_written_anew(tmp_path: Path) -> None:
    words = ("service", "install", "--root", tmp_path, "--python", PYTHON)
    edge_agent(*words)
    assert "Wrote" not in edge_agent(*words).stdout
    (tmp_path / UNIT).write_text("old", encoding="utf-8")
    assert f"Wrote {tmp_path / UNIT}." in edge_agent(*words).stdout
    assert (tmp_path / UNIT).read_text(encoding="utf-8") == unit_text(PYTHON)


def test_remove_takes_its_own_files_and_leaves_configuration_and_data(tmp_path: Path) -> None:
    edge_agent("service", "install", "--root", tmp_path, "--python", PYTHON)
    data = tmp_path / "var/lib/edge-agent/agent.db"
    data.parent.mkdir(parents=True)
    data.write_bytes(b"results")
    done = edge_agent("service", "remove", "--root", tmp_path)
    assert (done.exit_code, files(tmp_path)) == (0, sorted([CONFIG, "var/lib/edge-agent/agent.db"]))
    again = edge_agent("service", "remove", "--root", tmp_path)
    assert again.exit_code == 0
    assert f"{tmp_path / UNIT} is not there." in again.stdout


# On a system that systemd runs


def test_on_a_system_the_user_is_made_and_the_service_enabled_but_not_started(system: System) -> None:
    said = list(system.installer().install())
    assert system.asked() == [
        "useradd --system --user-group --no-create-home --home-dir /var/lib/edge-agent --shell /usr/sbin/nologin "
        "edge-agent",
        "systemctl daemon-reload",
        "systemctl enable edge-agent",
    ]
    assert said[0] == "Made the system user edge-agent."
    assert said[-1].startswith("Next: `edge-agent init`, or edit ")


def test_a_user_that_is_there_is_not_made_again(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pwd, "getpwnam", lambda name: name)
    assert next(iter(system.installer().install())) == "The user edge-agent is there."
    assert system.asked() == []


def test_remove_stops_the_service_before_its_unit_goes_and_keeps_the_user(system: System) -> None:
    list(system.installer().install())
    system.journal.unlink()
    system.has("systemctl", f"test -e {system.places.unit} && echo 'the unit is there' >> {system.journal}; true")
    list(system.installer().remove())
    assert system.asked() == [
        "systemctl disable --now edge-agent",
        "the unit is there",
        "systemctl daemon-reload",
    ]


def test_without_systemd_the_files_are_written_and_what_is_left_out_is_said(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install, "BOOTED", Path("/nowhere"))
    said = list(system.installer().install())
    assert system.places.unit.exists()
    assert [line for line in said if "does not run here" in line] == [
        "systemd does not run here: `systemctl daemon-reload` and `systemctl enable edge-agent` left out."
    ]
    assert not any(line.startswith("systemctl") for line in system.asked())


def test_a_step_that_fails_is_said_with_the_commands_own_words(system: System) -> None:
    system.has("systemctl", "echo 'Failed to reload daemon: Access denied' >&2; exit 1")
    with pytest.raises(AgentError) as failed:
        list(system.installer().install())
    assert failed.value.sentence == "`systemctl daemon-reload` failed: Failed to reload daemon: Access denied."
    assert failed.value.code == "service-step"
    assert system.places.unit.exists()


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "etc").write_text("a file", encoding="utf-8")
    done = edge_agent("service", "install", "--root", tmp_path, "--python", PYTHON)
    assert done.exit_code == 1
    assert "cannot be written" in done.stderr
    assert "[service-step]" in done.stderr


@pytest.mark.parametrize("verb", ["install", "remove"])
def test_who_is_not_root_is_told_to_be(system: System, monkeypatch: pytest.MonkeyPatch, verb: str) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    before = files(system.places.root)
    with pytest.raises(AgentError, match="Only root") as refused:
        list(getattr(system.installer(), verb)())
    assert refused.value.code == "permission"
    assert files(system.places.root) == before


# The unit


@pytest.mark.parametrize("place", ["/home" + "/lab/venv/bin/python", "/root" + "/.venv/bin/python"])
def test_an_interpreter_the_unit_hides_from_the_service_is_refused(tmp_path: Path, place: str) -> None:
    done = edge_agent("service", "install", "--root", tmp_path, "--python", place)
    assert (done.exit_code, files(tmp_path)) == (1, [])
    assert "[service-place]" in done.stderr


def test_a_link_into_a_hidden_place_is_refused_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "python").touch()
    (tmp_path / "python").symlink_to(hidden / "python")
    monkeypatch.setattr(install, "_HIDDEN", (str(hidden),))
    with pytest.raises(AgentError, match="could not start"):
        list(Installer(Places(tmp_path), tmp_path / "python", alien=True).install())


def test_show_prints_the_unit_with_the_interpreter_that_runs_it() -> None:
    shown = edge_agent("service", "show")
    assert shown.exit_code == 0
    assert shown.stdout == unit_text(Path(sys.executable))
    assert f"ExecStart={sys.executable} -I -m edge_agent run " in shown.stdout
    assert f"ExecReload={sys.executable} -I -m edge_agent reload " in shown.stdout


def test_an_interpreter_with_a_blank_or_a_percent_sign_stays_one_word() -> None:
    assert r"ExecStart=/opt/a\x20b/100%%/python -I " in unit_text(Path("/opt/a b/100%/python"))


def test_show_as_json_says_where_everything_goes_and_whether_it_is_there(tmp_path: Path) -> None:
    words = ("service", "show", "--json", "--root", tmp_path, "--python", PYTHON)
    before = json.loads(edge_agent(*words).stdout)
    edge_agent("service", "install", "--root", tmp_path, "--python", PYTHON)
    after = json.loads(edge_agent(*words).stdout)
    assert (before["installed"], before["up_to_date"]) == (False, False)
    assert (after["installed"], after["up_to_date"]) == (True, True)
    wanted = {"unit": UNIT, "modules": MODULES, "config": CONFIG, "data": "var/lib/edge-agent"}
    assert {key: after[key] for key in wanted} == {key: str(tmp_path / name) for key, name in wanted.items()}


# Where a package of the system made the service


@pytest.fixture
def packaged(system: System) -> System:
    system.places.packaged.parent.mkdir(parents=True)
    system.places.packaged.write_text(unit_text(PYTHON), encoding="utf-8")
    return system


def test_a_packages_unit_stays_and_only_user_and_configuration_are_made(packaged: System) -> None:
    said = list(packaged.installer().install())
    assert [line.split()[0] for line in packaged.asked()] == ["useradd"]
    assert packaged.places.config.exists()
    assert not packaged.places.unit.exists()
    assert not packaged.places.modules.exists()
    assert said[1] == f"{packaged.places.packaged} is a package's and stays as it is."


def test_a_packages_service_is_not_removed_behind_its_back(packaged: System) -> None:
    with pytest.raises(AgentError) as refused:
        list(packaged.installer().remove())
    assert refused.value.code == "service-package"
    assert packaged.places.packaged.exists()
    assert packaged.asked() == []


def test_show_names_the_packages_unit(packaged: System) -> None:
    shown = edge_agent("service", "show", "--json", "--root", packaged.places.root, "--python", PYTHON)
    facts = json.loads(shown.stdout)
    assert (facts["unit"], facts["installed"], facts["up_to_date"]) == (str(packaged.places.packaged), True, True)


# What a stopped agent leaves


def test_unfiled_names_the_directory_and_says_nothing_is_there(tmp_path: Path) -> None:
    config = tmp_path / "edge-agent.toml"
    config.write_text(
        config_text().replace('# data_dir = "/var/lib/edge-agent"', 'data_dir = "data"'), encoding="utf-8"
    )
    done = edge_agent("service", "unfiled", "--config", config)
    assert (done.exit_code, done.stdout) == (0, f"Nothing in {tmp_path / 'data'}.\n")
    facts = json.loads(edge_agent("service", "unfiled", "--config", config, "--json").stdout)
    assert facts == {"data": str(tmp_path / "data"), "messages": 0, "results": 0, "unread": 0, "interrupted": 0}


def test_of_a_configuration_that_cannot_be_read_nothing_is_said(tmp_path: Path) -> None:
    assert edge_agent("service", "unfiled", "--config", tmp_path / "none.toml").exit_code == 78
