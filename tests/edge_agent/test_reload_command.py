"""`edge-agent reload` as a person types it; the agent's answer is a stand-in."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from edge_agent.cli import reload
from edge_agent.cli.main import main

GOOD = """\
[agent]
site = "seoul-01"
gateway = "gw-01"
data_dir = "data"

[mqtt]
urls = ["mqtt://127.0.0.1:1883"]
"""
ANSWER = {
    "sentence": "The configuration is loaded: analysers 1 stopped, 2 kept; connection to the broker kept.",
    "started": [],
    "stopped": ["an3"],
    "restarted": [],
    "kept": ["an1", "an2"],
    "reread": ["an2"],
    "broker": "kept",
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "edge-agent.toml"
    path.write_text(GOOD, encoding="utf-8")
    return path


def edge_agent(path: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["reload", "--config", str(path), *words], catch_exceptions=False)


def test_what_was_done_is_said_by_name(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(reload, "ask", lambda *question: asked.append(question) or ANSWER)
    done = edge_agent(path)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        ANSWER["sentence"],
        "  stopped: an3",
        "  kept as they are: an1, an2",
        "  of these read by other settings from now on: an2",
    ]
    assert asked == [(path.parent / "data", "reload")]
    assert json.loads(edge_agent(path, "--json").stdout) == ANSWER


def test_without_an_agent_the_mistakes_of_the_file_are_the_answer_else_that_there_is_none(path: Path) -> None:
    done = edge_agent(path)
    assert done.exit_code == 1
    assert "[not-running]" in done.stderr
    path.write_text(GOOD.replace("urls", "url"), encoding="utf-8")
    done = edge_agent(path)
    assert done.exit_code == 78
    assert f"{path}:7: mqtt.url: unknown key; did you mean 'urls'?" in done.stderr
