"""The log: one line per event, whatever a peer's text contains."""

import json
import logging
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import pytest
from support_free_port import free_port

from edge_agent import logs

# 2024-06-12 03:00:00.250 UTC, reckoned with date(1).
MOMENT = 1_718_161_200.25
HOSTILE = "".join(map(chr, [*range(0x20), 0x7F, 0x85, 0x2028, 0x202E, 0xE0001, 0xDC80])) + '"\\ 혈액'


@pytest.fixture
def written(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """What the log writes of one record."""
    level = logging.root.level

    def write(form: logs.Format, message: str, **more: Any) -> str:
        monkeypatch.setattr(logging.root, "handlers", [])
        logs.set_up(logging.INFO, form)
        record = logging.LogRecord("edge_agent.link", logging.WARNING, "", 0, message, (), more.get("exc_info"))
        record.created = MOMENT
        logging.root.handle(record)
        return capsys.readouterr().err

    yield write
    logging.root.setLevel(level)


def test_a_json_line_says_when_how_bad_who_and_what(written: Any) -> None:
    line = written("json", "Turned 10.0.0.9 away.")
    assert json.loads(line) == {
        "ts": "2024-06-12T03:00:00.250+00:00",
        "level": "WARNING",
        "logger": "edge_agent.link",
        "message": "Turned 10.0.0.9 away.",
    }
    assert datetime.fromisoformat(json.loads(line)["ts"]) == datetime(2024, 6, 12, 3, 0, 0, 250_000, UTC)


def test_hostile_text_stays_one_line_of_json_and_can_be_read_back(written: Any) -> None:
    line = written("json", HOSTILE)
    assert line.endswith("}\n")
    assert line[:-1].isprintable()
    assert "혈액" in line
    assert json.loads(line)["message"] == HOSTILE


def test_json_alone_would_have_let_some_of_it_stand() -> None:
    assert not json.dumps(HOSTILE, ensure_ascii=False).isprintable()


@pytest.mark.parametrize("form", ["text", "json"])
def test_an_error_with_its_trace_is_one_line(written: Any, form: logs.Format) -> None:
    try:
        raise RuntimeError("two\nlines")
    except RuntimeError:
        line = written(form, "The part 'links' ended by itself.", exc_info=sys.exc_info())
    assert line.count("\n") == 1
    assert "RuntimeError" in line


def test_the_agent_writes_its_log_as_json_when_told_to(tmp_path: Any) -> None:
    config = tmp_path / "edge-agent.toml"
    config.write_text(
        f'[agent]\nsite = "s"\ngateway = "g"\ndata_dir = "data"\n[mqtt]\nurls = ["mqtt://127.0.0.1:{free_port()}"]\n'
        f'[[analyser]]\nid = "an1"\nprofile = "lis02_generic"\ntransport = "tcp-server://127.0.0.1:{free_port()}"\n',
        encoding="utf-8",
    )
    words = [sys.executable, "-m", "edge_agent", "run", "--config", str(config), "--log-format", "json"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as agent:
        assert agent.stderr is not None
        lines = [agent.stderr.readline()]
        while "Running: site s, gateway g." not in lines[-1]:
            assert lines[-1], lines
            lines.append(agent.stderr.readline())
        agent.terminate()
        lines += agent.stderr.readlines()
    assert agent.returncode == 0
    assert all(set(json.loads(line)) == {"ts", "level", "logger", "message"} for line in lines)
