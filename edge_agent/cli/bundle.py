"""`support-bundle`: what the makers of the agent may be sent, without anything of a patient."""

import json
import sys
from pathlib import Path

import click

from edge_agent.cli.options import reading, settings
from edge_agent.clock import SystemClock
from edge_agent.support.bundle import CONTENTS, Bundle, Bundling

_NEVER = "Never in it: results, frames, messages, names, specimen ids, notes, passwords, keys."


@click.command("support-bundle")
@click.argument("dest", metavar="[DEST]", default=".", type=click.Path(path_type=Path))
@click.option("--list", "only_list", is_flag=True, help="Only say what would be in it.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--log", type=click.Path(path_type=Path, dir_okay=False), help="The agent's log; default the journal.")
@reading
def support_bundle(
    config_: Path | None, as_json: bool, dest: Path, only_list: bool, yes: bool, log: Path | None
) -> None:
    """Collect facts for support into one .tar.gz: DEST, or a new file in the folder DEST. Says first what is in it."""
    if not as_json:
        click.echo("\n".join([*(f"{name:20} {what}" for name, what in CONTENTS.items()), _NEVER]))
    if only_list:
        if as_json:
            click.echo(json.dumps(dict(CONTENTS), indent=2))
        return
    _agreed(yes)
    path, loaded = settings(config_)
    made = Bundling(path, loaded, SystemClock(), log).write(dest)
    click.echo(json.dumps(_facts(made), ensure_ascii=False, indent=2) if as_json else _text(made))


def _agreed(yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("Nobody can be asked here: say --yes, or --list to see what would be in it.")
    click.confirm("Write it?", abort=True)


def _facts(made: Bundle) -> dict[str, object]:
    return {"file": str(made.file), "bytes": made.size, "remark": made.remark}


def _text(made: Bundle) -> str:
    text = f"Done: {made.file} ({-(-made.size // 1024)} KB). Look into it before you send it: tar -xzf."
    return f"{text}\n{made.remark}" if made.remark else text
