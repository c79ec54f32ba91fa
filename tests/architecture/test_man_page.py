"""docs/edge-agent.1 can be read with `man -l`, and has every command. That it is in step: test_house_rules.py."""

import subprocess

from architecture.generated_docs import DOCS
from architecture.man_page import _text, man_page

from edge_agent.cli.main import main

PAGE = DOCS / "edge-agent.1"


def test_every_command_is_in_the_page() -> None:
    for name in main.commands:
        assert f'.SS "{_text(name)}' in man_page()


def test_what_roff_would_take_for_its_own_is_made_plain() -> None:
    assert _text(".TH and\n  --json \\d") == r"\&.TH and \-\-json \ed"
    assert _text("'quoted' \"x\"") == r"\&'quoted' \(dqx\(dq"


def test_groff_has_nothing_to_say_against_it() -> None:
    words = ["groff", "-man", "-Tutf8", "-P-cbu", "-ww", str(PAGE)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "EXIT STATUS" in done.stdout
    assert "Say what comes from an analyser" in " ".join(done.stdout.split())
