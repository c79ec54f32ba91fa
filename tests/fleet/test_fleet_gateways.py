"""A simulated gateway keeps the contract, says the truth about what was filed, and needs what it says it needs."""

import json
import resource
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from end_to_end.contract import Contract
from end_to_end.example_consumer import consumer
from end_to_end.lab import until
from end_to_end.witness import witness
from fleet.parts import gateways
from judge.second_opinion import second_opinion
from judge.verdict import judge
from support_broker import HOST, Broker, running
from support_free_port import free_port

from edge_agent.contract.document import document
from simulators.central import Central, CentralOptions
from simulators.cli import main
from simulators.errors import FleetError
from simulators.fleet import allow_files
from simulators.fleet_result import result


def fleet(url: str, *words: str) -> Result:
    return CliRunner().invoke(main, ["fleet", "--url", url, *words])


@pytest.mark.broker
def test_what_simulated_gateways_publish_is_in_the_contract(tmp_path: Path) -> None:
    with (
        running(Broker(tmp_path / "broker")) as broker,
        witness(HOST, broker.port) as seen,
        consumer(HOST, broker.port, tmp_path / "filed.sqlite") as system,
    ):
        system.start()
        until(lambda: seen.saw("/_central/ivd/a/state"), what="the management system is there")
        with gateways(broker.url, tmp_path, gateways=3, will_delay=0) as some:
            until(lambda: some.has_said("filed"), what="filed")
            report = some.report()
        with gateways(broker.url, tmp_path, gateways=1, first=7, will_delay=0) as one:
            until(lambda: one.has_said("filed"), what="filed")
        until(lambda: seen.saw("gw-00007/state", b'"lost"'), what="its will")
        until(lambda: seen.saw("gw-00002/state", b'"offline"'), what="a clean end")
        heard = seen.heard()
        assert Contract(document()).differences(heard) == []
        assert {p.topic.split("/")[-1] for p in heard} == {"state", "health", "result", "ivd"}
        assert (report["filed"], report["retries"], report["whole"]) == (3, 0, True)
        assert [p.topic for p in heard if p.topic.endswith("/state") and b'"lost"' in p.payload] == [
            "ivd/v1/fleet-01/gw-00007/state"
        ]
        assert len(system.filed()) == 4


def test_its_result_is_one_the_judges_accept() -> None:
    for number in (0, 89, 999):
        made = result("fleet-01", "gw-00001", number, "ABCD1234")
        assert [str(f) for f in judge(made.payload, route="result")] == []
        assert second_opinion(made.payload) == []


@pytest.mark.broker
def test_a_fleet_whose_results_are_refused_is_not_whole(tmp_path: Path) -> None:
    with (
        running(Broker(tmp_path / "broker")) as broker,
        Central(CentralOptions(broker.url, validate="none", answer="AE")),
    ):
        done = fleet(broker.url, "--gateways", "2", "--patience", "1", "--ack-timeout", "5")
        report: dict[str, Any] = json.loads(done.stdout)
        assert done.exit_code == 1
        assert (report["filed"], report["rejected"], report["whole"]) == (0, 2, False)


@pytest.mark.parametrize("url", ["mqtts://127.0.0.1:8883", "127.0.0.1", f"mqtt://127.0.0.1:{free_port()}"])
def test_a_broker_it_cannot_use_is_named(url: str) -> None:
    done = fleet(url, "--gateways", "1")
    assert done.exit_code == 1
    assert "[fleet]" in done.stderr


def test_more_sockets_than_the_system_allows_are_refused_before_anything_is_opened(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []
    monkeypatch.setattr(resource, "setrlimit", lambda _what, limits: asked.append(limits))
    monkeypatch.setattr(resource, "getrlimit", lambda _what: (256, 1024))
    with pytest.raises(FleetError, match="1000 gateways need 1100 open files, 1024 are allowed"):
        allow_files(1000)
    allow_files(500)
    assert asked == [(600, 1024)]
    allow_files(100)
    assert asked == [(600, 1024)]
