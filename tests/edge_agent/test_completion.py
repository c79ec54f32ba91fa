"""Shell completion: the scripts, and what the program answers to them."""

import shutil
import subprocess
from pathlib import Path

import pytest
from click.shell_completion import BashComplete
from click.testing import CliRunner

from edge_agent.cli.completion import SHELLS, VARIABLE, script
from edge_agent.cli.main import main

CONFIG = """\
[agent]
site = "s1"
gateway = "g1"
[mqtt]
urls = ["mqtt://localhost"]
[[analyser]]
id = "xn1"
profile = "sysmex_xn"
transport = "tcp-server://127.0.0.1:1"
[[analyser]]
id = "gx1"
profile = "cepheid_genexpert"
transport = "no-such-kind"
"""


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_gets_a_script_that_asks_the_program(shell: str) -> None:
    result = CliRunner().invoke(main, ["completion", shell])
    assert result.exit_code == 0
    assert f"{VARIABLE}={shell}_complete" in result.stdout
    assert "edge-agent" in result.stdout


@pytest.mark.parametrize("shell", [shell for shell in SHELLS if shutil.which(shell)])
def test_the_shell_can_read_its_script(shell: str) -> None:
    checked = subprocess.run([shell, "-n"], input=script(main, shell), capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_another_shell_is_wrong_usage() -> None:
    assert CliRunner().invoke(main, ["completion", "csh"]).exit_code == 2


def offered(*words: str, incomplete: str = "") -> list[str]:
    return [item.value for item in BashComplete(main, {}, "edge-agent", VARIABLE).get_completions([*words], incomplete)]


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "edge-agent.toml"
    path.write_text(CONFIG, encoding="utf-8")
    return str(path)


def test_commands_and_codes_are_offered() -> None:
    assert "completion" in offered(incomplete="comp")
    assert offered("retry", "--code", incomplete="no-sp") == ["no-specimen-id"]


def test_analysers_of_the_configuration_are_offered_wherever_it_is_named(
    config: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert offered("--config", config, "test") == ["xn1", "gx1"]
    assert offered("test", "--config", config, incomplete="g") == ["gx1"]
    monkeypatch.setenv("EDGE_AGENT_CONFIG", config)
    assert offered("queue", "--analyser", incomplete="x") == ["xn1"]
    for words in (("retry", "--analyser"), ("production",), ("profile", "adopt"), ("profile", "show")):
        assert offered(*words, incomplete="x") == ["xn1"]


def test_a_configuration_that_cannot_be_read_offers_nothing(tmp_path: Path) -> None:
    assert offered("--config", str(tmp_path / "none.toml"), "test") == []
