"""What the page "first result" has a reader type can be typed; `make deb-walk` types it."""

import re
import sys
from pathlib import Path

import pytest

from edge_agent.cli.main import main as edge_agent
from edge_agent.configuration.file import load
from simulators.cli import main as analyser_sim

sys.path.insert(0, str(Path(__file__).parent))  # walk lies beside its tests

from walk import PAGE, blocks, commands  # after the path above

TYPED = [command for block in blocks(PAGE.read_text(encoding="utf-8")) for command in commands(block)]
PROGRAMS = {"edge-agent": edge_agent, "analyser-sim": analyser_sim}


def test_a_here_document_is_one_command() -> None:
    assert commands("cat > a <<'END'\n[agent]\n\nx = 1\nEND\nedge-agent check\n") == [
        "cat > a <<'END'\n[agent]\n\nx = 1\nEND",
        "edge-agent check",
    ]


def test_only_what_is_typed_is_taken_off_a_page() -> None:
    assert blocks("Type:\n\n```sh\na\nb\n```\n\nand write\n\n```ini\nc\n```\n") == ["a\nb\n"]


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_command_of_the_page_is_one(program: str) -> None:
    named = set(re.findall(rf"(?m)^(?:systemd-run \S+ )?{program} ([a-z-]+)", "\n".join(TYPED)))
    assert named
    assert named <= set(PROGRAMS[program].commands)


def test_the_configuration_of_the_page_is_correct(tmp_path: Path) -> None:
    [written] = [command for command in TYPED if command.startswith("cat > /etc/edge-agent/edge-agent.toml")]
    config = tmp_path / "edge-agent.toml"
    config.write_text("\n".join([*written.splitlines()[1:-1], ""]), encoding="utf-8")
    assert [analyser.profile for analyser in load(config).analyser] == ["sysmex_xn"]
