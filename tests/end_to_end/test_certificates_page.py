"""docs/certificates.md and docs/broker.md, word for word: every block of commands is run, and a result is filed.

Only what a test machine cannot have is put in its place: folders of the system, the broker's name and port, systemd.
"""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from end_to_end.bad_input_cases import QUICK, filed, taken, tube
from end_to_end.lab import ROOT, AgentProcess, Bench, until
from support_broker import Broker, running
from support_free_port import free_port

from simulators.central import Central, CentralOptions

pytestmark = pytest.mark.broker

DOCS = ROOT / "docs"
# Debian's main file, but for its log and its process id; it includes what the page installs.
MAIN = """\
user root
persistence true
persistence_location {folder}/
log_dest file {folder}/mosquitto.log
log_type all
include_dir {folder}/etc/mosquitto/conf.d
"""


def blocks(page: str, head: str) -> list[str]:
    """The commands under a heading."""
    text = (DOCS / page).read_text(encoding="utf-8")
    part = text.partition(f"\n## {head}\n")[2].partition("\n## ")[0]
    found = re.findall(r"```sh\n(.*?)```", part, re.DOTALL)
    assert found, f"{page}: {head}"
    return found


@dataclass
class Site:
    """A machine that is authority, broker and gateway in one, as far as the pages can tell."""

    folder: Path
    port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        self.work, self.programs, self.etc = (self.folder / n for n in ("work", "programs", "etc"))
        for folder in (self.work, self.programs, self.etc / "edge-agent", self.etc / "mosquitto" / "conf.d"):
            folder.mkdir(parents=True)
        (self.work / "config").symlink_to(ROOT / "config")
        config = f"--config {self.etc}/edge-agent/edge-agent.toml"
        # The unit's ExecReload is the agent's own command; the broker is started by the test.
        self._program(
            "systemctl", 'test "$*" = "restart mosquitto" || { test "$*" = "reload edge-agent"; edge-agent reload; }\n'
        )
        self._program("edge-agent", f'cd {ROOT} && exec {sys.executable} -m edge_agent "$@" {config}\n')

    def _program(self, name: str, text: str) -> None:
        (self.programs / name).write_text(f"#!/bin/sh -e\n{text}", encoding="utf-8")
        (self.programs / name).chmod(0o755)

    def run(self, page: str, head: str, *only: int) -> str:
        """Run the blocks under ``head``, or those by number; what they wrote."""
        commands = blocks(page, head)
        return "".join(self.type(commands[n]) for n in only or range(len(commands)))

    def type(self, commands: str, **other: str) -> str:
        here = {
            "/etc/": f"{self.etc}/",
            "broker.example": "localhost",
            "-g mosquitto ": "",  # no such group without the package's user
            **other,
        }
        for there, this in here.items():
            commands = commands.replace(there, this)
        path = f"{self.programs}:{os.environ['PATH']}"
        done = subprocess.run(
            ["sh", "-eu", "-c", commands],
            cwd=self.work,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, f"{commands}\n{done.stdout}{done.stderr}"
        return done.stdout

    def broker(self) -> Broker:
        """The Mosquitto that the page set up: the installed file but for the port."""
        installed = self.etc / "mosquitto" / "conf.d" / "edge.conf"
        text = installed.read_text("utf-8").replace("listener 8883", f"listener {self.port} 127.0.0.1")
        installed.write_text(text.replace("/etc/", f"{self.etc}/"), encoding="utf-8")
        return Broker(self.folder / "broker", port=self.port, config=MAIN.replace("{folder}", str(self.folder)))

    def agent(self, bench: Bench) -> AgentProcess:
        """Configured as the page shows it, and what every agent needs."""
        text = (DOCS / "certificates.md").read_text(encoding="utf-8")
        [table] = re.findall(r"```toml\n\[mqtt\]\n(.*?)```", text, re.DOTALL)
        mqtt = re.sub(r"(?m)^urls = .*\n", "", table) + QUICK
        return AgentProcess(self.etc / "edge-agent", f"mqtts://localhost:{self.port}", [bench], mqtt=mqtt)

    def certificate_of(self, name: str) -> tuple[Path, Path]:
        """One more, made by the same blocks under another name."""
        for block in (blocks("certificates.md", "A gateway")[0], blocks("certificates.md", "A gateway")[2]):
            self.type(block, **{"gw-01": name})
        return self.work / f"{name}.pem", self.work / f"{name}.key"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    if shutil.which("openssl") is None:
        pytest.skip("SKIPPED: the page is about openssl, which is not here")
    site = Site(tmp_path)
    site.run("certificates.md", "The authority, once")
    site.run("certificates.md", "The broker")
    return site


def test_the_pages_lead_to_a_filed_result_and_to_another_after_renewing(site: Site) -> None:
    assert "may be signed: gw-01" in site.run("certificates.md", "A gateway")
    site.run("broker.md", "Mosquitto")
    bench = Bench("gen1", "lis02_generic")
    agent = site.agent(bench)
    said = site.run("certificates.md", "Install it")
    assert said.endswith("edge-agent.toml is correct.\n")
    assert "warning" not in said
    certificate, key = site.certificate_of("ivd")
    url = f"mqtts://localhost:{site.port}"
    options = CentralOptions(
        url, validate="none", ca_file=str(site.work / "ca.pem"), cert_file=str(certificate), key_file=str(key)
    )
    broker = site.broker()
    try:
        with running(broker), Central(options) as central:
            agent.start()
            taken(bench, 1)
            assert filed(central, agent) == [tube(1)]

            before = (site.etc / "edge-agent" / "gw-01.pem").read_bytes()
            assert "is correct" in site.run("certificates.md", "Renew it")
            assert (site.etc / "edge-agent" / "gw-01.pem").read_bytes() != before
            log = site.folder / "mosquitto.log"
            until(lambda: log.read_text("utf-8").count(" as gw-01 (") == 2, what="connected anew")
            taken(bench, 2)
            until(lambda: len(list(central.ledger.filings(filed_only=True))) == 2, what="the second result is filed")
            assert filed(central, agent) == [tube(1), tube(2)]
    finally:
        if agent.process is not None:
            agent.kill()


@pytest.mark.parametrize("name", ["ivd", "noc", "qc-system", "ivd/a", "gw+1", "gw#1", "_central", "GW-01", "gw 1"])
def test_the_authority_is_told_which_names_not_to_sign(site: Site, name: str) -> None:
    ask, look, _ = blocks("certificates.md", "A gateway")
    site.type(ask.replace("/CN=gw-01", "/CN=" + name.replace("/", "\\/").replace("+", "\\+")))
    assert site.type(look) == f"do not sign: {name}\n"


def test_a_revoked_certificate_is_refused_by_the_broker(site: Site) -> None:
    """As the page has it: the list is made, named in edge.conf, the broker restarted."""
    site.run("certificates.md", "A gateway")
    site.run("broker.md", "Mosquitto")
    bench = Bench("gen1", "lis02_generic")
    agent = site.agent(bench)
    site.run("certificates.md", "Install it")
    site.run("certificates.md", "A key was lost or seen")
    shutil.copy(site.work / "crl.pem", site.etc / "mosquitto" / "edge")
    installed = site.etc / "mosquitto" / "conf.d" / "edge.conf"
    installed.write_text(f"{installed.read_text('utf-8')}\ncrlfile /etc/mosquitto/edge/crl.pem\n", encoding="utf-8")
    with running(site.broker()):
        try:
            agent.start()
            until(lambda: "broker-down" in agent.alarms(), what="broker-down")
            [reason] = [a["sentence"] for a in agent.ask("status")["alarms"] if a["code"] == "broker-down"]
            assert reason.endswith("the broker says that our certificate was revoked")
            taken(bench, 3)
            until(lambda: agent.ask("status")["messages"].get("queued") == 1, what="it waits safely")
        finally:
            if agent.process is not None:
                agent.kill()


def test_the_table_of_queue_limits_is_the_rule_and_the_shipped_limit_fits_fifty_gateways() -> None:
    """unfiled x gateways x 2 = 0.8 x limit."""
    text = (DOCS / "broker.md").read_text(encoding="utf-8")
    rows = re.findall(r"(?m)^\| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$", text)
    assert [row[0] for row in rows] == ["50", "200", "1000"]
    for gateways, *limits in rows:
        for unfiled, limit in zip((4, 8, 16), limits, strict=True):
            assert unfiled * int(gateways) * 2 * 10 == 8 * int(limit)
    shipped = (ROOT / "config" / "mosquitto" / "mosquitto.conf").read_text(encoding="utf-8")
    assert "\nmax_queued_messages 1000\n" in shipped
