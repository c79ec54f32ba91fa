"""What the package does when it comes, changes and goes, on a file tree that stands for a machine.

The scripts are run as dpkg runs them for another root (``DPKG_ROOT``). The commands they call only write down what they
were asked; `make deb-walk` runs all of it for real.
"""

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

DEBIAN = Path(__file__).parents[2] / "config" / "debian"
SCRIPTS = ("postinst", "prerm", "postrm")
UNFILED = "2 messages not filed in /var/lib/edge-agent."


class FakeMachine:
    """``commands`` are stand-ins first in PATH; each adds a line to ``journal``."""

    def __init__(self, root: Path) -> None:
        self.root = root / "machine"
        self.commands = root / "commands"
        self.journal = root / "journal"
        self.data = self.root / "var/lib/edge-agent"
        self.settings = self.root / "etc/edge-agent"
        self.state = self.root / "var/lib/ivd-edge-agent"
        for folder in (self.commands, self.data, self.settings, self.state, self.root / "run", self.root / "usr/bin"):
            folder.mkdir(parents=True)
        (self.data / "agent.db").write_bytes(b"results")
        (self.settings / "edge-agent.toml").write_text("# this site's", encoding="utf-8")
        for name in ("deb-systemd-helper", "deb-systemd-invoke"):
            self.answers(name)
        self.service_is("active")
        self.answers("runuser", then="shift 3; shift; echo 'Nothing in /var/lib/edge-agent.'")
        self.answers("edge-agent", then="echo 'Wrote it.'", folder=self.root / "usr/bin")

    def answers(self, name: str, then: str = "", folder: Path | None = None) -> None:
        program = (folder or self.commands) / name
        program.write_text(f'#!/bin/sh\necho {name} "$@" >>{self.journal}\n{then}\n', encoding="utf-8")
        program.chmod(0o755)

    def service_is(self, state: str) -> None:
        self.answers("systemctl", then=f'[ "$1" != show ] || echo {state}')

    def has_unfiled(self) -> None:
        self.answers("runuser", then=f"echo '{UNFILED}'; exit 1")

    def runs_systemd(self) -> None:
        (self.root / "run/systemd/system").mkdir(parents=True)

    def run(self, script: str, *words: str) -> str:
        environment = {"PATH": f"{self.commands}:{os.environ['PATH']}", "DPKG_ROOT": str(self.root)}
        done = subprocess.run(
            ["sh", DEBIAN / script, *words],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    def asked(self, name: str) -> list[str]:
        lines = self.journal.read_text(encoding="utf-8").splitlines() if self.journal.exists() else []
        return [line for line in lines if line.startswith(f"{name} ")]

    def removed(self) -> None:
        self.run("prerm", "remove")
        self.run("postrm", "remove")

    def when_the_clock_has_moved(self) -> None:
        """Times of files go in steps of some milliseconds."""
        probe = self.root / "probe"
        until = time.monotonic() + 10
        while not probe.exists() or probe.stat().st_ctime_ns <= (self.state / "all-filed").stat().st_mtime_ns:
            assert time.monotonic() < until
            probe.write_bytes(b"")

    def has_everything(self) -> bool:
        return (self.data / "agent.db").exists() and (self.settings / "edge-agent.toml").exists()


@pytest.fixture
def machine(tmp_path: Path) -> FakeMachine:
    return FakeMachine(tmp_path)


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_is_one_a_plain_shell_can_read(script: str) -> None:
    assert (DEBIAN / script).read_text(encoding="utf-8").startswith("#!/bin/sh\n")
    subprocess.run(["sh", "-n", DEBIAN / script], check=True)


def test_the_package_names_what_it_needs() -> None:
    control = (DEBIAN / "control.in").read_text(encoding="utf-8")
    fields = dict(re.findall(r"(?m)^([A-Z][\w-]+): (.*)$", control))
    assert fields["Package"] == "ivd-edge-agent"
    assert {"Version", "Architecture", "Maintainer", "Description", "Installed-Size"} <= set(fields)
    needed = {word.split()[0] for word in fields["Depends"].split(", ")}
    used = {"useradd": "passwd", "deb-systemd-helper": "init-system-helpers", "runuser": "util-linux"}
    assert {"python3", *used.values()} <= needed


# It comes


def test_installing_makes_what_service_install_makes_and_enables_but_does_not_start(machine: FakeMachine) -> None:
    machine.runs_systemd()
    said = machine.run("postinst", "configure", "")
    assert machine.asked("edge-agent") == ["edge-agent service install"]
    assert "ivd-edge-agent: Wrote it." in said
    assert "deb-systemd-helper enable edge-agent.service" in machine.asked("deb-systemd-helper")
    assert machine.asked("deb-systemd-invoke") == []


def test_where_no_systemd_runs_nothing_is_asked_of_it(machine: FakeMachine) -> None:
    machine.run("postinst", "configure", "")
    machine.removed()
    assert machine.asked("systemctl") == []
    assert machine.asked("deb-systemd-invoke") == []


def test_where_not_even_the_user_can_be_made_the_installation_fails(machine: FakeMachine) -> None:
    machine.answers("edge-agent", then="exit 1", folder=machine.root / "usr/bin")
    with pytest.raises(AssertionError):
        machine.run("postinst", "configure", "")


def test_an_old_unit_that_hides_the_packages_is_pointed_at(machine: FakeMachine) -> None:
    unit = machine.root / "etc/systemd/system/edge-agent.service"
    unit.parent.mkdir(parents=True)
    unit.write_text("[Unit]", encoding="utf-8")
    assert "used instead of the package's" in machine.run("postinst", "configure", "")


# It changes


def test_an_upgrade_stops_a_running_service_first_and_starts_it_afterwards(machine: FakeMachine) -> None:
    machine.runs_systemd()
    machine.run("prerm", "upgrade", "2.0")
    assert machine.asked("deb-systemd-invoke") == ["deb-systemd-invoke stop edge-agent.service"]
    machine.run("postrm", "upgrade", "2.0")
    machine.run("postinst", "configure", "1.0")
    assert machine.asked("deb-systemd-invoke")[1:] == ["deb-systemd-invoke start edge-agent.service"]
    assert machine.has_everything()


def test_one_that_was_just_starting_counts_as_running(machine: FakeMachine) -> None:
    machine.runs_systemd()
    machine.service_is("activating")
    machine.run("prerm", "upgrade", "2.0")
    machine.run("postinst", "configure", "1.0")
    assert machine.asked("deb-systemd-invoke")[-1] == "deb-systemd-invoke start edge-agent.service"


@pytest.mark.parametrize("ending", ["abort-upgrade", "configure"])
def test_a_stopped_service_is_not_started_by_an_upgrade(machine: FakeMachine, ending: str) -> None:
    machine.runs_systemd()
    machine.service_is("inactive")
    machine.run("prerm", "upgrade", "2.0")
    machine.run("postinst", ending, "1.0")
    assert "deb-systemd-invoke start edge-agent.service" not in machine.asked("deb-systemd-invoke")


def test_an_upgrade_that_is_given_up_leaves_the_old_version_running(machine: FakeMachine) -> None:
    machine.runs_systemd()
    machine.run("prerm", "upgrade", "2.0")
    machine.run("postinst", "abort-upgrade", "2.0")
    assert machine.asked("deb-systemd-invoke")[-1] == "deb-systemd-invoke start edge-agent.service"


def test_a_version_that_does_not_start_is_installed_and_said(machine: FakeMachine) -> None:
    machine.runs_systemd()
    machine.run("prerm", "upgrade", "2.0")
    machine.answers("deb-systemd-invoke", then="exit 1")
    assert "`edge-agent check`" in machine.run("postinst", "configure", "1.0")


# It goes


def test_removing_stops_the_service_and_asks_as_the_services_user_what_is_unfiled(machine: FakeMachine) -> None:
    machine.runs_systemd()
    machine.removed()
    assert machine.asked("deb-systemd-invoke") == ["deb-systemd-invoke stop edge-agent.service"]
    assert machine.asked("runuser") == [
        f"runuser -u edge-agent -- {machine.root}/usr/bin/edge-agent service unfiled",
        f"runuser -u edge-agent -- {machine.root}/usr/bin/edge-agent service unfiled --data-dir /var/lib/edge-agent",
    ]
    assert machine.has_everything()


def test_a_purge_takes_data_and_configuration_when_all_of_it_is_filed(machine: FakeMachine) -> None:
    machine.removed()
    machine.run("postrm", "purge")
    assert not machine.data.exists()
    assert not machine.settings.exists()
    assert not machine.state.exists()
    assert "deb-systemd-helper purge edge-agent.service" in machine.asked("deb-systemd-helper")


def test_a_purge_keeps_data_and_configuration_while_something_is_unfiled_and_says_what_to_do(
    machine: FakeMachine,
) -> None:
    machine.has_unfiled()
    machine.removed()
    said = machine.run("postrm", "purge")
    assert machine.has_everything()
    assert UNFILED in said
    assert f"{machine.data} and {machine.settings} are kept" in said
    assert "install ivd-edge-agent again" in said


def test_a_purge_keeps_an_old_directory_when_only_the_configured_one_is_all_filed(machine: FakeMachine) -> None:
    machine.answers("runuser", then=f'case "$*" in *--data-dir*) echo "{UNFILED}"; exit 1 ;; esac')
    machine.removed()
    assert UNFILED in machine.run("postrm", "purge")
    assert machine.has_everything()


def test_a_purge_keeps_what_nobody_looked_at(machine: FakeMachine) -> None:
    said = machine.run("postrm", "purge")
    assert machine.has_everything()
    assert "nobody looked" in said


def test_a_purge_keeps_what_was_written_after_the_removal(machine: FakeMachine) -> None:
    machine.removed()
    machine.when_the_clock_has_moved()
    (machine.data / "agent.db").write_bytes(b"more")
    machine.run("postrm", "purge")
    assert machine.has_everything()


def test_a_purge_keeps_what_was_put_back_after_the_removal_with_the_times_it_had(machine: FakeMachine) -> None:
    """`cp -a` and `tar -x` of a copy: nothing in it looks newer than the removal."""
    saved = machine.root / "saved"
    shutil.copytree(machine.data, saved)
    for path in (saved / "agent.db", saved):
        os.utime(path, (1_700_000_000, 1_700_000_000))
    machine.removed()
    machine.when_the_clock_has_moved()
    shutil.rmtree(machine.data)
    shutil.copytree(saved, machine.data)
    assert machine.data.stat().st_mtime == (machine.data / "agent.db").stat().st_mtime == 1_700_000_000
    machine.run("postrm", "purge")
    assert machine.has_everything()


def test_a_removal_that_is_given_up_leaves_the_agent_running(machine: FakeMachine) -> None:
    machine.runs_systemd()
    machine.run("prerm", "remove")
    machine.run("postinst", "abort-remove")
    assert machine.asked("deb-systemd-invoke")[-1] == "deb-systemd-invoke start edge-agent.service"


def test_one_that_is_removed_and_comes_back_is_not_started_by_it(machine: FakeMachine) -> None:
    machine.runs_systemd()
    machine.removed()
    machine.run("postinst", "configure", "1.0")
    assert machine.asked("deb-systemd-invoke") == ["deb-systemd-invoke stop edge-agent.service"]


@pytest.mark.parametrize("unfiled", [False, True])
def test_where_the_answer_cannot_be_written_down_it_is_removed_and_a_purge_keeps_everything(
    machine: FakeMachine, *, unfiled: bool
) -> None:
    if unfiled:
        machine.has_unfiled()
    machine.state.rmdir()
    machine.state.write_text("not a directory: nothing can be written in it", encoding="utf-8")
    machine.removed()
    assert "nobody looked" in machine.run("postrm", "purge")
    assert machine.has_everything()


def test_a_purge_leaves_a_data_directory_that_is_a_link(machine: FakeMachine) -> None:
    elsewhere = machine.root / "srv"
    machine.data.rename(elsewhere)
    machine.data.symlink_to(elsewhere)
    machine.removed()
    machine.run("postrm", "purge")
    assert (elsewhere / "agent.db").exists()
    assert machine.data.is_symlink()


def test_installing_again_forgets_what_the_removal_found(machine: FakeMachine) -> None:
    machine.removed()
    machine.run("postinst", "configure", "1.0")
    assert list(machine.state.iterdir()) == []
    machine.run("postrm", "purge")
    assert machine.has_everything()


# What comes along


def test_every_link_of_the_pages_leads_to_a_file_of_the_package(tmp_path: Path) -> None:
    """Who has the package alone can follow them, with the files they copy."""
    function = re.search(r"(?ms)^documents\(\) \{.*?^\}", (DEBIAN / "build.sh").read_text(encoding="utf-8"))
    assert function is not None
    script = f"set -euo pipefail\ntree={tmp_path} doc=doc\n{function[0]}\ndocuments"
    subprocess.run(["bash", "-c", script], cwd=DEBIAN.parents[1], check=True)
    shipped = tmp_path / "doc"
    pages = sorted(shipped.rglob("*.md"))
    assert shipped / "docs" / "install.md" in pages
    nowhere = {
        link
        for page in pages
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        if not (page.parent / link).exists()
    }
    assert nowhere <= {"CHANGELOG.md", "../CHANGELOG.md"}  # which Debian wants as changelog.gz
    for needed in ("config/asyncapi.yaml", "config/mosquitto/acl", "config/mosquitto/mosquitto.conf"):
        assert (shipped / needed).is_file()
