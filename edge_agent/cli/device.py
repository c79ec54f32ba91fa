"""`device list`: which devices a configuration may name, with nothing running."""

import json
import os
from pathlib import Path
from typing import Any

import click

from drivers.errors import ProfileError
from drivers.sdk import SHIPPED, load, names
from edge_agent.cli.options import config_path, reading, settings
from edge_agent.cli.show_status import table
from edge_agent.configuration.file import resolve
from edge_agent.errors import AgentError


@click.group()
def device() -> None:
    """Devices whose results can be read."""


@device.command("list")
@reading
def list_(config_: Path | None, as_json: bool) -> None:
    """List the devices. Needs no agent; with a configuration also its devices.d. Exit 1 if one cannot be used."""
    folder = _devices_dir(config_)
    try:
        found = [_facts(name, folder) for name in names(folder)]
    except ProfileError as error:
        raise AgentError(f"Devices cannot be listed: {error}.", code="device", action="Rename the device.") from error
    click.echo(json.dumps({"devices": found}, ensure_ascii=False, indent=2) if as_json else _text(found))
    if any(facts["problems"] for facts in found):
        raise SystemExit(1)


def _devices_dir(config: Path | None) -> Path | None:
    """None where no configuration is named and none is at the default place."""
    named = config or click.get_current_context().find_root().obj or os.environ.get("EDGE_AGENT_CONFIG")
    if not named and not config_path(config).exists():
        return None
    path, loaded = settings(config)
    return resolve(path, loaded.drivers.devices_dir)


def _facts(name: str, folder: Path | None) -> dict[str, Any]:
    facts: dict[str, Any] = {"name": name, "from": _origin(name, folder), "problems": []}
    try:
        profile = load(name, folder).profile
    except ProfileError as error:
        return {**facts, "problems": list(error.problems)}
    return {
        **facts,
        "protocol": profile.protocol,
        "grade": profile.grade,
        "revision": profile.revision,
        "vendor": profile.vendor,
        "model": profile.model,
        "sources": list(profile.sources),
    }


def _origin(name: str, folder: Path | None) -> str:
    if folder is not None and (folder / name / "profile.toml").is_file():
        return "devices.d"
    base = "shipped" if name in SHIPPED else "package"
    changed = folder is not None and (folder / f"{name}.toml").is_file()
    return f"{base}, changed in devices.d" if changed else base


def _text(found: list[dict[str, Any]]) -> str:
    rows = [_row(facts) for facts in found]
    heads = ("name", "protocol", "grade", "revision", "sources", "from", "device")
    problems = [f"{facts['name']}: {problem}" for facts in found for problem in facts["problems"]]
    return "\n".join([*table(heads, rows), *problems])


def _row(facts: dict[str, Any]) -> tuple[str, ...]:
    if facts["problems"]:
        return (facts["name"], "-", "-", "-", "-", facts["from"], "cannot be used, see below")
    model = f"{facts['vendor']} {facts['model']}".strip() or "any of this protocol"
    counts = (str(facts["revision"]), str(len(facts["sources"])))
    return (facts["name"], facts["protocol"], facts["grade"], *counts, facts["from"], model)
