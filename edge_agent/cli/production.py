"""`production`: an analyser from validation into production, or back."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from edge_agent.cli.completion import analysers
from edge_agent.cli.options import config_option, data_dir, json_option
from edge_agent.control import ask
from edge_agent.decisions.mode_line import by_hand, put, replacement, with_mode
from edge_agent.errors import AgentError

Answer = Mapping[str, Any]


@click.command()
@click.argument("analyser", metavar="ANALYSER", shell_complete=analysers)
@click.option("--back", is_flag=True, help="From production back to validation.")
@click.option("--yes", is_flag=True, help="Change it. Without this the evidence is shown and nothing is changed.")
@click.option("--note", default="", help="With --yes, and required: why, for the audit trail. Name no patient.")
@config_option
@json_option
def production(config_: Path | None, as_json: bool, analyser: str, back: bool, yes: bool, note: str) -> None:
    """Show what an analyser's validation led to; with --yes let its results count as patients' results."""
    if yes != bool(note.strip()):
        raise click.UsageError("--note says why, and goes with --yes.")
    mode = "validation" if back else "production"
    where = data_dir(config_)
    evidence = ask(where, "mode", analyser=analyser)
    if not yes:
        click.echo(json.dumps(evidence, ensure_ascii=False, indent=2) if as_json else _text(evidence, mode, back))
        return
    file = Path(evidence["file"])  # the one the agent runs by, which --config need not be
    _change(file, where, analyser, mode, note)
    done = ask(where, "mode-written", analyser=analyser)
    answer = {"analyser": analyser, "mode": mode, "file": str(file), "reloaded": done}
    click.echo(json.dumps(answer, ensure_ascii=False, indent=2) if as_json else _changed_text(answer))
    if not done["in_use"]:
        raise SystemExit(1)


def _change(file: Path, where: Path, analyser: str, mode: str, note: str) -> None:
    """The decision is in the audit trail before the file is in its place, and only where the file can be."""
    text = with_mode(file.read_bytes().decode(), analyser, mode)
    if text is None:
        raise by_hand(file, analyser, mode, "it is laid out so that no single line says it")
    try:
        with replacement(file, text) as new:
            ask(where, "mode-decided", analyser=analyser, mode=mode, note=note)
            put(new, file)
    except AgentError:
        raise
    except OSError as error:
        raise by_hand(file, analyser, mode, error.strerror or "it cannot be written") from error


def _text(evidence: Answer, mode: str, back: bool) -> str:
    analyser = evidence["analyser"]
    lines = [f"{analyser} is in {evidence['configured']}.", *_facts(evidence), ""]
    if evidence["configured"] == mode:
        lines.append(f"There is nothing to change: the configuration has it in {mode}.")
        return "\n".join(lines)
    lines += _meaning(back)
    option = " --back" if back else ""
    lines += ["Nothing was changed. To do it:", f"  edge-agent production {analyser}{option} --yes --note WHY"]
    return "\n".join(lines)


def _facts(evidence: Answer) -> list[str]:
    messages = ", ".join(f"{count} {state}" for state, count in evidence["messages"].items()) or "none"
    held = ", ".join(f"{count} {code}" for code, count in evidence["held"].items()) or "none"
    unknown = ", ".join(evidence["unknown_tests"]) or "none"
    since = f"since {evidence['since']}, {evidence['transmissions']} transmissions" if evidence["since"] else "none"
    facts = [
        f"  in validation     {since}",
        f"  its messages      {messages}",
        f"  held or failed    {held}",
        f"  unknown tests     {unknown} (in the last {evidence['looked_through']} transmissions)",
        f"  profile           {evidence['profile']} revision {evidence['revision']}, {evidence['grade']}, "
        f"{evidence['hash'][:12]}",
    ]
    if evidence["newer_profile"]:
        facts.append(
            f"  waiting           another profile is installed ({evidence['newer_profile'][:12]}): "
            f"edge-agent profile adopt {evidence['analyser']}"
        )
    if evidence["running"] != evidence["configured"]:
        facts.append(f"  the agent         runs it in {evidence['running']} still: reload or restart it")
    return facts


def _meaning(back: bool) -> list[str]:
    if back:
        return ["What it sends from then on goes to the validation route. What was received before goes where it went."]
    return ["What it sends from then on counts as patients' results. What was received before stays validation."]


def _changed_text(answer: Answer) -> str:
    return f"{answer['file']} has {answer['analyser']} in {answer['mode']}.\n{answer['reloaded']['sentence']}"
