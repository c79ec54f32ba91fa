"""Commands about the profile an analyser's results are read by: `profile show`, `profile adopt`."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from edge_agent.cli import show_profile
from edge_agent.cli.completion import analysers
from edge_agent.cli.options import config_option, data_dir, json_option, reading
from edge_agent.control import ask


@click.group()
def profile() -> None:
    """The profile an analyser's results are read by."""


@profile.command()
@click.argument("analyser", metavar="ANALYSER", shell_complete=analysers)
@reading
def show(config_: Path | None, as_json: bool, analyser: str) -> None:
    """Show the profile in use, the one that is installed, and those that were used before."""
    answer = ask(data_dir(config_), "profile", analyser=analyser)
    click.echo(json.dumps(answer, ensure_ascii=False, indent=2) if as_json else show_profile.text(answer))


@profile.command()
@click.argument("analyser", metavar="ANALYSER", shell_complete=analysers)
@click.option("--back", is_flag=True, help="The profile that was used last before, instead of the installed one.")
@click.option(
    "--last",
    type=click.IntRange(1, 200),
    default=50,
    show_default=True,
    help="Compare so many of the analyser's transmissions.",
)
@click.option("--yes", is_flag=True, help="Adopt it. Without this nothing is changed.")
@click.option("--hash", "hash_", default="", help="With --yes: the hash of the profile you looked at, as it is shown.")
@click.option("--note", default="", help="With --yes, and required: why, for the audit trail. Name no patient.")
@config_option
@json_option
def adopt(
    config_: Path | None, as_json: bool, analyser: str, back: bool, last: int, yes: bool, hash_: str, note: str
) -> None:
    """Show what another profile would change; with --yes let the analyser's results be read by it."""
    if yes and not note.strip():
        raise click.UsageError("--note says why, and is required with --yes.")
    if yes and not hash_ and not _somebody_there():
        raise click.UsageError("--hash names the profile that was looked at, and is required with --yes.")
    if not yes and (hash_ or note):
        raise click.UsageError("--hash and --note go with --yes.")
    where = data_dir(config_)
    if not hash_:
        answer = ask(where, "profile-compare", analyser=analyser, last=last, back=back)
        _show(answer, as_json)
        if not yes:
            return
        hash_ = _confirmed(answer)
    done = ask(where, "profile-adopt", analyser=analyser, hash=hash_, note=note, back=back)
    click.echo(json.dumps(done, ensure_ascii=False, indent=2) if as_json else show_profile.adopted_text(done))
    if not done["reloaded"]["in_use"]:
        raise SystemExit(1)


def _somebody_there() -> bool:
    return sys.stdin.isatty()


def _show(answer: Mapping[str, Any], as_json: bool) -> None:
    click.echo(json.dumps(answer, ensure_ascii=False, indent=2) if as_json else show_profile.comparison_text(answer))


def _confirmed(answer: Mapping[str, Any]) -> str:
    hash_ = str(answer["new"]["hash"])
    click.confirm(f"\nRead {answer['analyser']} by {hash_[:12]} from now on?", abort=True, err=True)
    return hash_
