"""`profile show` and `profile adopt` as text: counts first, then every difference."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from edge_agent.cli.show_status import table

Answer = Mapping[str, Any]
_CODES_NAMED = 8


def text(answer: Answer) -> str:
    pinned, installed = answer["pinned"], answer["installed"]
    lines = [
        f"{answer['analyser']} is read by {answer['profile']} {_device(pinned)}.",
        "It is the installed one."
        if pinned["hash"] == installed["hash"]
        else f"Another one is installed: {_device(installed)}. See what it would change: "
        f"edge-agent profile adopt {answer['analyser']}",
    ]
    if answer["former"]:
        rows = [(f["hash"][:12], str(f["revision"]), f["until"], f["who"], f["note"]) for f in answer["former"]]
        lines += ["", "Used before, the newest first", *table(("hash", "revision", "until", "by", "why"), rows)]
    return "\n".join(lines)


def comparison_text(answer: Answer) -> str:
    analyser, new = answer["analyser"], answer["new"]
    back = " --back" if answer["former"] else ""
    return "\n".join(
        [
            f"{analyser} is read by {answer['profile']} {_device(answer['old'])}.",
            *_choice(answer),
            "",
            "The profile",
            *_changes(answer["changes"]),
            "",
            *_effect(answer["effect"]),
            "",
            *_attention(answer),
            "Nothing was changed. To adopt it:",
            f"  edge-agent profile adopt {analyser}{back} --yes --hash {new['hash'][:12]} --note WHY",
        ]
    )


def adopted_text(answer: Answer) -> str:
    lines = [
        f"Pinned for {answer['analyser']}: {answer['profile']} {_device(answer['new'])}.",
        answer["reloaded"]["sentence"],
        *_waiting(answer),
    ]
    lines.append(f"Back to the one before: edge-agent profile adopt {answer['analyser']} --back")
    return "\n".join(lines)


def _device(device: Answer) -> str:
    return f"revision {device['revision']}, {device['grade']}, {device['hash'][:12]}"


def _choice(answer: Answer) -> Iterator[str]:
    if former := answer["former"]:
        yield f"Before, until {former['until']}, it was {_device(former)}; {former['who']} changed it: {former['note']}"
    else:
        yield f"Installed is {_device(answer['new'])}."


def _changes(changes: Sequence[Answer]) -> Iterator[str]:
    for change in changes:
        mark = {"identity": "  (identity)", "link": "  (link)"}.get(change["touches"], "")
        yield f"  {change['key']}: {change['old']} -> {change['new']}{mark}"
    if not changes:
        yield "  Only the order of code rows differs."


def _effect(effect: Answer) -> Iterator[str]:
    count, results = effect["transmissions"], effect["results"]
    if not count:
        yield "Its effect: nothing of this analyser is stored to try it on."
        return
    if not effect["list"]:
        yield f"Its effect: no difference in the last {_many(count, 'transmission')} ({_many(results, 'result')})."
        return
    yield (
        f"Its effect, not applied: {effect['different']} of {_many(results, 'result')} in the last "
        f"{_many(count, 'transmission')} would be read otherwise"
    )
    yield "  " + ", ".join(f"{what} {times}" for what, times in effect["what"].items())
    for alike in _alike(effect["list"]):
        yield from _one(alike)
    hidden = effect["different"] - sum(bool(line["code"]) for line in effect["list"])
    if hidden > 0:
        yield f"  and {hidden} more"


def _alike(lines: Sequence[Answer]) -> list[list[Answer]]:
    """Results of one specimen of one transmission with the same changes, in the order they came."""
    found: dict[tuple[object, ...], list[Answer]] = {}
    for line in lines:
        changes = tuple(tuple(change.values()) for change in line["changes"])
        found.setdefault((line["transmission"], line["specimen"], changes), []).append(line)
    return list(found.values())


def _one(alike: Sequence[Answer]) -> Iterator[str]:
    first = alike[0]
    codes = list(dict.fromkeys(line["code"] for line in alike if line["code"]))
    more = f" and {len(codes) - _CODES_NAMED} more" if len(codes) > _CODES_NAMED else ""
    who = " ".join(part for part in (first["specimen"], ", ".join(codes[:_CODES_NAMED]) + more) if part)
    yield f"  t{first['transmission']} {who}".rstrip()
    for change in first["changes"]:
        yield f"    {change['what']}: {change['old'] or '-'} -> {change['new'] or '-'}"


def _attention(answer: Answer) -> Iterator[str]:
    effect, found = answer["effect"], list[str]()
    if answer["identity"]:
        again = _many(effect["sent_again"], "result") if effect["sent_again"] else "nothing"
        found.append(
            f"Keys that decide what is a repeat change: {', '.join(answer['identity'])}. "
            f"Of what these transmissions sent, {again} would go out a second time if it came again."
        )
    elif effect["sent_again"]:
        again = _many(effect["sent_again"], "result")
        found.append(f"{again} that were sent would go out a second time if they came again.")
    if effect["stuck"]:
        found.append(
            f"{_many(effect['stuck'], 'transmission')} with results that are held could not be released: what was sent "
            "of them is read otherwise (reading-changed)."
        )
    if answer["link"]:
        found.append("The dialogue with the analyser changes ([link]): watch the next transmission.")
    if found:
        yield "Look at this"
        yield from (f"  {line}" for line in found)
        yield ""


def _waiting(answer: Answer) -> Iterator[str]:
    if count := answer["waiting"]:
        yield (
            f"{_many(count, 'result')} held or failed; to have what is held read by this profile: "
            f"edge-agent retry --held --analyser {answer['analyser']} --note WHY"
        )


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
