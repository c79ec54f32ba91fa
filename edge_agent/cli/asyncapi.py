"""`asyncapi`: the contract with the management system, for its authors' tools."""

import json
import os
from pathlib import Path

import click

from edge_agent.cli.options import config_path, reading
from edge_agent.configuration.file import load


@click.command()
@reading
def asyncapi(config_: Path | None, as_json: bool) -> None:
    """Print the contract with the management system (AsyncAPI 3.0): this site's where there is a configuration."""
    from edge_agent.contract.as_yaml import to_yaml
    from edge_agent.contract.document import GENERAL, Place, document  # the other commands do without

    path = config_path(config_)
    named = config_ or click.get_current_context().find_root().obj or os.environ.get("EDGE_AGENT_CONFIG")
    made = document(Place.of(load(path)) if named or path.exists() else GENERAL)
    click.echo(json.dumps(made, ensure_ascii=False, indent=2) if as_json else to_yaml(made), nl=as_json)
