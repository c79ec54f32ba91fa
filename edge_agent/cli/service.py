"""Commands about the service of this system: service install, remove, show, unfiled."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from edge_agent.cli.options import data_dir, json_option, reading
from edge_agent.service.install import BOOTED, Installer
from edge_agent.service.unit import Places, unit_text
from edge_agent.store.unfiled import count_unfiled

_root = click.option(
    "--root",
    type=click.Path(path_type=Path, file_okay=False),
    help="Another system's files, for packages and images: only writes under DIR, runs no command.",
    metavar="DIR",
)
_python = click.option(
    "--python",
    type=click.Path(path_type=Path, dir_okay=False),
    default=sys.executable,
    help="The interpreter that has the agent; default the one that runs this.",
    metavar="FILE",
)


@click.group()
def service() -> None:
    """Make the agent a service of this system (systemd), or take that back."""


@service.command()
@_root
@_python
def install(root: Path | None, python: Path) -> None:
    """Write unit, module list and a first configuration, make the user, enable the service. Does not start it."""
    for step in _installer(root, python).install():
        click.echo(step)


@service.command()
@_root
def remove(root: Path | None) -> None:
    """Stop the service and remove its unit. Never touches the data directory or the configuration."""
    for step in _installer(root, Path(sys.executable)).remove():
        click.echo(step)


@service.command()
@_root
@_python
@json_option
def show(root: Path | None, python: Path, as_json: bool) -> None:
    """Print the unit as `install` would write it; with --json where everything goes."""
    if as_json:
        click.echo(json.dumps(_facts(_places(root), python.absolute()), ensure_ascii=False, indent=2))
    else:
        click.echo(unit_text(python.absolute()), nl=False)


@service.command()
@click.option(
    "--data-dir",
    "named",
    type=click.Path(path_type=Path, file_okay=False),
    help="Another directory than the configuration's.",
    metavar="DIR",
)
@reading
def unfiled(config_: Path | None, as_json: bool, named: Path | None) -> None:
    """Say what a stopped agent's data directory holds that nobody has confirmed. Exit 1 when there is something."""
    folder = named or data_dir(config_)
    left = count_unfiled(folder)
    if as_json:
        click.echo(json.dumps({"data": str(folder), **asdict(left)}, ensure_ascii=False, indent=2))
    else:
        click.echo(f"{left.words()[:1].upper()}{left.words()[1:]} in {folder}.")
    if left:
        raise SystemExit(1)


def _installer(root: Path | None, python: Path) -> Installer:
    return Installer(_places(root), python.absolute(), alien=root is not None)


def _places(root: Path | None) -> Places:
    return Places(Path("/") if root is None else root.absolute())


def _facts(places: Places, python: Path) -> dict[str, str | bool]:
    unit = places.unit if places.unit.exists() or not places.packaged.exists() else places.packaged
    installed = unit.exists()
    return {
        "unit": str(unit),
        "installed": installed,
        "up_to_date": installed and unit.read_text(encoding="utf-8") == unit_text(python),
        "modules": str(places.modules),
        "config": str(places.config),
        "data": str(places.data),
        "python": str(python),
        "systemd_runs": BOOTED.is_dir(),
    }
