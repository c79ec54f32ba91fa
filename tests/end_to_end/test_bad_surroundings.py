"""Broker, certificates, configuration, a second agent: what is wrong around the agent is said, and costs no result."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from end_to_end.bad_input_cases import QUICK, filed, taken, tube
from end_to_end.lab import ROOT, AgentProcess, Bench, running_agent, until
from support_broker import Authority, Broker, running
from support_free_port import free_port
from support_small_disk import fill, small_disk

from simulators.central import Central, CentralOptions

pytestmark = pytest.mark.broker


def waits_safely(agent: AgentProcess, count: int) -> None:
    until(lambda: agent.ask("status")["messages"].get("queued") == count, 20, f"{count} queued")


def broker_down(agent: AgentProcess) -> str:
    """The sentence of the alarm."""
    until(lambda: "broker-down" in agent.alarms(), 20, "broker-down")
    return next(a["sentence"] for a in agent.ask("status")["alarms"] if a["code"] == "broker-down")


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
        assert "Put right what it says, or check network and broker. Results are safe here." in status.stdout
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


def test_a_certificate_of_ours_that_ended_keeps_nobody_from_storing(tmp_path: Path) -> None:
    """`check` says it is wrong; the agent starts, takes results, says why they wait, and takes up the renewed one."""
    bench = Bench("gen1", "lis02_generic")
    authority = Authority(tmp_path)
    broker = Broker(tmp_path / "broker", tls=(authority.file, authority.issue("broker")), client_certificates=True)
    ours, key = authority.issue("gw-01", expired=True)
    mqtt = f'{QUICK}\nca_file = "{authority.file}"\ncert_file = "{ours}"\nkey_file = "{key}"'
    with running(broker), running_agent(tmp_path / "agent", broker.url, [bench], mqtt=mqtt) as agent:
        check = agent.command("check")
        assert check.returncode == 78
        assert "the broker will refuse it. Renew it" in check.stderr
        taken(bench, 6)
        assert broker_down(agent).endswith("the broker says that our certificate has expired")
        assert "certificate" in agent.alarms()
        waits_safely(agent, 1)
        authority.issue("gw-01")  # under the same name
        theirs, their_key = authority.issue("ivd")
        options = CentralOptions(
            broker.url,
            validate="none",
            ca_file=str(authority.file),
            cert_file=str(theirs),
            key_file=str(their_key),
        )
        with Central(options) as central:
            assert filed(central, agent) == [tube(6)]


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


def does_not_start(folder: Path, data_dir: Path, *, before: Sequence[str] = ()) -> list[str]:
    """What `run` says on stderr before it leaves with 1: a port or a broker is never asked for."""
    agent = configured(folder, [Bench("gen1", "lis02_generic")])
    agent.config.write_text(agent.config.read_text("utf-8").replace('"data"', f'"{data_dir}"'), encoding="utf-8")
    command = [*before, sys.executable, "-m", "edge_agent", "run", "--config", str(agent.config)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    return ended.stderr.splitlines()


def test_a_data_directory_in_memory(tmp_path: Path) -> None:
    memory = Path("/dev/shm")
    if subprocess.run(["stat", "-f", "-c", "%T", memory], capture_output=True, text=True).stdout.strip() != "tmpfs":
        pytest.skip("SKIPPED: no file system in memory here")
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        said, action = does_not_start(tmp_path / "agent", Path(folder) / "data")
        assert [said.replace("devtmpfs", "tmpfs"), action] == [  # as it is called where /dev is all there is
            "The data directory lies on tmpfs, which does not keep results through a power failure. "
            "[store-unsafe-filesystem]",
            "Put data_dir on a local disk (ext4 or XFS with default options).",
        ]
        assert not (Path(folder) / "data" / "edge-agent.db").exists()


@pytest.mark.parametrize("mode", [0o700, 0o755])
def test_a_data_directory_of_another_user(tmp_path: Path, mode: int) -> None:
    """Root without its privileges over files is as good as another user."""
    setpriv = shutil.which("setpriv")
    if os.geteuid() != 0 or setpriv is None:
        pytest.skip("SKIPPED: giving a directory to another user needs root and setpriv")
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    os.chown(theirs, 65_534, 65_534)
    theirs.chmod(mode)
    without = [setpriv, "--bounding-set=-dac_override,-dac_read_search,-fowner,-chown"]
    assert does_not_start(tmp_path / "agent", theirs, before=without) == [
        "The data directory cannot be used: Operation not permitted. [store-directory]",
        "Check data_dir, who owns it and its free space; the agent needs to write there.",
    ]
    assert list(theirs.iterdir()) == []


def test_a_data_directory_on_a_full_disk(tmp_path: Path) -> None:
    with small_disk(tmp_path) as disk:
        (disk / "data").mkdir()
        fill(disk / "ballast")
        assert does_not_start(tmp_path / "agent", disk / "data") == [
            "Results cannot be stored: database or disk is full (SQLITE_FULL). [storage]",
            "Nothing is acknowledged until storage works. Check the disk.",
        ]
