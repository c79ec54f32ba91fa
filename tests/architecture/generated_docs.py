"""Pages made from tables in the code. `make docs` writes them; a test fails when one is out of date."""

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from pathlib import Path

from architecture import licences
from architecture.configuration_page import configuration
from architecture.man_page import man_page

from drivers.sdk import SHIPPED, load
from edge_agent import outcomes, states
from edge_agent.code import Code
from edge_agent.codes import CODES
from edge_agent.contract.as_yaml import to_yaml
from edge_agent.contract.document import document
from edge_agent.metrics.table import TABLE

DOCS = Path(__file__).parents[2] / "docs"


def codes() -> str:
    head = [
        "# Read an alarm: what a code means, and what to do",
        "",
        "Codes of holds, failures and alarms, in `edge-agent status`, `queue`, `trace` and on the `alarm/` topics.",
        "*warning*: odd, nothing lost. *error*: a person is needed. `status` shows the most urgent first.",
        "Made from `edge_agent/codes.py` and `edge_agent/outcomes.py`.",
    ]
    alarms = _codes("Alarms", [c for c in CODES.values() if c.id in outcomes.ALARMS])
    holds = _codes("Holds and failures", [c for c in CODES.values() if c.id not in outcomes.ALARMS])
    more = ["", "A hold's alarm goes up with the result, a failure's too; `held` counts them."]
    return "\n".join([*head, *alarms, *holds, *more]) + "\n"


def _codes(title: str, codes: Iterable[Code]) -> list[str]:
    columns = ("code", "severity", "what happened", "what to do first", "results meanwhile", "over")
    return [
        "",
        f"## {title}",
        "",
        f"| {' | '.join(columns)} |",
        f"|{' --- |' * len(columns)}",
        *(
            f"| `{c.id}` | {c.severity} | {c.sentence} | {c.action} | {o.meanwhile} | {o.over} |"
            for c in codes
            if (o := outcomes.OUTCOMES[c.id])
        ),
    ]


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


def metrics() -> str:
    head = [
        "# Metrics for Prometheus",
        "",
        "Off by default. Switch them on in the configuration:",
        "",
        "```toml",
        "[metrics]",
        'listen = "127.0.0.1:9464"',
        "```",
        "",
        "The Debian package and an installation with `requirements/run.txt` bring what the agent needs for it. After",
        "`pip install` of the wheel alone, install the extra: `ivd-edge-agent[metrics]`.",
        "",
        "They are then read at `http://127.0.0.1:9464/metrics`. There is no password and no encryption. They name",
        "analysers, codes and states, and nothing of a patient; still, write another address than this machine's own",
        "only where the network is trusted, or put a proxy with TLS before it. `edge-agent check` says where they are.",
        "",
        "They come from the same facts as `edge-agent status`, at the moment they are read: one look into the store",
        "for each reading, none in between. Counters begin at 0 with each start of the agent. An analyser's figures",
        "are absent while nothing is known, and what the store counts is absent while it does not work.",
        "",
        "Example alert rules: `config/prometheus/alerts.yaml`. The last six are the usual ones of a process.",
        "Made from `edge_agent/metrics/table.py`.",
        "",
        "| metric | kind | labels | meaning |",
        "| --- | --- | --- | --- |",
    ]
    rows = [f"| `{m.name}` | {m.kind} | {', '.join(f'`{x}`' for x in m.labels)} | {m.help} |" for m in TABLE]
    return "\n".join([*head, *rows]) + "\n"


def asyncapi() -> str:
    return "# Made from the tables of the code by `make docs`.\n" + to_yaml(document())


PAGES: Mapping[str, Callable[[], str]] = {
    "codes.md": codes,
    "configuration.md": configuration,
    "devices.md": devices,
    "licences.md": licences.page,
    "metrics.md": metrics,
    "edge-agent.1": man_page,
    "states.md": state_tables,
    "../config/asyncapi.yaml": asyncapi,
}


def write() -> None:
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    write()
