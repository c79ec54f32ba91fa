"""`decommission`: take a gateway out of service for good."""

import contextlib
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from edge_agent.backup.taking import Taking
from edge_agent.cli.backup import clear, progress
from edge_agent.cli.options import config_option, settings
from edge_agent.clock import SystemClock
from edge_agent.configuration.file import resolve
from edge_agent.control import ask
from edge_agent.errors import AgentError, NotRunningError
from edge_agent.owner import as_owner
from edge_agent.store.decommission import erase, former_stores, is_decommissioned
from edge_agent.store.directory import DirectoryLock
from edge_agent.store.errors import StoreLockedError

_PATIENCE_S = 60.0
_END = "Done: this gateway is out of service.\nHave its certificate revoked, and `edge-agent service remove`."


@click.command()
@click.option("--backup", "dest", default=".", type=click.Path(path_type=Path), help="Where the last backup goes.")
@click.option("--no-backup", is_flag=True, help="Make no last backup.")
@click.option("--abandon", is_flag=True, help="Although something is not filed, or the broker is away. Needs --note.")
@click.option("--note", default="", help="Why, for the audit trail. Name no patient.")
@click.option("--erase", "erasing", is_flag=True, help="Afterwards delete the database.")
@click.option("--yes", "name", metavar="GATEWAY", default="", help="Do not ask; repeats the gateway's name.")
@config_option
def decommission(
    config_: Path | None, dest: Path, no_backup: bool, abandon: bool, note: str, erasing: bool, name: str
) -> None:
    """Take this gateway out of service: the broker forgets it, and the agent does not start here again."""
    if abandon and not note.strip():
        raise click.UsageError("--abandon needs --note.")
    path, loaded = settings(config_)
    data_dir = resolve(path, loaded.agent.data_dir)
    try:
        plan = ask(data_dir, "decommission-plan")
    except NotRunningError:
        if not is_decommissioned(data_dir):
            raise
        _again(data_dir, loaded.agent.gateway, name, erasing=erasing)
        return
    taking = None if no_backup else Taking(path, loaded, dest, SystemClock(), progress)
    click.echo(_plan(plan, dest, no_backup=no_backup, erasing=erasing))
    _agreed(plan["gateway"], name)
    stop = ask(data_dir, "decommission-stop", abandon=abandon, note=note, copy=taking is not None)
    try:
        if taking is not None:
            file = taking.take().file
            clear()
            click.echo(f"Last backup: {file}")
        done = ask(data_dir, "decommission", abandon=abandon, note=note, **stop)
    except BaseException:  # also Ctrl-C: analysers are to be served again
        with contextlib.suppress(AgentError):  # an agent that is gone serves nobody, and why is said already
            ask(data_dir, "decommission-stop", undo=True, **stop)
        raise
    _ended(data_dir, erasing=erasing)
    click.echo(_end(done))


def _again(data_dir: Path, gateway: str, name: str, *, erasing: bool) -> None:
    """A command that was interrupted behind the mark left nothing to do but to delete, if that is wanted."""
    if erasing:
        click.echo(f"Gateway {gateway}, {data_dir} is out of service. What will be done:\n- THE DATABASE IS DELETED")
        _agreed(gateway, name)
    _ended(data_dir, erasing=erasing)
    click.echo(_END)


def _plan(plan: Mapping[str, Any], dest: Path, *, no_backup: bool, erasing: bool) -> str:
    steps = [
        f"Gateway {plan['gateway']}, {plan['data_dir']}. What will be done:",
        "- analysers are told to wait and get no acknowledgement any more",
        "- no last backup is made" if no_backup else f"- a last backup is written to {dest}",
        f"- {len(plan['topics'])} retained topics are cleared at the broker, and the session there ends",
        "- the agent stops and refuses to start on this directory again",
        "- THE DATABASE IS DELETED" if erasing else "- the database stays where it is",
    ]
    waiting = ", ".join(f"{count} {what}" for what, count in plan["waiting"].items() if count)
    return "\n".join([*steps, f"Not filed or not decided on: {waiting or 'nothing'}."])


def _agreed(gateway: str, name: str) -> None:
    if not name:
        if not sys.stdin.isatty():
            raise click.UsageError("Nobody can be asked here: say --yes GATEWAY.")
        name = click.prompt("Type the gateway's name to go on", default="", show_default=False)
    if name != gateway:
        raise AgentError(
            f"This is the gateway {gateway}, and another name was given.",
            code="decommission-name",
            action="Nothing was done. Name the right configuration with --config.",
        )


def _ended(data_dir: Path, *, erasing: bool) -> None:
    """Wait for the agent's end, and then delete if that was wanted."""
    end = time.monotonic() + _PATIENCE_S
    with as_owner(data_dir):
        while True:
            try:
                lock = DirectoryLock(data_dir)
                break
            except StoreLockedError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)
        try:
            for path in erase(data_dir) if erasing else ():
                click.echo(f"Deleted {path}")
        finally:
            lock.release()
    for path in former_stores(data_dir) if erasing else ():
        click.echo(f"Not deleted: {path}, a former store with patient data.")


def _end(done: Mapping[str, Any]) -> str:
    lines = [_END]
    if not done["cleared"]:
        topics = "\n".join(f"  {topic}" for topic in done["topics"])
        lines.append(
            f"The broker could not be reached. Clear there what is retained (empty, retained messages):\n{topics}"
        )
    return "\n".join(lines)
