"""Options several commands share. ``--config`` may stand before or after the command's name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from edge_agent.configuration.file import data_dir_of, find, load, resolve
from edge_agent.control import ask
from edge_agent.errors import NotRunningError
from edge_agent.settings import Settings

config_option = click.option(
    "--config", "config_", type=click.Path(path_type=Path, dir_okay=False), help="The configuration file."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


def config_path(config: Path | None) -> Path:
    """The file named here, before the command, by the environment, or the default."""
    outer = click.get_current_context().find_root().obj
    return find(config or outer)


def settings(config: Path | None) -> tuple[Path, Settings]:
    path = config_path(config)
    return path, load(path)


def data_dir(config: Path | None) -> Path:
    path, loaded = settings(config)
    return resolve(path, loaded.agent.data_dir)


def answered(config: Path | None, name: str, **arguments: object) -> Any:
    """What the running agent says; a file that somebody left half edited beside it is no reason not to ask.

    Raises AgentError; without an agent the mistakes of the file are the better answer.
    """
    path = config_path(config)
    try:
        return ask(data_dir_of(path), name, **arguments)
    except NotRunningError:
        load(path)
        raise


def reading(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of every command that reads: --config and --json."""
    return config_option(json_option(command))
