"""`show` and `trace` as text (how to read it: docs/trace.md)."""

from collections.abc import Mapping, Sequence
from typing import Any

Answer = Mapping[str, Any]


def text(answer: Answer) -> str:
    """Every transmission of the answer from wire bytes to receipts, one after the other."""
    return "\n\n".join("\n".join(_transmission(t)) for t in answer["transmissions"])


def message_text(answer: Answer) -> str:
    return "\n\n".join("\n".join(_message(m)) for m in answer["messages"])


def _transmission(transmission: Answer) -> list[str]:
    lines = [
        f"transmission t{transmission['id']}  {transmission['analyser']} from {transmission['peer']}",
        f"  {transmission['state']} ({transmission['reason']}), {transmission['opened']} to {transmission['ended']}",
        f"  read with {transmission['profile']} r{transmission['revision']} ({transmission['profile_hash'][:12]})",
    ]
    lines += _section("wire", [_chunk(c) for c in transmission["wire"]])
    lines += _section("records", [f"{r['index']:>4}  {r['text']}" for r in transmission["records"]])
    lines += _section("report", [line for s in transmission["specimens"] for line in _specimen(s)])
    for hold in transmission["holds"]:
        lines.append(f"  held: {hold['sentence']} [{hold['code']}] {hold['action']}")
    for message in transmission["messages"]:
        lines += ["", *_message(message)]
    return lines


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return ["", title, *(f"  {line}" for line in lines)] if lines else []


def _chunk(chunk: Answer) -> str:
    number = "" if chunk["number"] is None else f" {chunk['number']}"
    reason = f" ({chunk['reason']})" if chunk["reason"] else ""
    return f"{chunk['at']}  {chunk['kind']}{number}{reason}  {chunk['bytes']}"


def _specimen(specimen: Answer) -> list[str]:
    lines = [f"specimen {specimen['id'] or '(none)'}  role {specimen['role']}  {specimen['state']}"]
    for o in specimen["observations"]:
        reason = f"  {o['hold']}" if o["hold"] else ""
        where = ",".join(str(r) for r in o["records"])
        carried = f"  in {o['message']}" if o["message"] else ""
        test = f"{o['code']} {o['component']}".rstrip()
        lines.append(
            f"  {test} = {o['value']} {o['unit']}".rstrip() + f"  [record {where}]  {o['state']}{reason}{carried}"
        )
    return lines


def _message(message: Answer) -> list[str]:
    lines = [f"message {message['id']}  {message['route']} #{message['sequence']}  {message['state']}"]
    lines += _section("HL7", message["hl7"])
    lines += _section("attempts", [_attempt(a) for a in message["attempts"]])
    return [*lines, "", f"receipt  {message['receipt']}"]


def _attempt(attempt: Answer) -> str:
    return f"{attempt['at']}  {attempt['what']} {attempt['code']}  {attempt['detail']}".rstrip()
