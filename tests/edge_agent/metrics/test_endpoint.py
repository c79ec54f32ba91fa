"""Figures are read over HTTP by whoever asks well; whoever asks badly costs nobody anything."""

import asyncio
import re
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from support_conversion import reader
from support_free_port import free_port
from support_gateway import Gateway, gateway
from support_pipeline import device, records

from edge_agent.codes import CODES
from edge_agent.configuration import preflight
from edge_agent.configuration.file import load
from edge_agent.errors import ConfigurationError
from edge_agent.histogram import Histogram
from edge_agent.metrics import endpoint
from edge_agent.metrics.endpoint import Endpoint, text
from edge_agent.metrics.gather import Sample, gather
from edge_agent.metrics.table import TABLE
from edge_agent.states import MessageState

ROOT = Path(__file__).parents[3]
GLUCOSE = {"code": "GLU", "units": {"mg/dL": "mg/dL"}, "source": "made up for this test"}
MESSAGE = records(
    r"H|\^&|||BENCH-7|||||||P|LIS02-A2",
    "P|1||CANARY-P",
    "O|1|CANARY-S||^^^GLU|R",
    "R|1|^^^GLU|5.1|mmol/L||N||F||||20240612102000",
    "L|1|N",
)


async def nothing() -> list[Sample]:
    return [Sample("edge_agent_store_ok", 1)]


async def asked(port: int, request: bytes) -> bytes:
    """The answer, whole: the other side closes."""
    incoming, outgoing = await asyncio.open_connection("127.0.0.1", port)
    outgoing.write(request)
    try:
        return await incoming.read()
    except ConnectionError:
        return b""
    finally:
        outgoing.close()


def on_an_endpoint(scene: Callable[[int], Awaitable[None]]) -> None:
    port = free_port()

    async def main() -> None:
        task = asyncio.create_task(Endpoint(("127.0.0.1", port), nothing).run())
        async with asyncio.timeout(30):
            while b"200 OK" not in await _or_nothing(port):  # noqa: ASYNC110 - the port opens in its own time
                await asyncio.sleep(0.01)
            await scene(port)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())


async def _or_nothing(port: int) -> bytes:
    try:
        return await asked(port, b"GET /metrics HTTP/1.1\r\n\r\n")
    except OSError:
        return b""


def test_they_are_at_one_address_and_only_read() -> None:
    async def scene(port: int) -> None:
        answer = await asked(port, b"GET /metrics?x=1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        head, _, body = answer.partition(b"\r\n\r\n")
        assert b"Content-Type: text/plain; version=" in head
        assert f"Content-Length: {len(body)}".encode() in head
        assert b"\nedge_agent_store_ok 1.0\n" in body
        assert (await asked(port, b"GET / HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 404")
        assert (await asked(port, b"POST /metrics HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 405")

    on_an_endpoint(scene)


@pytest.mark.parametrize("request_", [b"\x00" * 20_000, b"GET /metrics HTTP/1.1\r\n" + b"A: b\r\n" * 5000], ids=str)
def test_who_asks_badly_is_not_answered_and_the_next_one_is(request_: bytes) -> None:
    async def scene(port: int) -> None:
        assert b"200 OK" not in await asked(port, request_)
        assert b"200 OK" in await asked(port, b"GET /metrics HTTP/1.1\r\n\r\n")

    on_an_endpoint(scene)


def test_who_says_nothing_is_let_go_and_no_more_than_a_few_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(port: int) -> None:
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(endpoint.MOST_READERS)]
        assert await asked(port, b"GET /metrics HTTP/1.1\r\n\r\n") == b""
        for incoming, outgoing in silent:
            assert await incoming.read() == b""
            outgoing.close()
        assert b"200 OK" in await asked(port, b"GET /metrics HTTP/1.1\r\n\r\n")

    monkeypatch.setattr(endpoint, "PATIENCE_S", 1.0)
    on_an_endpoint(scene)


def test_a_port_that_is_taken_is_said_once_and_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(endpoint, "AGAIN_S", 0.01)

    async def main() -> None:
        other = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
        port = other.sockets[0].getsockname()[1]
        task = asyncio.create_task(Endpoint(("127.0.0.1", port), nothing).run())
        async with asyncio.timeout(30):
            while not caplog.records:  # noqa: ASYNC110 - the log is the only sign
                await asyncio.sleep(0.01)
            other.close()
            while b"200 OK" not in await _or_nothing(port):  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())
    assert [r.getMessage().partition("127.0.0.1:")[0] for r in caplog.records] == ["Metrics cannot be read at "]


def test_a_histogram_is_written_as_prometheus_reads_it() -> None:
    """Exposition format: cumulative buckets with le, +Inf equal to the count."""
    took = Histogram((0.1, 1.0))
    for seconds in (0.05, 0.1, 0.5, 7.0):
        took.observe(seconds)
    lines = text([Sample("edge_agent_filing_seconds", took)]).decode().splitlines()
    assert [line for line in lines if line.startswith("edge_agent_filing_seconds")] == [
        'edge_agent_filing_seconds_bucket{le="0.1"} 2.0',
        'edge_agent_filing_seconds_bucket{le="1.0"} 3.0',
        'edge_agent_filing_seconds_bucket{le="+Inf"} 4.0',
        "edge_agent_filing_seconds_count 4.0",
        "edge_agent_filing_seconds_sum 7.65",
    ]


# What is gathered


def figures(made: Gateway) -> dict[str, float]:
    lines = text(made.run(gather(made.questions, None))).decode().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


def test_held_results_are_counted_by_analyser_and_code_and_no_patient_is_named(tmp_path: Path) -> None:
    with gateway(tmp_path, reader(device(test=[GLUCOSE]))) as made:
        made.bench.receive(MESSAGE)
        made.bench.receive(b"garbage")
        made.bench.convert()
        found = figures(made)
        assert found['edge_agent_held{analyser="an1",code="unit-contradicts"}'] == 1
        assert found['edge_agent_held{analyser="an1",code="not-lis02"}'] == 1
        assert sum(v for name, v in found.items() if name.startswith("edge_agent_held")) == 2
        assert made.bench.do(lambda s: s.counts()).held == {"an1": 2}
        assert "CANARY" not in str(found)
        assert "GLU" not in str(found)


def test_while_the_store_does_not_work_only_that_is_said_of_it(tmp_path: Path) -> None:
    with gateway(tmp_path) as made:
        assert figures(made)["edge_agent_store_ok"] == 1
        made.bench.store.stop()
        found = figures(made)
        assert found["edge_agent_store_ok"] == 0
        assert not any(name.startswith(("edge_agent_messages", "edge_agent_disk")) for name in found)
        made.alarms.raise_("storage", reason="the disk is full")
        assert figures(made)['edge_agent_alarms{code="storage"}'] == 1


def test_labels_are_few_and_known() -> None:
    assert {label for metric in TABLE for label in metric.labels} == {
        *("analyser", "code", "state"),
        *("version", "site", "gateway"),  # of edge_agent_info alone
    }
    assert [m.name for m in TABLE if {"version", "site", "gateway"} & set(m.labels)] == ["edge_agent_info"]
    assert all((m.kind == "counter") == m.name.endswith("_total") for m in TABLE)


# Off, and without its package


def test_without_it_nothing_of_prometheus_is_loaded() -> None:
    code = "import edge_agent.agent, edge_agent.cli.main, sys; print('prometheus_client' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_where_its_package_is_missing_the_configuration_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "edge-agent.toml"
    needed = '[agent]\nsite = "s"\ngateway = "g"\n[mqtt]\nurls = ["mqtt://127.0.0.1"]\n'
    path.write_text(needed + '[metrics]\nlisten = "127.0.0.1:9464"\n', encoding="utf-8")
    assert "metrics at http://127.0.0.1:9464/metrics, for whoever can reach it" in preflight.examine(path, load(path))
    monkeypatch.setattr(preflight, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError) as caught:
        preflight.devices(path, load(path))
    (problem,) = caught.value.problems
    assert (problem.line, problem.key) == (7, "metrics.listen")
    assert problem.text == "needs a package that is not installed: see docs/metrics.md, or leave it out"


# The example rules


def test_the_example_rules_name_figures_and_codes_that_exist() -> None:
    rules = (ROOT / "config" / "prometheus" / "alerts.yaml").read_text(encoding="utf-8")
    expressions = re.findall(r"(?m)^ {8}expr: (.+)$", rules)
    assert len(expressions) == 10
    known = {m.name: m for m in TABLE}
    for expression in expressions:
        names = re.findall(r"\b(?:edge_agent|process)_\w+", expression)
        assert names or "up{" in expression
        assert set(names) <= known.keys()
        for label in re.findall(r"(\w+)=~?\"", expression):
            assert label == "job" or any(label in known[name].labels for name in names)
        for states in re.findall(r'(?:code|state)=~"([^"]+)"', expression):
            assert set(states.split("|")) <= CODES.keys() | set(MessageState)


def test_a_rule_has_every_part_a_rule_has() -> None:
    rules = (ROOT / "config" / "prometheus" / "alerts.yaml").read_text(encoding="utf-8")
    for rule in rules.split("- alert: ")[1:]:
        keys = re.findall(r"(?m)^ {8}(\w+):", rule)
        assert [key for key in keys if key != "for"] == ["expr", "labels", "annotations"]
        assert rule.count("{") == rule.count("}")
        assert rule.count("(") == rule.count(")")
