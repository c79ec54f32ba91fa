"""Commands that ask the running agent: status, queue, show, trace."""

import json
from pathlib import Path
from typing import Any

import click

from edge_agent.cli import show_status, show_trace
from edge_agent.cli.completion import analysers
from edge_agent.cli.options import answered, reading
from edge_agent.states import MessageState


def _print(answer: Any, as_json: bool, text: str) -> None:
    click.echo(json.dumps(answer, ensure_ascii=False, indent=2) if as_json else text)


@click.command()
@reading
def status(config_: Path | None, as_json: bool) -> None:
    """Say in one sentence whether all is well, then the details. Exit 1 when a person is needed."""
    answer = answered(config_, "status")
    _print(answer, as_json, show_status.text(answer))
    if not answer["ok"]:
        raise SystemExit(1)


@click.command()
@click.option(
    "--state",
    type=click.Choice([s.value for s in MessageState] + ["held", "failed"]),
    help="Only these; default all open.",
)
@click.option("--analyser", shell_complete=analysers, help="Only this analyser's.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="At most so many.")
@reading
def queue(config_: Path | None, as_json: bool, state: str | None, analyser: str | None, limit: int) -> None:
    """List messages that are not filed yet, and results that are held, with the reason."""
    answer = answered(config_, "queue", state=state, analyser=analyser, limit=limit)
    _print(answer, as_json, show_status.queue_text(answer, of_all=state is None and analyser is None))


@click.command()
@click.argument("id_", metavar="ID")
@reading
def show(config_: Path | None, as_json: bool, id_: str) -> None:
    """Show one message: its state, its HL7 and every attempt. ID is an MSH-10 or a specimen id."""
    answer = answered(config_, "show", id=id_)
    _print(answer, as_json, show_trace.message_text(answer))


@click.command()
@click.argument("id_", metavar="ID")
@reading
def trace(config_: Path | None, as_json: bool, id_: str) -> None:
    """Show the whole way from the bytes on the wire to the answer that filed it. ID as in `show`, or t12."""
    answer = answered(config_, "trace", id=id_)
    _print(answer, as_json, show_trace.text(answer))
