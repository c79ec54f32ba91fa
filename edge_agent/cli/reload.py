"""The command that has the running agent read its configuration anew."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from edge_agent.cli.options import config_path, reading
from edge_agent.configuration.file import data_dir_of
from edge_agent.control import ask
from edge_agent.errors import NotRunningError
from edge_agent.generation import Configuration

_LINES = {
    "started": "started",
    "stopped": "stopped",
    "restarted": "restarted",
    "kept": "kept as they are",
    "reread": "of these read by other settings from now on",
}


@click.command()
@reading
def reload(config_: Path | None, as_json: bool) -> None:
    """Have the running agent load its configuration anew. What did not change is not interrupted."""
    path = config_path(config_)
    try:
        answer = ask(data_dir_of(path), "reload")
    except NotRunningError:
        Configuration.read(path)  # its mistakes are the better answer
        raise
    click.echo(json.dumps(answer, ensure_ascii=False, indent=2) if as_json else _text(answer))


def _text(answer: Mapping[str, Any]) -> str:
    named = [f"  {words}: {', '.join(answer[key])}" for key, words in _LINES.items() if answer[key]]
    return "\n".join([answer["sentence"], *named])
