"""Every command that a page, a comment of the configuration or the agent itself names can be typed as it stands."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from architecture.quoted_commands import objection, quoted
from architecture.test_docs_in_step import PAGES

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_of_a_page_can_be_typed(page: Path) -> None:
    commands = list(quoted(page.read_text(encoding="utf-8")))
    assert {c: wrong for c in commands if (wrong := objection(c))} == {}


def _said() -> Iterator[str]:
    """Texts of the program: what it advises a person to do."""
    for path in sorted((ROOT / "edge_agent").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield from quoted(node.value)


def test_every_command_the_agent_advises_can_be_typed() -> None:
    commands = set(_said())
    assert len(commands) > 20
    assert {c: wrong for c in commands if (wrong := objection(c))} == {}


def test_commands_are_found_in_blocks_and_in_sentences() -> None:
    text = (
        "`journalctl -u edge-agent -o cat`, `30 2 * * * /usr/bin/edge-agent backup DIR`. "
        "Ask `edge-agent queue --state\nheld` first.\n\n```sh\nsudo edge-agent reload   # now\nanalyser-sim send \\\n"
        "  --count 3\n```\n\n```text\nedge-agent no-command of an answer\n```\n`edge-agent`, "
        "`apt-get remove ivd-edge-agent`"
    )
    assert sorted(" ".join(command.split()) for command in quoted(text)) == [
        "analyser-sim send --count 3",
        "edge-agent backup DIR",
        "edge-agent queue --state held",
        "edge-agent reload # now",
    ]


@pytest.mark.parametrize(
    ("command", "wrong"),
    [
        ("edge-agent status", ""),
        ("edge-agent --config my.toml status --json", ""),
        ("edge-agent retry ID ID --note WHY", ""),
        ("edge-agent profile adopt xn1 --yes --hash 5a1f --note 'a b'", ""),
        ("edge-agent service install --root=DIR  # as root", ""),
        ("edge-agent completion bash > file", ""),
        ("edge-agent COMMAND --help", ""),
        ("edge-agent --version", ""),
        ("edge-agent states", "edge-agent states: no such command"),
        ("edge-agent profile adapt xn1", "edge-agent profile adapt: no such command"),
        ("edge-agent queue --analyzer xn1", "edge-agent queue: no such option --analyzer"),
        ("edge-agent queue --state", "edge-agent queue --state: needs a value"),
        ("edge-agent status xn1", "edge-agent status: takes no argument"),
        ("edge-agent trace a b", "edge-agent trace: takes 1, is given 2"),
        ("analyser-sim send --device x --to y --many", "analyser-sim send: no such option --many"),
    ],
)
def test_a_command_that_nobody_could_type_is_seen(command: str, wrong: str) -> None:
    assert objection(command) == wrong
