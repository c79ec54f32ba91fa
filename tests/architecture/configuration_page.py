"""docs/configuration.md: types, defaults and limits from the models, words from the comments of the shipped file.

A key's sentence stands once, in config/edge-agent.toml, directly above the key.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Le, MinLen
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from edge_agent.settings import Settings

SHIPPED = Path(__file__).parents[2] / "config" / "edge-agent.toml"

RESTART = "restart needed"
CONVERSION = "next conversion"
BROKER = "new connection to the broker"
PORT = "its port opened anew"
AT_ONCE = "at once"
ADOPT = "new analysers; else `profile adopt`"
NOTHING = "not used yet"

# What a change of a key touches when the file is loaded anew; of a table, or of one of its keys.
EFFECTS: Mapping[str, str] = MappingProxyType(
    {
        "agent": RESTART,
        "agent.timezone": CONVERSION,
        "mqtt": BROKER,
        "hl7": CONVERSION,
        "store": AT_ONCE,
        "drivers.allow": NOTHING,
        "drivers.devices_dir": ADOPT,
        "web": NOTHING,
        "metrics": "the metrics' port opened anew",
        "site": CONVERSION,
        "analyser.id": "one goes, another starts",
        "analyser": PORT,
        "analyser.timezone": CONVERSION,
        "analyser.on_unknown_code": CONVERSION,
        "analyser.hours": AT_ONCE,
        "analyser.usual_gap_s": AT_ONCE,
    }
)

_HEAD = """\
# Configuration

One file, `/etc/edge-agent/edge-agent.toml`, or what `--config` or `$EDGE_AGENT_CONFIG` names. It is TOML.
`edge-agent init` writes a first one in which every key is explained; `edge-agent check` names every mistake with its
line; `edge-agent reload` takes it into use.

A key that is not here is a mistake, never ignored. Relative names of files stand beside the file. *Must be written*
means that there is no default. *At reload* says what a change touches; more in
[commands](commands.md#load-the-configuration-anew). How a profile is changed at a site: `devices_dir`, and
[the profile](../drivers/README.md).

Made from `edge_agent/settings.py` and the comments of `config/edge-agent.toml`.
"""


def configuration() -> str:
    notes = Notes(SHIPPED.read_text(encoding="utf-8"))
    return "\n".join([_HEAD, *_tables(notes)])


class Notes:
    """The ``##`` lines of the shipped file by the table or key they stand directly above."""

    def __init__(self, text: str) -> None:
        self.of: dict[str, str] = {}
        table, above = "", list[str]()
        for line in text.splitlines():
            if found := re.match(r"\[+([a-z0-9_]+)\]+$", line):
                table = found[1]
                self._note(table, above)
            elif found := re.match(r"(?:##? )?([a-z0-9_]+) = ", line):  # ## before a key that has no default
                self._note(f"{table}.{found[1]}", above)
            elif line.startswith("## "):
                above.append(line[3:])
            else:
                above.clear()

    def _note(self, name: str, above: list[str]) -> None:
        self.of[name] = " ".join(above)
        above.clear()


def tables() -> Iterator[tuple[str, type[BaseModel], bool]]:
    """Name, model, and whether there may be several."""
    for name, field in Settings.model_fields.items():
        several = get_origin(field.annotation) is list
        model = get_args(field.annotation)[0] if several else field.annotation
        yield name, model, several


def _tables(notes: Notes) -> Iterator[str]:
    for name, model, several in tables():
        yield f"## `{'[[' if several else '['}{name}{']]' if several else ']'}`\n"
        if notes.of[name]:
            yield f"{_cell(notes.of[name])}\n"
        yield "| key | what it does | allowed | default | at reload |"
        yield "| --- | --- | --- | --- | --- |"
        for key, field in model.model_fields.items():
            does = _cell(notes.of[f"{name}.{key}"])
            yield f"| `{key}` | {does} | {_allowed(field)} | {_default(field)} | {effect(f'{name}.{key}')} |"
        yield ""


def effect(key: str) -> str:
    return EFFECTS.get(key) or EFFECTS[key.partition(".")[0]]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "*must be written*"
    return "*left out*" if field.default is None else f"`{json.dumps(field.default, ensure_ascii=False)}`"


def _allowed(field: FieldInfo) -> str:
    limits = {type(limit): limit for limit in field.metadata}
    text = _kind(field.annotation, field.metadata)
    if Ge in limits and Le in limits:
        return f"{text} {limits[Ge].ge} to {limits[Le].le}"
    return f"{text}, not empty" if MinLen in limits else text


def _kind(kind: Any, metadata: list[Any]) -> str:
    origin = get_origin(kind)
    if origin is Literal:
        return " or ".join(f'`"{word}"`' for word in get_args(kind))
    if origin is list:
        return f"list of {_kind(get_args(kind)[0], [])}"
    if origin in (Union, UnionType):
        return " or ".join(_kind(k, metadata) for k in get_args(kind) if k is not type(None))
    if hasattr(kind, "__metadata__"):  # Name, Text, FileName
        return _kind(kind.__origin__, [*kind.__metadata__])
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return "{ " + ", ".join(f"{k} = {_allowed(f)}" for k, f in kind.model_fields.items()) + " }"
    if kind is str:
        return "text" if not _patterns(metadata) else "name"
    return {bool: "`true` or `false`", int: "number"}[kind]


def _patterns(metadata: list[Any]) -> list[str]:
    """Of a field or of the fields that an alias carries."""
    inner = [m.metadata if isinstance(m, FieldInfo) else [m] for m in metadata]
    return [p for ms in inner for m in ms if (p := getattr(m, "pattern", None))]
