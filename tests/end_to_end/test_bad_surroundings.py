"""Broker, certificates, configuration, a second agent: what is wrong around the agent is said, and costs no result."""

import shutil
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from end_to_end.bad_input_cases import VALUE, Line, plain, tube
from end_to_end.lab import AgentProcess, Bench, running_agent, until
from support_broker import Authority, Broker, running
from support_free_port import free_port

from simulators.central import Central, CentralOptions

pytestmark = pytest.mark.broker

QUICK = "ack_timeout_s = 2\nretry_max_s = 2"


def taken(bench: Bench, number: int) -> None:
    """The analyser gives one message and is told that we have it."""
    with Line(bench.port, []) as line:
        line.send(plain(tube(number), VALUE))
    assert line.answers == "A" * 6


def waits_safely(agent: AgentProcess, count: int) -> None:
    until(lambda: agent.ask("status")["messages"].get("queued") == count, 20, f"{count} queued")


def broker_down(agent: AgentProcess) -> str:
    """The sentence of the alarm."""
    until(lambda: "broker-down" in agent.alarms(), 20, "broker-down")
    return next(a["sentence"] for a in agent.ask("status")["alarms"] if a["code"] == "broker-down")


def filed(central: Central, agent: AgentProcess) -> list[str]:
    """The specimens, once nothing waits any more."""
    until(lambda: agent.nothing_waits() and "broker-down" not in agent.alarms(), 40, "everything is filed")
    return [f.observation.specimen for f in central.ledger.filings(filed_only=True)]


@contextmanager
def kept_port() -> Iterator[int]:
    """A port where nothing listens, and that nobody but the broker (SO_REUSEADDR) will be given meanwhile."""
    with socket.socket() as keeper:
        keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        keeper.bind(("127.0.0.1", 0))
        yield keeper.getsockname()[1]


def test_a_broker_that_is_down_when_the_agent_starts(tmp_path: Path) -> None:
    bench = Bench("gen1", "lis02_generic")
    with (
        kept_port() as port,
        running_agent(tmp_path / "agent", f"mqtt://127.0.0.1:{port}", [bench], mqtt=QUICK) as agent,
    ):
        broker = Broker(tmp_path / "broker", port=port)
        taken(bench, 1)
        assert broker_down(agent) == (
            f"The broker cannot be reached: {broker.url}: nothing listens there (connection refused)"
        )
        waits_safely(agent, 1)
        status = agent.command("status")
        assert status.returncode == 1
        assert "Check network and broker. Results are safe here." in status.stdout
        with running(broker), Central(CentralOptions(broker.url, validate="none")) as central:
            taken(bench, 2)
            assert sorted(filed(central, agent)) == [tube(1), tube(2)]


def test_a_broker_whose_certificate_expired_and_is_renewed(tmp_path: Path) -> None:
    bench = Bench("gen1", "lis02_generic")
    authority = Authority(tmp_path)
    broker = Broker(tmp_path / "broker", tls=(authority.file, authority.issue("broker", expired=True)))
    mqtt = f'{QUICK}\nca_file = "{authority.file}"'
    with running(broker), running_agent(tmp_path / "agent", broker.url, [bench], mqtt=mqtt) as agent:
        taken(bench, 3)
        sentence = broker_down(agent)
        assert sentence == f"The broker cannot be reached: {broker.url}: the broker's certificate has expired"
        waits_safely(agent, 1)
        authority.issue("broker")  # under the same name
        broker.restart()
        options = CentralOptions(broker.url, validate="none", ca_file=str(authority.file))
        with Central(options) as central:
            assert filed(central, agent) == [tube(3)]


def refused(agent: AgentProcess) -> list[str]:
    """What `run` says on stderr before it leaves with 78, without the way to the file; `check` says the same."""
    run, check = agent.command("run"), agent.command("check")
    assert (run.returncode, check.returncode) == (78, 78)
    assert run.stderr == check.stderr
    assert run.stdout == ""
    assert not agent.data_dir.exists()  # nothing was begun
    return [line.replace(f"{agent.folder}/", "") for line in run.stderr.splitlines()]


def configured(folder: Path, benches: Sequence[Bench], mqtt: str = "", tail: str = "") -> AgentProcess:
    folder.mkdir()
    return AgentProcess(folder, f"mqtts://127.0.0.1:{free_port()}", benches, mqtt, tail)


def test_a_client_certificate_without_its_key(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("gw-01")
    bench = [Bench("gen1", "lis02_generic")]
    end = ["The configuration has one mistake. [configuration]", "Correct the lines above, then run `check`."]

    agent = configured(tmp_path / "unnamed", bench, f'cert_file = "{certificate}"')
    assert refused(agent) == ["edge-agent.toml:6: mqtt: cert_file and key_file belong together", *end]

    agent = configured(tmp_path / "missing", bench, 'cert_file = "gw.pem"\nkey_file = "gw.key"')
    shutil.copy(certificate, agent.folder / "gw.pem")
    assert refused(agent) == ["edge-agent.toml:9: mqtt.key_file: gw.key does not exist", *end]

    shutil.copy(authority.issue("other")[1], agent.folder / "gw.key")
    assert refused(agent) == ["edge-agent.toml:8: mqtt.cert_file: gw.pem does not belong to its key_file", *end]

    shutil.copy(key, agent.folder / "gw.key")
    assert agent.command("check").returncode == 0


def test_a_configuration_with_three_mistakes_of_three_kinds(tmp_path: Path) -> None:
    benches = [Bench("gen1", "lis02_generic", mode="prodution"), Bench("xn1", "sysmex_xm")]
    agent = configured(tmp_path / "agent", benches, mqtt="ack_timeout = 5")
    assert refused(agent) == [
        "edge-agent.toml:8: mqtt.ack_timeout: unknown key; did you mean 'ack_timeout_s'?",
        "edge-agent.toml:14: analyser.gen1.mode: must be 'production' or 'validation'",
        'edge-agent.toml:20: analyser.xn1.profile: no device is called "sysmex_xm"; did you mean "sysmex_xn"?',
        "The configuration has 3 mistakes. [configuration]",
        "Correct the lines above, then run `check`.",
    ]


def test_two_agents_on_one_data_directory(tmp_path: Path) -> None:
    bench = Bench("gen1", "lis02_generic")
    with (
        running(Broker(tmp_path / "broker")) as broker,
        Central(CentralOptions(broker.url, validate="none")) as central,
        running_agent(tmp_path / "agent", broker.url, [bench], mqtt=QUICK) as agent,
    ):
        taken(bench, 4)
        second = agent.command("run")
        assert second.returncode == 1
        assert second.stderr.splitlines() == [
            "Another program is using the data directory: an edge agent runs there already. [store-locked]",
            "Stop the other program, or give this agent its own data_dir.",
        ]
        taken(bench, 5)
        assert filed(central, agent) == [tube(4), tube(5)]
        assert agent.alarms() == set()
