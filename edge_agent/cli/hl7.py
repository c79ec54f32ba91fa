"""`hl7 check`: a second opinion on HL7 messages in files, with nothing running."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge_agent.cli.options import json_option

if TYPE_CHECKING:
    from edge_agent.hl7_check import Verdict


@click.group()
def hl7() -> None:
    """HL7 messages in files."""


@hl7.command()
@click.argument(
    "files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False)
)
@json_option
def check(as_json: bool, files: tuple[Path, ...]) -> None:
    """Say of each message whether hl7apy accepts it, or what is wrong. Exit 1 if any is refused. Needs no agent."""
    judged: list[dict[str, Any]] = []
    for line in _judged(files):
        judged.append(line)
        if not as_json:
            click.echo(_text(line))
    refused = sum(not line["accepted"] for line in judged)
    if as_json:
        click.echo(json.dumps({"ok": not refused, "messages": judged}, ensure_ascii=False, indent=2))
    else:
        click.echo(f"{len(judged)} looked at, {refused} refused.")
    if refused:
        raise SystemExit(1)


def _judged(files: tuple[Path, ...]) -> Iterator[dict[str, Any]]:
    from edge_agent.hl7_check import Problem, Verdict, judge, split  # hl7apy takes a while to load; others do without

    for path in files:
        number = 0
        for number, message in enumerate(split(path.read_bytes()), 1):
            yield _line(path, number, judge(message))
        if not number:
            yield _line(path, 0, Verdict("", "", (Problem(0, "", "there is no HL7 message in it"),)))


def _line(path: Path, number: int, verdict: "Verdict") -> dict[str, Any]:
    return {
        "file": str(path),
        "message": number,
        "id": verdict.id,
        "type": verdict.type,
        "accepted": verdict.accepted,
        "problems": [{"segment": p.segment, "name": p.name, "text": p.text} for p in verdict.problems],
    }


def _text(line: dict[str, Any]) -> str:
    what = " ".join(word for word in (line["type"], line["id"]) if word)
    place = f"{line['file']} message {line['message']}" if line["message"] else line["file"]
    head = f"{place}{f' ({what})' if what else ''}: {'accepted' if line['accepted'] else 'refused'}"
    return "\n".join([head, *(f"  {_place(p)}{p['text']}" for p in line["problems"])])


def _place(problem: dict[str, Any]) -> str:
    return f"segment {problem['segment']} ({problem['name']}): " if problem["segment"] else ""
