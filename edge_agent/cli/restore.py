"""`restore`: put a backup back where no agent runs."""

import json
from pathlib import Path
from typing import Any

import click

from edge_agent.backup.restoring import Restored, Restoring
from edge_agent.cli.options import reading, settings
from edge_agent.clock import SystemClock
from edge_agent.times import shown


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--check", is_flag=True, help="Only read it and say what it is.")
@click.option("--replace", is_flag=True, help="Where there is a store already: move that aside, whole.")
@reading
def restore(config_: Path | None, as_json: bool, file: Path, check: bool, replace: bool) -> None:
    """Put a backup back as the store. Only while no agent runs; the present store is never deleted."""
    path, loaded = settings(config_)
    restoring = Restoring(path, loaded, SystemClock())
    if check:
        manifest = restoring.check(file)
        facts = manifest.model_dump(mode="json")
        text = f"{file} is whole: store {manifest.identity}, made {shown(manifest.made)} by version {manifest.agent}."
    else:
        restored = restoring.restore(file, replace=replace)
        facts, text = _facts(restored), _text(restored)
    click.echo(json.dumps(facts, ensure_ascii=False, indent=2) if as_json else text)


def _facts(restored: Restored) -> dict[str, Any]:
    return {
        "data_dir": str(restored.data_dir),
        "aside": None if restored.aside is None else str(restored.aside),
        "former": restored.former.sentence if restored.former else "",
        "manifest": restored.manifest.model_dump(mode="json"),
    }


def _text(restored: Restored) -> str:
    manifest = restored.manifest
    lines = [
        f"Done: {restored.data_dir} is the store {manifest.identity} as of {shown(manifest.newest or manifest.made)}.",
        "At its next start it takes a new identity for what comes; have the analysers send again what came since then.",
    ]
    if restored.aside is not None:
        lines.insert(1, f"What was there before lies in {restored.aside}; nothing of it is sent any more.")
    if restored.former is not None:
        lines.insert(1, restored.former.sentence.replace("The present store", "The former store"))
    return "\n".join(lines)
