"""`audit`: whether everything is as the agent left it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from edge_agent.auditing import parsed, verify_stopped
from edge_agent.cli.backup import clear, progress
from edge_agent.cli.options import config_path, reading
from edge_agent.configuration.file import data_dir_of, load
from edge_agent.control import follow
from edge_agent.errors import NotRunningError


@click.command()
@click.option(
    "--anchor",
    metavar="ENTRY:HASH",
    help="The chain's head as it was noted earlier elsewhere: finds a chain cut or written anew.",
)
@click.option(
    "--data-dir",
    "named",
    type=click.Path(path_type=Path, file_okay=False),
    help="Another directory than the configuration's, with no agent running on it.",
    metavar="DIR",
)
@reading
def audit(config_: Path | None, as_json: bool, anchor: str | None, named: Path | None) -> None:
    """Verify the audit chain and every row it tells of. Exit 1 when something is not as the agent left it."""
    verdict = _verdict(config_, anchor, named)
    clear()
    click.echo(json.dumps(verdict, ensure_ascii=False, indent=2) if as_json else _text(verdict))
    if not verdict["intact"]:
        raise SystemExit(1)


def _verdict(config: Path | None, anchor: str | None, named: Path | None) -> Mapping[str, Any]:
    known = parsed(anchor) if anchor else None
    if named is not None:
        return verify_stopped(named, known, progress)
    path = config_path(config)
    data_dir = data_dir_of(path)
    try:
        for part in follow(data_dir, "audit", **({"anchor": anchor} if anchor else {})):
            if isinstance(part, Mapping) and "verdict" in part:
                return part["verdict"]  # type: ignore[no-any-return]  # as ``auditing.verdict`` made it
            if isinstance(part, Mapping):
                progress(part["step"], part["done"], part["of"])
    except NotRunningError:
        load(path)
        return verify_stopped(data_dir, known, progress)
    raise AssertionError("a stream that ends without a verdict raises")


def _text(verdict: Mapping[str, Any]) -> str:
    counts, head, finding = verdict["verified"], verdict["head"], verdict["finding"]
    verified = (
        f"{counts['entries']} entries of the audit chain verified, {counts['transmissions']} transmissions, "
        f"{counts['messages']} messages and {counts['identities']} identities compared."
    )
    first = f"Broken: {finding['text']}" if finding else "Intact: everything is as the agent left it."
    lines = [first, verified, f"Head: {head['entry']}:{head['hash']}"]
    return "\n".join([*lines, "Keep the data directory untouched and call support."] if finding else lines)
