"""`salvage`: a new store out of a damaged one, where no agent runs."""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from edge_agent.cli.options import reading, settings
from edge_agent.clock import SystemClock
from edge_agent.configuration.file import resolve
from edge_agent.salvage.loss import Loss, Resend
from edge_agent.salvage.salvaging import Salvaged, Salvaging
from edge_agent.store.disk import MB
from edge_agent.times import rfc3339, shown

_SHOWN = 20  # lines of one kind


@click.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@reading
def salvage(config_: Path | None, as_json: bool, yes: bool) -> None:
    """Move a damaged store aside, whole, and make a new one of every row that can be read. Only while no agent runs.

    Exit 1 when something is missing: the report says what, and what to do.
    """
    path, loaded = settings(config_)
    data_dir = resolve(path, loaded.agent.data_dir)
    salvaging = Salvaging(data_dir, [analyser.id for analyser in loaded.analyser], SystemClock())
    needed = salvaging.needed()
    if not yes:
        _ask(data_dir, needed)
    done = salvaging.salvage()
    click.echo(json.dumps(_facts(done), ensure_ascii=False, indent=2) if as_json else "\n".join(_text(done)))
    if done.loss:
        raise SystemExit(1)


def _ask(data_dir: Path, needed: int) -> None:
    if not sys.stdin.isatty():
        raise click.UsageError("Nobody can be asked here: say --yes.")
    click.echo(
        f"The store in {data_dir}. What will be done:\n"
        f"- its files are moved into a new folder {data_dir}/evidence-..., with their checksums; nothing is deleted\n"
        f"- every row that can be read goes into a new store in its place (up to {-(-needed // MB)} MB are needed)\n"
        "- what is not known to be filed goes out again, with the id and content it had\n"
        "- what is missing is listed, with the time from which on analysers have to send again\n"
        "A backup of the last hours may be the better way: see docs/salvage.md."
    )
    click.confirm("Go on?", abort=True)


def _facts(done: Salvaged) -> dict[str, Any]:
    return {
        "data_dir": str(done.data_dir),
        "evidence": str(done.evidence),
        "sha256": done.sums,
        "identity": done.identity,
        "broke": rfc3339(done.broke),
        "whole": not done.loss,
        "read": dict(done.carried.read),
        "kept": dict(done.carried.rows),
        "again": done.carried.again,
        "reread": done.carried.reread,
        "rebuilt": done.carried.rebuilt,
        "missing": {
            **asdict(done.loss),
            "resend": [
                {
                    "analyser": one.analyser,
                    "since": None if one.since is None else rfc3339(one.since),
                    "until": rfc3339(one.until),
                }
                for one in done.loss.resend
            ],
        },
    }


def _text(done: Salvaged) -> Iterator[str]:
    kept, loss = done.carried.rows, done.loss
    yield f"The damaged files are in {done.evidence}, with their checksums in SHA256SUMS. Keep them."
    yield (
        f"The new store has {kept['transmission']} transmissions, {kept['outbox']} messages and {kept['seen']} "
        f"identities of the store {done.identity}."
    )
    if done.carried.again:
        yield (
            f"{done.carried.again} messages are not known to be filed: they go out again with the id and content they "
            "had, so that the management system recognises those it has."
        )
    if done.carried.reread:
        yield f"{done.carried.reread} transmissions are read once more from their bytes."
    yield from _missing(loss)
    if not loss:
        yield "Nothing is missing. Start the agent; it takes a new identity for what comes."
        return
    yield "What to do:"
    yield "1. Start the agent: it takes a new identity for what comes, and recognises what was filed."
    yield "2. Have these analysers send again:"
    yield from (f"   {_span(one)}" for one in loss.resend)
    if loss.messages:
        yield "3. Look in the management system for the messages named above; one that is there needs nothing."


def _missing(loss: Loss) -> Iterator[str]:
    if loss.pages or loss.frames:
        yield f"Unreadable: {loss.pages} pages of the database, {loss.frames} parts of its log."
    if loss.commits:
        yield f"{loss.commits} changes that were made last are not in the files at all."
    yield from _some("Transmissions missing", [f"t{t.number}{_of(t.analyser)}" for t in loss.transmissions])
    yield from _some("Messages missing, filed or not", [f"{m.id}{_of(m.analyser)}" for m in loss.messages])
    gaps = [f"{g.identity} {g.analyser} {g.first}-{g.last}" for g in loss.gaps]
    yield from _some("Sequence numbers missing", gaps)
    if loss.identities:
        yield "Not all that was sent before can be recognised: a repeat of what could not be read is published as new."
    if loss.audit_entries:
        yield f"{loss.audit_entries} entries of the audit trail are behind its break; they are in the evidence only."


def _some(title: str, lines: list[str]) -> Iterator[str]:
    if lines:
        more = f" and {len(lines) - _SHOWN} more (see --json)" if len(lines) > _SHOWN else ""
        yield f"{title}: {', '.join(lines[:_SHOWN])}{more}."


def _of(analyser: str) -> str:
    return f" of {analyser}" if analyser else ""


def _span(one: Resend) -> str:
    since = f"from {shown(one.since)}" if one.since else "everything it still has"
    return f"{one.analyser}: {since} until {shown(one.until)}"
