"""`status` and `queue` as text: the sentence first, details after."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Answer = Mapping[str, Any]
_NAMED = 4  # transmissions named in one line; --json names all


def text(answer: Answer) -> str:
    parts = [answer["sentence"], "", *_facts(answer), "", *_analysers(answer["analysers"])]
    if answer["alarms"]:
        parts += ["", "Alarms", *(line for alarm in answer["alarms"] for line in _alarm(alarm))]
    return "\n".join(parts)


def queue_text(answer: Answer, *, of_all: bool) -> str:
    """Messages on their way and results that are held, or the sentence that there are none."""
    parts: list[str] = []
    if answer["messages"]:
        parts += table(
            ("message", "analyser", "route", "seq", "state", "since", "tries", "reason"),
            [_message(m) for m in answer["messages"]],
        )
    if answer["held"]:
        parts += [
            "",
            "Held or failed",
            *table(
                ("transmission", "analyser", "state", "results", "since", "reason", "next"),
                [_held(alike) for alike in _alike(answer["held"])],
            ),
        ]
    nothing = "Nothing waits: no message is under way, nothing is held." if of_all else "Nothing of this kind is there."
    return "\n".join(parts) if parts else nothing


def _facts(answer: Answer) -> list[str]:
    broker, store, messages = answer["broker"], answer["store"], answer["messages"]
    waiting = ", ".join(f"{count} {state}" for state, count in messages.items() if count) or "none"
    return [
        f"agent      {answer['version']} {answer['state']} since {answer['started']}, site {answer['site']}, "
        f"gateway {answer['gateway']}",
        f"program    {answer['program']['text']}",
        f"broker     {broker['text']}",
        f"messages   {waiting}" + (f"; oldest unfiled {answer['oldest_unfiled']}" if answer["oldest_unfiled"] else ""),
        f"store      {store['text']}",
    ]


def _analysers(analysers: Sequence[Answer]) -> list[str]:
    rows = [
        (
            a["id"],
            f"{a['profile']} r{a['revision']}",
            a["mode"],
            "up" if a["up"] else "down",
            a["protocol"],
            a["last_result"] or "-",
            str(a["held"] or "-"),
            str(a["failed"] or "-"),
            str(a["interrupted"] or "-"),
        )
        for a in analysers
    ]
    heads = ("analyser", "profile", "mode", "link", "now", "last result", "held", "failed", "interrupted")
    newer = [
        f"{a['id']}: another {a['profile']} is installed ({a['newer_profile'][:12]}); the pinned one stays in use. "
        f"What it would change: edge-agent profile adopt {a['id']}"
        for a in analysers
        if a["newer_profile"]
    ]
    return [*table(heads, rows), *newer] if rows else ["No analysers are configured."]


def _alarm(alarm: Answer) -> list[str]:
    return [
        f"  {alarm['severity'].upper():8} {alarm['since']}  {alarm['sentence']} [{alarm['code']}]",
        f"           {alarm['action']}",
    ]


def _message(message: Answer) -> tuple[str, ...]:
    return (
        message["id"],
        message["analyser"],
        message["route"],
        str(message["sequence"]),
        message["state"] + (f"({message['code']})" if message["code"] not in ("", "AA") else ""),
        message["queued"],
        str(message["attempts"]),
        message["reason"],
    )


def _alike(lines: Iterable[Answer]) -> list[list[Answer]]:
    """What waits at one analyser for one reason: hundreds of times on a line that babbles."""
    found: dict[tuple[str, ...], list[Answer]] = {}
    for line in lines:
        found.setdefault((line["analyser"], line["state"], line["sentence"]), []).append(line)
    return list(found.values())


def _held(alike: Sequence[Answer]) -> tuple[str, ...]:
    first = alike[0]
    named = list(dict.fromkeys(f"t{line['transmission']}" for line in alike))
    more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
    return (
        ", ".join(named[:_NAMED]) + more,
        first["analyser"],
        first["state"],
        str(sum(line["results"] for line in alike)),
        first["since"],
        f"{first['sentence']} [{first['code']}]",
        first["action"],
    )


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Columns as wide as their longest cell; the last one free."""
    lines = [tuple(heads), *(tuple(row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(heads))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
