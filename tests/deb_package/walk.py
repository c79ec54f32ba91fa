"""`make deb-walk`: from a bare Debian 12 to a filed result by the package alone, then upgrades and purges.

    walk.py PYTHON      builds the packages with PYTHON and walks; a line for each thing that held

The commands are those of docs/first-result.md, word for word and in its order. Systemd is PID 1 and the unit is the
package's. Exit 0: everything held. 1: something did not. 77: no Debian can be booted here, and why.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bare_debian import Machine, booted, copy_of_it, in_chroot, missing

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "first-result.md"
DATA, SETTINGS = "/var/lib/edge-agent", "/etc/edge-agent"
SEND = "analyser-sim send --device sysmex_xn --to tcp://127.0.0.1:5600"
_ASKS = re.compile(r"^(edge-agent (status|queue)|analyser-sim filed)")
_NEXT = "9.9.9"


def blocks(page: str) -> list[str]:
    """What a reader types, in order."""
    return re.findall(r"(?ms)^```sh\n(.*?)^```$", page)


class Packages:
    """This version, the same built a second time elsewhere, and a later one with another schema of the store."""

    def __init__(self, python: str, folder: Path) -> None:
        self._python = python
        self._folder = folder
        self.this = self._build(ROOT)
        elsewhere = self._copy("again")
        self.again = self._build(elsewhere)
        version = elsewhere / "edge_agent" / "version.py"
        version.write_text(re.sub(r'"\d.*"', f'"{_NEXT}"', version.read_text(encoding="utf-8")), encoding="utf-8")
        migrations = elsewhere / "edge_agent" / "store" / "migrations"
        self.schema = max(int(path.name.split("_")[0]) for path in migrations.glob("*.sql"))
        (migrations / f"{self.schema + 1:04}_walk.sql").write_text("CREATE TABLE walk (step INTEGER) STRICT;\n")
        self.later = self._build(elsewhere)

    def _copy(self, name: str) -> Path:
        target = self._folder / name
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        )
        for file in filter(None, listed.stdout.split("\0")):
            (target / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / file, target / file)
        return target

    def _build(self, tree: Path) -> Path:
        epoch = subprocess.run(
            ["git", "log", "-1", "--format=%ct"], cwd=ROOT, check=True, capture_output=True, text=True
        )
        done = subprocess.run(
            ["bash", "config/debian/build.sh", self._python],
            cwd=tree,
            env={**os.environ, "SOURCE_DATE_EPOCH": epoch.stdout.strip()},
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        return tree / done.stdout.strip()


class Walk:
    """One machine, from nothing to purged. The steps build on each other, in the order of ``STEPS``."""

    def __init__(self, machine: Machine, packages: Packages) -> None:
        self._machine = machine
        self._packages = packages
        self._page = blocks(PAGE.read_text(encoding="utf-8"))
        self._central = next(block for block in self._page if "analyser-sim central" in block)

    def the_machine_is_bare(self) -> str:
        assert not self._machine.holds("command -v python3 || command -v mosquitto || id edge-agent")
        assert re.findall(r"(\w+):", self._machine.run("cat /proc/net/dev")) == ["lo"]
        return f"systemd {self._machine.run('systemctl --version').split()[1]} is PID 1, no Python, no network"

    def the_page_leads_to_a_filed_result(self) -> str:
        shutil.copy(self._packages.this, self._machine.root / "root")
        until_filed = next(n for n, block in enumerate(self._page) if "analyser-sim filed" in block)
        for block in self._page[: until_filed + 1]:
            self._type(block)
        said = self._machine.run("analyser-sim filed --ledger trial.db")
        [figures] = re.findall(r"(\d+) results filed in 1 messages", said)
        assert int(figures) > 0, said
        assert "Nothing waits" in self._machine.run("edge-agent queue")
        return f"{until_filed + 1} blocks of the page typed, {figures} results filed in 1 message"

    def _type(self, block: str) -> None:
        """As a reader does: what only asks is asked again until it has the answer the page describes."""
        for command in commands(block):
            if _ASKS.match(command):
                self._machine.becomes(command)
            else:
                self._machine.run(command)
        if "analyser-sim send" in block:
            self._machine.becomes("edge-agent queue | grep 'Nothing waits'")

    def the_files_are_as_service_install_writes_them(self) -> str:
        run = self._machine.run
        assert run("edge-agent service show") == run("cat /usr/lib/systemd/system/edge-agent.service")
        assert '"up_to_date": true' in run("edge-agent service show --json")
        assert run(f"stat -c '%U:%G %a' {DATA}") == "edge-agent:edge-agent 710\n"
        assert run(f"stat -c '%U:%G %a' {DATA}/agent.db") == "edge-agent:edge-agent 600\n"
        loose = run("dpkg -L ivd-edge-agent | xargs -d '\\n' -I{} find {} -maxdepth 0 -perm /o=w -not -type l")
        assert loose == "", loose
        assert run("dpkg -V ivd-edge-agent") == ""
        assert not self._machine.holds("find /usr/lib/edge-agent -newer /usr/bin/edge-agent -type f | grep .")
        return f"nobody else can write any of {len(run('dpkg -L ivd-edge-agent').splitlines())} files"

    def the_unit_is_the_real_one(self) -> str:
        shown = dict(
            line.split("=", 1)
            for line in self._machine.run(
                "systemctl show edge-agent -p Type,User,WatchdogUSec,NRestarts,SubState,StatusText,UnitFileState"
            ).splitlines()
        )
        assert shown["Type"] == "notify"
        assert (shown["User"], shown["WatchdogUSec"]) == ("edge-agent", "30s")
        assert (shown["SubState"], shown["NRestarts"], shown["UnitFileState"]) == ("running", "0", "enabled")
        assert shown["StatusText"]
        [exposure] = re.findall(
            r"exposure level .*: ([\d.]+)", self._machine.run("systemd-analyze security edge-agent")
        )
        assert float(exposure) <= 1.5
        return f"notified, running, enabled, exposure {exposure}: {shown['StatusText']}"

    def the_journal_is_json_without_specimens(self) -> str:
        lines = self._machine.run("journalctl -u edge-agent -o cat SYSLOG_IDENTIFIER=python").splitlines()
        assert all({"ts", "level", "message"} <= set(json.loads(line)) for line in lines)
        filed = json.loads(self._machine.run("analyser-sim filed --json --ledger trial.db"))["filed"]
        specimens = {row["specimen"] for row in filed}
        assert specimens
        assert not [line for line in lines if any(specimen in line for specimen in specimens)]
        return f"{len(lines)} lines"

    def a_wrong_configuration_stops_it_once(self) -> str:
        self._machine.run(f"cp {SETTINGS}/edge-agent.toml good.toml; echo 'sight = 1' >>{SETTINGS}/edge-agent.toml")
        assert not self._machine.holds("systemctl restart edge-agent")
        shown = self._machine.run("systemctl show edge-agent -p ExecMainStatus,SubState,NRestarts").split()
        assert {"ExecMainStatus=78", "SubState=failed", "NRestarts=0"} == set(shown), shown
        said = self._machine.run("journalctl -u edge-agent -o cat SYSLOG_IDENTIFIER=python")
        assert "edge-agent.toml:" in said
        self._machine.run(f"cp good.toml {SETTINGS}/edge-agent.toml; systemctl start edge-agent")
        self._machine.becomes("edge-agent status")
        return "exit status 78, the line in the journal, not started again"

    def it_loads_its_configuration_anew(self) -> str:
        before = self._machine.run("systemctl show edge-agent -p MainPID")
        self._machine.run("systemctl reload edge-agent")
        self._machine.run(f"echo 'sight = 1' >>{SETTINGS}/edge-agent.toml")
        assert not self._machine.holds("systemctl reload edge-agent")
        self._machine.run(f"cp good.toml {SETTINGS}/edge-agent.toml; systemctl reload edge-agent")
        assert self._machine.run("systemctl show edge-agent -p MainPID") == before
        return "and refuses a wrong one, in the same process"

    def killed_it_comes_back(self) -> str:
        self._machine.run("systemctl kill --signal=KILL edge-agent")
        self._machine.becomes("systemctl show edge-agent -p NRestarts | grep -x NRestarts=1")
        self._machine.becomes("edge-agent status")
        return "started again by systemd"

    def standing_still_it_is_ended_by_the_watchdog(self) -> str:
        started = time.monotonic()
        self._machine.run("systemctl kill --signal=STOP edge-agent")
        self._machine.becomes("systemctl show edge-agent -p NRestarts | grep -x NRestarts=2", 200.0)
        self._machine.becomes("edge-agent status")
        assert "Watchdog timeout" in self._machine.run("journalctl -u edge-agent --no-pager -o cat")
        return f"after {time.monotonic() - started:.0f} s it runs again"

    def stopping_is_graceful(self) -> str:
        self._machine.run("systemctl stop edge-agent")
        shown = self._machine.run("systemctl show edge-agent -p Result,ExecMainStatus,SubState").split()
        assert sorted(shown) == ["ExecMainStatus=0", "Result=success", "SubState=dead"], shown
        assert self._machine.run("edge-agent service unfiled") == f"Nothing in {DATA}.\n"
        self._machine.run("systemctl start edge-agent")
        return "exit status 0, nothing unfiled"

    def an_upgrade_loses_nothing(self) -> str:
        self._machine.run("systemctl stop trial-central")
        self._machine.run(f"{SEND} --count 3 --seed 1 --ledger sent-1.jsonl")
        before = self._unfiled()
        shutil.copy(self._packages.later, self._machine.root / "root")
        sending = self._machine.start(f"{SEND} --count 60 --rate 6 --seed 2 --ledger sent-2.jsonl")
        self._machine.becomes("test -s sent-2.jsonl")
        self._machine.run(f"apt-get install -y ./ivd-edge-agent_{_NEXT}_*.deb")
        assert _NEXT in self._machine.run("edge-agent --version; edge-agent status || true")
        copied = self._machine.run(f"stat -c '%U %a' {DATA}/agent-schema-{self._packages.schema}.db")
        assert copied == "edge-agent 600\n"
        said = sending.communicate()[0]
        assert sending.returncode == 0, said
        assert self._unfiled() > before >= 3
        self._machine.run(self._central)
        self._machine.becomes("edge-agent queue | grep 'Nothing waits'")
        counted = self._counted("sent-1", "sent-2")
        return f"{before} messages waited, the store migrated, an analyser sent meanwhile: {counted}"

    def _unfiled(self) -> int:
        return int(self._machine.run("edge-agent queue --limit 1000 | grep -c ' queued ' || true"))

    def _counted(self, *names: str) -> str:
        """What the analyser was told is safe, set against what the management system got."""
        shutil.copy(Path(__file__).with_name("count_filed.py"), self._machine.root / "root")
        ledgers = " ".join(f"{name}.jsonl" for name in names)
        return self._machine.run(f"/usr/lib/edge-agent/bin/python -I count_filed.py trial.db {ledgers}").strip()

    def what_was_stopped_stays_stopped(self) -> str:
        self._machine.run("systemctl stop edge-agent && systemctl disable --quiet edge-agent")
        self._machine.run(f"apt-get install -y --reinstall ./ivd-edge-agent_{_NEXT}_*.deb")
        assert not self._machine.holds("systemctl is-active edge-agent || systemctl is-enabled edge-agent")
        self._machine.run("systemctl enable --quiet edge-agent && systemctl start edge-agent")
        return "neither started nor enabled by an upgrade"

    def a_purge_keeps_what_is_unfiled(self) -> str:
        self._machine.run("systemctl stop trial-central")
        self._machine.run(f"{SEND} --count 2 --seed 3 --ledger sent-3.jsonl")
        config = self._machine.run(f"cat {SETTINGS}/edge-agent.toml")
        said = self._machine.run("apt-get purge -y ivd-edge-agent")
        assert f"{DATA} and {SETTINGS} are kept" in said, said
        assert f"messages not filed in {DATA}" in said, said
        assert self._machine.run(f"cat {SETTINGS}/edge-agent.toml") == config
        assert self._machine.holds(f"test -s {DATA}/agent.db && ! test -e /usr/lib/edge-agent")
        self._machine.run(f"apt-get install -y ./ivd-edge-agent_{_NEXT}_*.deb && systemctl start edge-agent")
        self._machine.run(self._central)
        self._machine.becomes("edge-agent queue | grep 'Nothing waits'")
        return f"kept, and filed after installing again: {self._counted('sent-1', 'sent-2', 'sent-3')}"

    def what_was_put_back_after_the_removal_is_kept(self) -> str:
        self._machine.run(f"systemctl stop edge-agent; cp -a {DATA} put-by; apt-get remove -y ivd-edge-agent")
        assert self._machine.holds(f"test -s {DATA}/agent.db && test -s {SETTINGS}/edge-agent.toml")
        self._machine.run(f"rm -r {DATA}; cp -a put-by {DATA}")
        said = self._machine.run("apt-get purge -y ivd-edge-agent")
        assert f"{DATA} and {SETTINGS} are kept" in said, said
        self._machine.run(f"apt-get install -y ./ivd-edge-agent_{_NEXT}_*.deb")
        return "kept, though its files have the times they had before"

    def a_purge_takes_what_is_all_filed(self) -> str:
        for block in self._page[-2:]:
            self._machine.run(block)
        left = self._machine.run(
            "find / -xdev -path /root -prune -o -path /var/cache/apt -prune -o -name '*edge-agent*' -print"
        )
        assert left == "", left
        assert not self._machine.holds("systemctl cat edge-agent")
        assert self._machine.holds("id edge-agent")
        return "no file of it is left; its user stays"


def commands(block: str) -> list[str]:
    """The lines of a block; a here-document is one command with its text."""
    commands, end = [], ""
    for line in block.splitlines():
        if end:
            commands[-1] += f"\n{line}"
            end = "" if line == end else end
        else:
            commands.append(line)
            started = re.search(r"<<'(\w+)'", line)
            end = started[1] if started else ""
    return commands


def installs_without_systemd(folder: Path, package: Path) -> str:
    root = copy_of_it(folder)
    shutil.copy(package, root / "root")
    said = in_chroot(
        root, "apt-get install -y ./ivd-edge-agent_*.deb && edge-agent check && edge-agent service unfiled"
    )
    assert (root / "etc/systemd/system/multi-user.target.wants/edge-agent.service").is_symlink(), said
    in_chroot(root, "apt-get purge -y ivd-edge-agent")
    assert not (root / "etc/edge-agent").exists()
    return "in a chroot: installed, enabled for its next start, purged"


STEPS: tuple[Callable[[Walk], str], ...] = (
    Walk.the_machine_is_bare,
    Walk.the_page_leads_to_a_filed_result,
    Walk.the_files_are_as_service_install_writes_them,
    Walk.the_unit_is_the_real_one,
    Walk.the_journal_is_json_without_specimens,
    Walk.a_wrong_configuration_stops_it_once,
    Walk.it_loads_its_configuration_anew,
    Walk.killed_it_comes_back,
    Walk.standing_still_it_is_ended_by_the_watchdog,
    Walk.stopping_is_graceful,
    Walk.an_upgrade_loses_nothing,
    Walk.what_was_stopped_stays_stopped,
    Walk.a_purge_keeps_what_is_unfiled,
    Walk.what_was_put_back_after_the_removal_is_kept,
    Walk.a_purge_takes_what_is_all_filed,
)


def say(what: str, started: float, held: str) -> None:
    sys.stdout.write(f"ok {time.monotonic() - started:6.1f} s  {what.replace('_', ' ')}: {held}\n")
    sys.stdout.flush()


def main() -> int:
    lacking = missing()
    if lacking:
        sys.stdout.write(f"Not walked: {lacking}.\n")
        return 77
    with tempfile.TemporaryDirectory(prefix="deb-walk-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        started = time.monotonic()
        packages = Packages(str(Path(sys.argv[1]).absolute()), folder)
        assert packages.this.read_bytes() == packages.again.read_bytes(), "built twice, the packages differ"
        size = packages.this.stat().st_size / 1e6
        say("built twice, in two folders", started, f"the same {size:.1f} MB")
        started = time.monotonic()
        (folder / "chroot").mkdir()
        say("without systemd", started, installs_without_systemd(folder / "chroot", packages.this))
        with booted(folder) as machine:
            walk = Walk(machine, packages)
            for step in STEPS:
                started = time.monotonic()
                say(step.__name__, started, step(walk))
    return 0


if __name__ == "__main__":
    sys.exit(main())
