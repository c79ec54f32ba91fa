"""A running agent's figures: those that are documented and no others, and the same as in `status`."""

import re
import socket
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from end_to_end import plain_sender
from end_to_end.lab import GATEWAY, SITE, AgentProcess, Bench, running_agent, running_broker, until
from support_free_port import free_port

from edge_agent.version import __version__
from simulators.analyser import Plan, send
from simulators.central import Central, CentralOptions

pytestmark = pytest.mark.broker

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
WITHOUT_TLS = "edge_agent_certificate_expiry_timestamp_seconds"
BAD_LINE = b"\x05\x021H|\r\x03ZZ\r\n\x04"  # a frame whose check digits are wrong, and nothing else


def read(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as answer:
        return str(answer.read().decode())


def figures(page: str) -> dict[str, float]:
    lines = (line.rpartition(" ") for line in page.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


def documented() -> dict[str, tuple[str, list[str]]]:
    """Name -> kind and labels, as the page says."""
    rows = re.findall(r"(?m)^\| `(\w+)` \| (\w+) \| ([^|]*) \|", PAGE.read_text(encoding="utf-8"))
    return {name: (kind, re.findall(r"`(\w+)`", labels)) for name, kind, labels in rows}


def at_one_moment(agent: AgentProcess, port: int) -> tuple[dict[str, Any], str]:
    """The status and the figures, with nothing happening in between."""
    for _ in range(20):
        before, page, after = agent.ask("status"), read(port), agent.ask("status")
        same = all(before[key] == after[key] for key in ("state", "messages", "alarms", "analysers", "broker"))
        if same and before["store"]["audit"] == after["store"]["audit"]:
            return after, page
    raise AssertionError("the agent is never at rest")


def same_as_status(status: Mapping[str, Any], found: Mapping[str, float]) -> None:
    assert found[f'edge_agent_state{{state="{status["state"]}"}}'] == 1
    assert {n: v for n, v in found.items() if n.startswith("edge_agent_messages{")} == {
        f'edge_agent_messages{{state="{state}"}}': count for state, count in status["messages"].items()
    }
    assert {n: v for n, v in found.items() if n.startswith("edge_agent_alarms{")} == {
        f'edge_agent_alarms{{code="{alarm["code"]}"}}': 1 for alarm in status["alarms"]
    }
    (analyser,) = status["analysers"]
    assert sum(v for n, v in found.items() if n.startswith("edge_agent_held{")) == analyser["held"] == 1
    assert found['edge_agent_link_up{analyser="gen1"}'] == analyser["up"]
    assert found["edge_agent_broker_connected"] == status["broker"]["connected"]
    assert found["edge_agent_unanswered"] == status["broker"]["unanswered"] == 0
    assert found["edge_agent_audit_entries"] == status["store"]["audit"]["entry"]
    assert abs(found["edge_agent_disk_free_bytes"] / 1024**2 - status["store"]["free_mb"]) < 512


def test_every_figure_is_there_and_is_the_one_of_status(tmp_path: Path) -> None:
    bench, port = Bench("gen1", "lis02_generic", more="usual_gap_s = 3600"), free_port()
    with (
        running_broker(tmp_path / "broker") as broker,
        running_agent(tmp_path / "agent", broker.url, [bench], tail=f'[metrics]\nlisten = "127.0.0.1:{port}"') as agent,
        Central(CentralOptions(broker.url, validate="none")),
    ):
        sent = send(Plan("lis02_generic", count=3, seed=5, samples=("worked_example",), analyser="gen1"), bench.url)
        assert sent.all_acknowledged
        assert plain_sender.send("127.0.0.1", bench.port, BAD_LINE)[1] == plain_sender.NAK
        until(lambda: agent.nothing_waits() and "held" in agent.alarms(), 30, "filed and held")
        status, page = at_one_moment(agent, port)
        found = figures(page)
        same_as_status(status, found)
        filed = found['edge_agent_messages{state="filed"}']

    assert found[f'edge_agent_info{{gateway="{GATEWAY}",site="{SITE}",version="{__version__}"}}'] == 1
    assert filed >= 3
    for name in ("published", "broker_taken", "filed"):
        assert found[f"edge_agent_{name}_total"] == filed, name
    assert found["edge_agent_filing_seconds_count"] == filed
    assert found["edge_agent_rejected_total"] == found["edge_agent_timed_out_total"] == 0
    assert found['edge_agent_received_messages_total{analyser="gen1"}'] == 3
    assert found['edge_agent_refused_frames_total{analyser="gen1"}'] == 1
    assert found['edge_agent_received_bytes_total{analyser="gen1"}'] > 500
    assert found['edge_agent_usual_gap_seconds{analyser="gen1"}'] == 3600
    assert found["edge_agent_commit_seconds_count"] > 3
    assert found["edge_agent_oldest_unfiled_seconds"] == 0

    exposed = dict(re.findall(r"(?m)^# TYPE (\w+) (\w+)$", page))
    pages = documented()
    assert {name: kind for name, (kind, _) in pages.items()} == exposed
    with_figures = {re.sub(r"_(bucket|count|sum)$", "", re.sub(r"\{.*", "", name)) for name in found}
    assert set(exposed) - with_figures <= {WITHOUT_TLS, "edge_agent_failed"}
    for name in found:
        family = re.sub(r"_(bucket|count|sum)$", "", name.partition("{")[0])
        labels = set(re.findall(r'(\w+)="', name)) - {"le"}
        assert labels == set(pages[family][1]), name


def test_the_port_follows_a_reload(tmp_path: Path) -> None:
    here, there = free_port(), free_port()
    where = '[metrics]\nlisten = "127.0.0.1:{}"'
    nobody = f"mqtt://127.0.0.1:{free_port()}"
    with running_agent(tmp_path / "agent", nobody, [Bench("gen1", "lis02_generic")], tail=where.format(here)) as agent:
        until(lambda: open_at(here) and "edge_agent_info" in read(here), 20, "the figures")
        text = agent.config.read_text(encoding="utf-8")
        agent.config.write_text(text.replace(where.format(here), where.format(there)), encoding="utf-8")
        agent.ask("reload")
        until(lambda: open_at(there) and "edge_agent_info" in read(there), 20, "the figures at the new port")
        assert not open_at(here)
        agent.config.write_text(text.replace(where.format(here), ""), encoding="utf-8")
        agent.ask("reload")
        until(lambda: not open_at(there), 20, "no port")


def open_at(port: int) -> bool:
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0
