"""`backup`: one file with everything but the keys, made while the agent runs."""

import json
import sys
from pathlib import Path

import click

from edge_agent.backup.archive import LEFT_OUT
from edge_agent.backup.taking import Taken, Taking
from edge_agent.cli.options import reading, settings
from edge_agent.clock import SystemClock
from edge_agent.store.disk import MB


@click.command()
@click.argument("dest", metavar="[DEST]", default=".", type=click.Path(path_type=Path))
@click.option("--keep", type=click.IntRange(1), help="Afterwards keep only so many of this gateway in that folder.")
@reading
def backup(config_: Path | None, as_json: bool, dest: Path, keep: int | None) -> None:
    """Write store, profiles and configuration into one checked file: DEST, or a new one in the folder DEST."""
    path, loaded = settings(config_)
    taken = Taking(path, loaded, dest, SystemClock(), progress).take(keep)
    clear()
    click.echo(json.dumps(_facts(taken), ensure_ascii=False, indent=2) if as_json else _text(taken))


def progress(step: str, done: int, of: int) -> None:
    """One line that is written over, for a person who waits."""
    if sys.stderr.isatty():
        share = f" {100 * done // of} %" if of else ""
        click.echo(f"\r\x1b[K{step.capitalize()}{share} ...", err=True, nl=False)


def clear() -> None:
    if sys.stderr.isatty():
        click.echo("\r\x1b[K", err=True, nl=False)


def _facts(taken: Taken) -> dict[str, object]:
    return {
        "file": str(taken.file),
        "removed": [str(file) for file in taken.removed],
        "remark": taken.remark,
        "manifest": taken.manifest.model_dump(mode="json"),
    }


def _text(taken: Taken) -> str:
    manifest = taken.manifest
    messages = sum(manifest.counts.messages.values())
    size = f"{-(-taken.file.stat().st_size // MB)} MB"
    lines = [
        f"Done: {taken.file} ({size}), checked. Store {manifest.identity}, {messages} messages, "
        f"audit chain {manifest.audit_entry} entries.",
        f"Not in it: {', '.join(LEFT_OUT)}. It contains patient data.",
        *(f"Removed the older {file}." for file in taken.removed),
    ]
    return "\n".join([*lines, taken.remark] if taken.remark else lines)
