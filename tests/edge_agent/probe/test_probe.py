"""`test ANALYSER` on real ptys and sockets: it says what it hears, and never writes an ACK."""

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result
from end_to_end.lab import AgentProcess, Bench
from support_free_port import free_port
from support_gateway import gateway
from support_ports import Pty, Wire, run, until

from drivers.protocols.lis01 import Dialect, Opened, Receiver
from drivers.sdk import load
from edge_agent.cli.main import main
from edge_agent.clock import SystemClock
from edge_agent.errors import AgentError
from edge_agent.probe import listening as probe
from edge_agent.probe.hearing import Finding, Hearing
from edge_agent.probe.listening import Probe, instead_of_an_agent, known_profiles
from edge_agent.settings import AnalyserTable, LinkTable
from edge_agent.store.directory import DirectoryLock
from edge_agent.store.errors import StoreLockedError

ROOT = Path(__file__).parents[3]
ENQ, NAK, ACK, EOT = b"\x05", b"\x15", b"\x06", b"\x04"
# LIS01-A2 6.3: number, text, CR, ETX; 0xE5 is what they add up to, modulo 256.
FRAME = b"\x021H|\\^&\r\x03E5\r\n"
CONFIG = """\
[agent]
site = "seoul-01"
gateway = "gw-01"
data_dir = "data"

[mqtt]
urls = ["mqtt://127.0.0.1:1"]

[[analyser]]
id = "an1"
profile = "lis02_generic"
transport = "{transport}"
"""


class Listening:
    """A probe that runs, and everything it said."""

    def __init__(self, transport: str, peer: tuple[str, ...] = (), profile: str = "lis02_generic") -> None:
        self.said: list[Finding] = []
        self.stop = asyncio.Event()
        table = AnalyserTable(id="an1", profile=profile, transport=transport, peer=list(peer))
        self.probe = Probe(
            table,
            load(profile),
            lambda: known_profiles(Path("nowhere")),
            SystemClock(),
            Random(1),
            lambda _, finding: self.said.append(finding),
        )
        self.task: asyncio.Task[bool] | None = None

    def codes(self) -> list[str]:
        return [finding.code for finding in self.said]

    async def has(self, code: str) -> None:
        await until(lambda: code in self.codes(), f"{code}, only {self.codes()}")

    async def result(self) -> bool:
        assert self.task is not None
        self.stop.set()
        return await self.task


@contextlib.asynccontextmanager
async def listening(transport: str, **more: Any) -> AsyncIterator[Listening]:
    made = Listening(transport, **more)
    made.task = asyncio.create_task(made.probe.run(made.stop))
    try:
        yield made
    finally:
        await made.result()


def everything_written(pty: Pty) -> bytes:
    try:
        return os.read(pty.master, 100_000)
    except BlockingIOError:
        return b""


def test_on_a_serial_line_an_enq_is_heard_and_answered_nak_once() -> None:
    async def scenario() -> None:
        with Pty() as pty:
            async with listening(f"serial://{pty.path}?baudrate=9600") as heard:
                await heard.has("open")
                assert await pty.ask(ENQ) == NAK
                await heard.has("enq")
                await pty.send(FRAME + EOT)  # a sender that takes no notice
                await heard.has("frame")
                assert await heard.result()
                assert everything_written(pty) == b""

    run(scenario())


def test_the_same_enq_would_get_an_ack_from_the_agent() -> None:
    receiver = Receiver(Dialect())
    receiver.receive(ENQ, 0.0)
    opened = receiver.next_event(0.0)
    assert isinstance(opened, Opened)
    assert opened.answer == ACK


def test_even_an_ear_that_answers_ack_cannot_make_it_write_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Hearing, "hear", lambda self, data, now: ([Finding("enq", "x", works=True)], ACK))

    async def scenario() -> None:
        with Pty() as pty:
            async with listening(f"serial://{pty.path}") as heard:
                await heard.has("open")
                await pty.send(ENQ)
                await heard.has("enq")
                await heard.result()
                assert everything_written(pty) == b""

    run(scenario())


def test_a_silent_serial_line_names_cable_and_settings() -> None:
    async def scenario() -> None:
        with Pty() as pty:
            async with listening(f"serial://{pty.path}") as heard:
                await heard.has("open")
                assert not await heard.result()
                assert heard.codes() == ["open", "silent"]
                assert "TX and RX crossed" in heard.said[-1].action

    run(scenario())


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x0bMSH|^~\\&|XN|LAB|||20240301||ORU^R01|1|P|2.3.1\r\x1c\r", "hl7"),
        (bytes.fromhex("e0fcfe8086f8"), "garbage"),
        (FRAME.replace(b"E5", b"E6"), "refused"),
        (FRAME.replace(b"E5", b"E7"), "dialect"),  # STX counted in
    ],
    ids=["hl7", "garbage", "refused", "dialect"],
)
def test_what_cannot_be_used_is_named_and_not_answered(data: bytes, code: str) -> None:
    async def scenario() -> None:
        port = free_port()
        async with listening(f"tcp-server://127.0.0.1:{port}") as heard:
            await heard.has("open")
            wire = await Wire.call(port)
            await wire.send(data)
            await heard.has(code)
            assert not await heard.result()
            assert await wire.answer(1) == b""  # hung up, and nothing before
            await wire.close()

    run(scenario())


def test_a_frame_over_tcp_is_read_and_not_acknowledged() -> None:
    async def scenario() -> None:
        port = free_port()
        async with listening(f"tcp-server://127.0.0.1:{port}") as heard:
            await heard.has("open")
            wire = await Wire.call(port)
            await wire.send(FRAME)
            await heard.has("header")
            assert await heard.result()
            assert await wire.answer(1) == b""
            await wire.close()

    run(scenario())


def test_a_listening_analyser_is_called_and_one_that_hangs_up_is_said(tmp_path: Path) -> None:
    async def scenario() -> None:
        async def analyser(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(ENQ)
            got.append(await reader.read(1))
            writer.close()

        got: list[bytes] = []
        server = await asyncio.start_server(analyser, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with listening(f"tcp-client://127.0.0.1:{port}") as heard:
            await heard.has("enq")
            await heard.has("down")
            assert await heard.result()
        server.close()
        assert got == [NAK]

    run(scenario())


def test_nobody_who_connects_a_foreign_address_and_a_taken_port_are_told_apart() -> None:
    async def scenario() -> None:
        async with listening(f"tcp-server://127.0.0.1:{free_port()}") as heard:
            await heard.has("open")
            assert not await heard.result()
            assert heard.codes() == ["open", "nobody"]
        port = free_port()
        async with listening(f"tcp-server://127.0.0.1:{port}", peer=("10.9.9.9",)) as heard:
            await heard.has("open")
            for _ in range(2):
                wire = await Wire.call(port)
                assert await wire.hung_up()
                await wire.close()
            await heard.has("refused-peer")
            assert not await heard.result()
            assert heard.codes() == ["open", "refused-peer"]
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            async with listening(f"tcp-server://127.0.0.1:{taken.getsockname()[1]}") as heard:
                await heard.has("down")
                assert not await heard.result()
                assert heard.codes() == ["down", "never-open"]
                assert "is in use by another program" in heard.said[0].sentence

    run(scenario())


def test_of_an_analyser_with_two_ports_each_is_listened_to_and_named() -> None:
    async def scenario() -> None:
        with Pty() as results, Pty() as orders:
            urls = (f"serial://{results.path}?baudrate=9600", f"serial://{orders.path}")
            heard = Listening("tcp-server://127.0.0.1:1")
            roles = ({"role": role, "transport": url} for role, url in zip(("results", "orders"), urls, strict=True))
            table = AnalyserTable(id="an1", profile="lis02_generic", links=[LinkTable(**facts) for facts in roles])
            said: list[tuple[str, str]] = []
            heard.probe = Probe(
                table,
                load("lis02_generic"),
                list,
                SystemClock(),
                Random(1),
                lambda port, finding: said.append((port, finding.code)),
            )
            heard.task = asyncio.create_task(heard.probe.run(heard.stop))
            await until(lambda: len(said) == 2, "both open")
            assert await orders.ask(ENQ) == NAK
            assert await heard.result()
            assert sorted(said) == sorted(
                [
                    (f"serial://{results.path}", "open"),
                    (f"serial://{orders.path}", "open"),
                    (f"serial://{orders.path}", "enq"),
                    (f"serial://{results.path}", "silent"),
                ]
            )

    run(scenario())


# Never beside an agent


def test_while_it_listens_no_agent_starts_and_afterwards_one_may(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    config = tmp_path / "edge-agent.toml"
    config.write_text(CONFIG.replace("{transport}", f"tcp-server://127.0.0.1:{free_port()}"), encoding="utf-8")
    with instead_of_an_agent(data_dir):
        words = [sys.executable, "-m", "edge_agent", "run", "--config", str(config)]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, "[store-locked]" in done.stderr) == (1, True)
        with pytest.raises(StoreLockedError):
            DirectoryLock(data_dir)
    DirectoryLock(data_dir).release()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_what_root_made_belongs_to_the_agents_user_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = SimpleNamespace(pw_uid=65534, pw_gid=65534)
    monkeypatch.setattr(probe, "pwd", SimpleNamespace(getpwnam=lambda name: agent))
    with instead_of_an_agent(tmp_path / "data"):
        pass
    assert {p.stat().st_uid for p in (tmp_path / "data", tmp_path / "data" / "agent.lock")} == {65534}
    (tmp_path / "data" / "agent.lock").unlink()
    with instead_of_an_agent(tmp_path / "data"):  # the directory is the agent's already
        pass
    assert (tmp_path / "data" / "agent.lock").stat().st_uid == 65534


def test_an_agent_that_is_starting_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    agent = DirectoryLock(tmp_path / "data")
    try:
        with pytest.raises(AgentError) as caught, instead_of_an_agent(tmp_path / "data"):
            pass
        assert caught.value.code == "no-answer"
    finally:
        agent.release()


def test_a_data_directory_that_cannot_be_kept_is_said(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file", encoding="utf-8")
    with pytest.raises(AgentError) as caught, instead_of_an_agent(tmp_path / "data"):
        pass
    assert caught.value.code == "permission"


# As a person types it


def edge_agent(*words: object) -> Result:
    return CliRunner(env={"EDGE_AGENT_CONFIG": ""}).invoke(main, [*map(str, words)], catch_exceptions=False)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "edge-agent.toml"
    path.write_text(CONFIG.replace("{transport}", f"tcp-server://127.0.0.1:{free_port()}"), encoding="utf-8")
    return path


def test_without_an_agent_the_command_listens_itself_and_ends_with_1_when_nothing_came(config: Path) -> None:
    result = edge_agent("test", "an1", "--seconds", 1, "--config", config, "--json")
    facts = json.loads(result.stdout)
    assert (result.exit_code, facts["heard_by"], facts["ok"]) == (1, "test", False)
    assert [f["code"] for f in facts["findings"]] == ["open", "nobody"]


def test_a_certificate_that_is_still_to_come_is_no_reason_not_to_look_at_a_cable(config: Path) -> None:
    text = config.read_text(encoding="utf-8").replace("[[analyser]]", 'ca_file = "to-come.pem"\n[[analyser]]')
    config.write_text(text, encoding="utf-8")
    assert edge_agent("check", "--config", config).exit_code == 78
    assert "Nobody connected." in edge_agent("test", "an1", "--seconds", 1, "--config", config).stdout


def test_a_profile_that_is_not_there_is_a_mistake_of_the_configuration(config: Path) -> None:
    config.write_text(config.read_text(encoding="utf-8").replace("lis02_generic", "lis02_genric"), encoding="utf-8")
    result = edge_agent("test", "an1", "--config", config)
    assert result.exit_code == 78
    assert 'did you mean "lis02_generic"?' in result.stderr


def test_a_name_that_is_not_configured_is_wrong_usage(config: Path) -> None:
    result = edge_agent("test", "an2", "--config", config)
    assert result.exit_code == 2
    assert "there are an1" in result.stderr


def test_a_running_agent_is_asked_and_keeps_its_port(tmp_path: Path) -> None:
    with gateway(tmp_path) as running:
        running.port.becomes(connections=("10.0.0.5:4001",), unframed=12, refused=3, refused_for="checksum")
        result = edge_agent("test", "an1", "--seconds", 1, "--config", running.config)
        assert result.exit_code == 0
        for words in (
            "The port is open",
            "10.0.0.5:4001",
            "since the agent started: 12.",
            "started: 3; the checksum does not fit.",
            "checksum does not fit",
        ):
            assert words in result.stdout
        assert result.stdout.splitlines()[-1] == "an1: the agent has its port open."
        running.port.becomes(up=False, reason="COM1 is gone.")
        down = edge_agent("test", "an1", "--seconds", 1, "--config", running.config, "--json")
        facts = json.loads(down.stdout)
        assert (down.exit_code, facts["heard_by"]) == (1, "agent")
        assert [f["sentence"] for f in facts["findings"]] == ["COM1 is gone."]


def test_while_the_agent_runs_its_port_stays_its_own_and_what_it_saw_is_said(tmp_path: Path) -> None:
    bench = Bench("an1", "lis02_generic")
    agent = AgentProcess(tmp_path, "mqtt://127.0.0.1:1", [bench])
    agent.start()
    try:
        with socket.create_connection(("127.0.0.1", bench.port), 10) as analyser:
            analyser.sendall(ENQ)
            assert analyser.recv(1) == ACK
            analyser.sendall(FRAME.replace(b"E5", b"E6"))
            assert analyser.recv(1) == NAK
            done = agent.command("test", "an1", "--seconds", "1")
            assert (done.returncode, done.stderr) == (0, "")
            assert "Frames refused since the agent started: 1; the checksum does not fit." in done.stdout
            assert "Connected: 127.0.0.1:" in done.stdout
            analyser.sendall(FRAME)  # and the agent goes on as if nobody had asked
            assert analyser.recv(1) == ACK
    finally:
        assert agent.stop() == 0
