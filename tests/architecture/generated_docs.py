"""Pages made from tables in the code. `make docs` writes them; a test fails when one is out of date."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path

from drivers.sdk import SHIPPED, load
from edge_agent import states
from edge_agent.codes import CODES

DOCS = Path(__file__).parents[2] / "docs"


def codes() -> str:
    rows = [f"| `{c.id}` | {c.severity} | {c.sentence} | {c.action} |" for c in CODES.values()]
    head = [
        "# What a code means, and what to do",
        "",
        "Codes of holds, failures and alarms, in `edge-agent status`, `queue`, `trace` and on the `alarm/` topics.",
        "*warning*: odd, nothing lost. *error*: a person is needed. Made from `edge_agent/codes.py`.",
        "",
        "| code | severity | what happened | what to do |",
        "| --- | --- | --- | --- |",
    ]
    return "\n".join([*head, *rows]) + "\n"


def state_tables() -> str:
    head = [
        "# States",
        "",
        "Every state of a transmission, a specimen group or observation, and a message, and the ways between them.",
        "The same words are used everywhere. Made from `edge_agent/states.py`.",
    ]
    tables = (("Transmission", states.TRANSMISSION), ("Specimen group and observation", states.ITEM))
    return "\n".join([*head, *(_states(t, m) for t, m in tables), _states("Message", states.MESSAGE)]) + "\n"


def _states(title: str, table: Mapping[StrEnum, Mapping[StrEnum, StrEnum]]) -> str:
    lines = ["", f"## {title}", "", "| in state | event | becomes |", "| --- | --- | --- |"]
    for state, events in table.items():
        if not events:
            lines.append(f"| `{state}` | | (final) |")
        lines += [f"| `{state}` | {event} | `{after}` |" for event, after in events.items()]
    return "\n".join(lines)


def devices() -> str:
    head = [
        "# Devices",
        "",
        "What `profile` of an analyser may name. Cable, menu and what is read of each: its README.",
        "Made from the profiles in `drivers/devices/`; add one: [drivers/README.md](../drivers/README.md).",
        "",
        "*drafted*: from documents alone. *captured*: against real traffic, too. *confirmed*: at a site.",
        "Whatever the grade: validate the device at your site.",
        "",
        "| profile | device | protocol | grade | revision | sources |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    return "\n".join([*head, *map(_device, sorted(SHIPPED))]) + "\n"


def _device(name: str) -> str:
    p = load(name).profile
    model = f"{p.vendor} {p.model}".strip() or "any that sends LIS02 records"
    if others := [alias for alias in p.aliases if alias != p.model]:
        model = f"{model} ({', '.join(others)})"
    link = f"[`{name}`](../drivers/devices/{name}/README.md)"
    return f"| {link} | {model} | {p.protocol} | {p.grade} | {p.revision} | {'; '.join(p.sources)} |"


PAGES: Mapping[str, Callable[[], str]] = {"codes.md": codes, "devices.md": devices, "states.md": state_tables}


def write() -> None:
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    write()
