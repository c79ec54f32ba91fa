"""Commands that use the configuration themselves: run, check."""

import asyncio
import contextlib
import json
import logging
import os
import resource
import sys
from pathlib import Path
from typing import get_args

import click

from edge_agent.agent import Agent
from edge_agent.cli.options import config_option, config_path, reading
from edge_agent.configuration.preflight import examine, loaded
from edge_agent.generation import Configuration
from edge_agent.logs import Format, set_up


@click.command()
@config_option
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning"]),
    default="info",
    show_default=True,
    help="How much to write to stderr.",
)
@click.option(
    "--log-format",
    type=click.Choice(get_args(Format)),
    default="text",
    show_default=True,
    help="Lines for people, or one JSON object a line.",
)
def run(config_: Path | None, log_level: str, log_format: Format) -> None:
    """Run the agent until it is told to stop (SIGTERM or Ctrl-C)."""
    path = config_path(config_)
    configuration = Configuration.read(path)
    set_up(getattr(logging, log_level.upper()), log_format)
    with contextlib.suppress(OSError, ValueError):  # a confined service may not set it, and has LimitCORE=0
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold results
    os.umask(0o077)  # whatever is written is this user's alone
    agent = Agent.build(configuration)
    sys.exit(asyncio.run(agent.run()))


@click.command()
@reading
def check(config_: Path | None, as_json: bool) -> None:
    """Check the configuration, profiles and certificates. Touches no port and not the store."""
    path = config_path(config_)
    lines = examine(path, loaded(path))
    if as_json:
        click.echo(json.dumps({"ok": True, "config": str(path), "facts": lines}, ensure_ascii=False, indent=2))
    else:
        click.echo("\n".join([*lines, f"{path} is correct."]))
