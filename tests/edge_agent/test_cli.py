"""The command edge-agent as a person and as a program meets it."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from support_conversion import until
from support_free_port import free_port
from support_gateway import CONFIG, Gateway, one_queued_one_held

from edge_agent.cli.main import main
from edge_agent.version import __version__

ROOT = Path(__file__).parents[2]


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Gateway]:
    """An agent without ports and broker, with one message under way and one result held."""
    with one_queued_one_held(tmp_path) as running:
        yield running


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "edge-agent.toml"
    path.write_text(CONFIG, encoding="utf-8")
    return path


def edge_agent(*words: object, **more: Any) -> Result:
    return CliRunner(**more).invoke(main, [str(w) for w in words], catch_exceptions=False)


def says_what_to_do(result: Result, code: str) -> None:
    """A sentence, the code, then the next action; nothing on stdout."""
    lines = result.stderr.splitlines()
    assert result.stdout == ""
    assert re.fullmatch(r"[A-Z].*\. \[" + code + r"\]", lines[-2]), lines
    assert re.fullmatch(r"[A-Z].*\.", lines[-1]), lines


# Asking a running agent


@pytest.mark.parametrize("words", [("status",), ("queue",), ("show", "S24-0028"), ("trace", "t1")])
def test_every_command_that_reads_prints_text_for_people_and_json_for_programs(
    made: Gateway, words: tuple[str, ...]
) -> None:
    text = edge_agent(*words, "--config", made.config)
    parsed = json.loads(edge_agent(*words, "--json", "--config", made.config).stdout)
    assert (text.exit_code, text.stderr) == (0, "")
    assert isinstance(parsed, dict)
    assert parsed == made.answer(words[0], id=words[-1])
    with pytest.raises(ValueError):
        json.loads(text.stdout)


def test_the_configuration_may_be_named_before_the_command_or_by_the_environment(made: Gateway) -> None:
    assert edge_agent("--config", made.config, "status").exit_code == 0
    assert edge_agent("status", env={"EDGE_AGENT_CONFIG": str(made.config)}).exit_code == 0


def test_the_option_after_the_command_wins(made: Gateway, tmp_path: Path) -> None:
    assert edge_agent("--config", tmp_path / "none.toml", "status", "--config", made.config).exit_code == 0


def test_status_fails_only_when_a_person_is_needed(made: Gateway) -> None:
    made.alarms.raise_("link-down", "an1", reason="No carrier.")
    assert edge_agent("status", "--config", made.config).exit_code == 0
    made.alarms.raise_("storage", reason="the disk is full.")
    result = edge_agent("status", "--config", made.config)
    assert result.exit_code == 1
    assert result.stdout.startswith("A person is needed: ")
    assert json.loads(edge_agent("status", "--json", "--config", made.config).stdout)["ok"] is False


def test_the_queue_shows_what_waits_and_why(made: Gateway) -> None:
    text = edge_agent("queue", "--config", made.config).stdout
    assert made.bench.messages()[0].id in text
    assert "A result from an1 came without a specimen id. [no-specimen-id]" in text
    held = edge_agent("queue", "--state", "held", "--config", made.config).stdout
    assert made.bench.messages()[0].id not in held
    assert "no-specimen-id" in held


def test_an_id_nobody_knows_is_said_with_what_to_use_instead(made: Gateway) -> None:
    for command in ("show", "trace"):
        result = edge_agent(command, "S24-9999", "--config", made.config)
        assert result.exit_code == 1
        says_what_to_do(result, "unknown-id")
        assert "t12" in result.stderr


# When no agent runs, and wrong usage


@pytest.mark.parametrize("words", [("status",), ("queue",), ("show", "x"), ("trace", "t1")])
def test_without_an_agent_the_commands_say_so(config: Path, words: tuple[str, ...]) -> None:
    result = edge_agent(*words, "--config", config)
    assert result.exit_code == 1
    says_what_to_do(result, "not-running")
    assert "systemctl start edge-agent" in result.stderr  # root's `edge-agent run` would not be the service's


@pytest.mark.parametrize("words", [("status",), ("queue",), ("show", "x"), ("retry", "x")])
def test_a_file_left_half_edited_is_the_answer_only_where_no_agent_runs(
    made: Gateway, tmp_path: Path, words: tuple[str, ...]
) -> None:
    good = made.config.read_text(encoding="utf-8")
    for half in (good.replace("urls", "url"), f"{good}[[analyser"):
        made.config.write_text(half, encoding="utf-8")
        asked = edge_agent(*words, "--config", made.config)
        assert asked.exit_code in (0, 1), asked.stderr  # answered, and not 78
        elsewhere = tmp_path / "elsewhere" / "edge-agent.toml"
        elsewhere.parent.mkdir(exist_ok=True)
        elsewhere.write_text(half, encoding="utf-8")
        assert edge_agent(*words, "--config", elsewhere).exit_code == 78


@pytest.mark.parametrize(
    "words",
    [
        ("dance",),
        ("status", "--dance"),
        ("show",),
        ("queue", "--state", "dancing"),
        ("queue", "--limit", "0"),
        ("queue", "--limit", "many"),
        ("run", "--log-level", "loud"),
    ],
)
def test_wrong_usage_is_exit_status_2(words: tuple[str, ...]) -> None:
    result = edge_agent(*words)
    assert result.exit_code == 2
    assert "Usage: " in result.stderr


def test_help_and_version_are_there() -> None:
    assert edge_agent("--version").stdout == f"edge-agent {__version__}\n"
    for words in ((), *((name,) for name in main.commands)):
        assert edge_agent(*words, "-h").exit_code == 0


def test_every_command_and_option_has_a_help_text() -> None:
    inner = [c for group in main.commands.values() if isinstance(group, click.Group) for c in group.commands.values()]
    for command in (*main.commands.values(), *inner):
        name = command.name
        assert command.help, name
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, f"{name} {parameter.name}"


# check


def test_a_correct_configuration_is_said_to_be_correct(config: Path) -> None:
    result = edge_agent("check", "--config", config)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines()[-1] == f"{config} is correct."
    parsed = json.loads(edge_agent("check", "--json", "--config", config).stdout)
    assert parsed["ok"] is True
    assert parsed["config"] == str(config)
    assert parsed["facts"] == result.stdout.splitlines()[:-1]


BAD = """\
[agent]
site = "seoul-01"
gateway = "gw-01"

[mqtt]
urls = ["mqtts://127.0.0.1:8883"]
cert_file = "nowhere.pem"
key_file = "nowhere.key"

[[analyser]]
id = "xn1"
profile = "sysmex_xm"
transport = "tcp-sever://127.0.0.1:5600"
"""


def test_all_mistakes_are_printed_with_file_and_line_and_a_suggestion(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(BAD, encoding="utf-8")
    result = edge_agent("check", "--config", path)
    assert result.exit_code == 78
    says_what_to_do(result, "configuration")
    lines = result.stderr.splitlines()
    assert lines[0] == f"{path}:7: mqtt.cert_file: {tmp_path / 'nowhere.pem'} does not exist"
    assert lines[1] == f"{path}:8: mqtt.key_file: {tmp_path / 'nowhere.key'} does not exist"
    assert lines[2] == f'{path}:12: analyser.xn1.profile: no device is called "sysmex_xm"; did you mean "sysmex_xn"?'
    assert lines[3].startswith(f"{path}:13: analyser.xn1.transport: ")
    assert "did you mean tcp-server?" in lines[3]
    assert lines[4] == "The configuration has 4 mistakes. [configuration]"
    assert len(lines) == 6


def test_every_command_refuses_a_wrong_configuration_with_78(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(CONFIG.replace("site =", "sight ="), encoding="utf-8")
    for words in (("check",), ("run",), ("status",), ("queue",), ("show", "x"), ("trace", "t1")):
        result = edge_agent(*words, "--config", path)
        assert result.exit_code == 78, words
        says_what_to_do(result, "configuration")
        assert f"{path}:2: agent.sight: unknown key; did you mean 'site'?" in result.stderr


def test_a_missing_configuration_is_said_with_the_place_that_was_tried(tmp_path: Path) -> None:
    result = edge_agent("check", env={"EDGE_AGENT_CONFIG": str(tmp_path / "none.toml")})
    assert result.exit_code == 78
    assert f"{tmp_path / 'none.toml'}: cannot be read: the file does not exist" in result.stderr


def test_check_touches_neither_port_nor_store(tmp_path: Path) -> None:
    """The port is taken, the data directory cannot be made, and beside a running agent it changes nothing."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        taken.settimeout(0.0)
        path = tmp_path / "edge-agent.toml"
        (tmp_path / "file").write_text("no directory", encoding="utf-8")
        text = CONFIG.replace("127.0.0.1:5600", f"127.0.0.1:{taken.getsockname()[1]}")
        path.write_text(text.replace('"data"', '"file/data"'), encoding="utf-8")
        assert edge_agent("check", "--config", path).exit_code == 0
        with pytest.raises(BlockingIOError):
            taken.accept()  # nobody called
    assert sorted(p.name for p in tmp_path.iterdir()) == ["edge-agent.toml", "file"]


def test_the_agent_itself_says_that_its_data_directory_cannot_be_made(tmp_path: Path) -> None:
    """The negative control: run needs it."""
    path = tmp_path / "edge-agent.toml"
    (tmp_path / "file").write_text("no directory", encoding="utf-8")
    path.write_text(CONFIG.replace('"data"', '"file/data"'), encoding="utf-8")
    done = process("run", "--config", path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "The data directory cannot be used: Not a directory. [store-directory]" in done.stderr


# As a process


def process(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "edge_agent", *map(str, words)],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_exit_status_of_the_process_is_the_commands(made: Gateway, tmp_path: Path) -> None:
    assert process("status", "--config", made.config).returncode == 0
    assert process("trace", "t999", "--config", made.config).returncode == 1
    assert process("dance").returncode == 2
    assert process("check", "--config", tmp_path / "none.toml").returncode == 78


def test_errors_of_the_process_are_on_stderr_and_no_traceback(tmp_path: Path) -> None:
    path = tmp_path / "edge-agent.toml"
    path.write_text(CONFIG, encoding="utf-8")
    done = process("status", EDGE_AGENT_CONFIG=str(path))
    assert (done.returncode, done.stdout) == (1, "")
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 2


def test_a_second_agent_on_the_same_data_says_so(made: Gateway) -> None:
    done = process("run", "--config", made.config)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "[store-locked]" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_agent_runs_answers_and_stops_with_0_when_it_is_told_to(tmp_path: Path, number: signal.Signals) -> None:
    """No broker is there: results would wait, and the agent runs all the same."""
    path = tmp_path / "edge-agent.toml"
    text = CONFIG.replace(":5600", f":{free_port()}").replace(":1883", f":{free_port()}")
    path.write_text(text, encoding="utf-8")
    with (tmp_path / "log").open("wb") as log:
        agent = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "edge_agent", "run", "--config", str(path)],
            cwd=ROOT,
            stdout=log,
            stderr=log,
        )
    try:
        until(
            lambda: (
                (tmp_path / "data" / "control.sock").exists() and "an1" in edge_agent("status", "--config", path).output
            )
        )
        assert edge_agent("queue", "--config", path).exit_code == 0
        agent.send_signal(number)
        assert agent.wait(20) == 0
    finally:
        agent.kill()
        agent.wait(20)
    assert not (tmp_path / "data" / "control.sock").exists()
    said = (tmp_path / "log").read_text(encoding="utf-8")
    assert "Traceback" not in said
    assert said.splitlines()[-1].endswith("Stopped.")
