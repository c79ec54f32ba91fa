"""The configuration file: one TOML file, read whole or refused whole.

Every mistake of a file is reported at once, with its line and, for an unknown key, the key that was probably meant. A
file is never half used: ``load`` returns a complete ``Settings`` or raises ``ConfigurationError``.
"""

import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from edge_agent.configuration.lines import LineIndex
from edge_agent.configuration.rest import rest
from edge_agent.errors import ConfigurationError, Problem
from edge_agent.settings import AnalyserTable, Consumers, LinkTable, Settings

DEFAULT_PATH = Path("/etc/edge-agent/edge-agent.toml")
_ROUNDS = 4

_PLAIN_WORDS = {
    "string_pattern_mismatch": "must be 1 to 32 of a-z, 0-9 and -",
    "missing": "is required",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "string_type": "must be text in quotes",
    "bool_type": "must be true or false",
    "list_type": "must be a list in [ ]",
    "model_type": "must be a table",
    "too_short": "must not be empty",
    "string_too_short": "must not be empty",
}


def find(path: Path | None) -> Path:
    """The configuration file: --config, $EDGE_AGENT_CONFIG, then /etc."""
    if path is not None:
        return path
    return Path(os.environ.get("EDGE_AGENT_CONFIG") or DEFAULT_PATH)


@dataclass(frozen=True, slots=True)
class Reading:
    """A file as far as it can be read. ``settings`` leaves out what is wrong; None when too little is left."""

    settings: Settings | None
    problems: tuple[Problem, ...]


def load(path: Path) -> Settings:
    """Read and check a file. Raises ConfigurationError naming every mistake in it with its line."""
    reading = read(path)
    if reading.settings is None or reading.problems:
        raise ConfigurationError(reading.problems)
    return reading.settings


def data_dir_of(path: Path) -> Path:
    """Where the agent of this file keeps its data; a file with mistakes says it, too, or is cut short after it did.

    Raises ConfigurationError when it does not.
    """
    try:
        found = read(path).settings
        name = found.agent.data_dir if found is not None else ""
    except ConfigurationError:
        name = _data_dir_above_the_mistake(path)
        if not name:
            raise
    return resolve(path, name) if name else resolve(path, load(path).agent.data_dir)


def _data_dir_above_the_mistake(path: Path) -> str:
    """ "" when it is not named there."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return ""
    for end in range(len(lines), 0, -1):
        try:
            agent = tomllib.loads("\n".join(lines[:end])).get("agent")
        except (RecursionError, ValueError):
            continue
        name = agent.get("data_dir") if isinstance(agent, dict) else None
        return name if isinstance(name, str) else ""
    return ""


def read(path: Path) -> Reading:
    """Read a file and note its mistakes. Raises ConfigurationError when it cannot be read at all."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError([Problem(path, 0, "", f"cannot be read: {_plain(error)}")]) from error
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError([_syntax(path, text, error)]) from error
    except (RecursionError, ValueError) as error:  # what tomllib lets through of Python's own limits
        what = "a list or a number in it is longer or deeper than anything that can be meant"
        raise ConfigurationError([Problem(path, 0, "", f"cannot be read: {what}")]) from error
    if text and not text.endswith("\n"):
        # Half a number is a number: 9 of `retention_days = 90` would take results away.
        what = "the last line has no end; the file may have been cut off while it was written"
        raise ConfigurationError([Problem(path, text.count("\n") + 1, "", what)])
    lines = LineIndex(text)
    settings, problems = _as_far_as_possible(path, lines, raw)
    across = [] if settings is None else _across(path, lines, settings)
    return Reading(settings, tuple(sorted([*problems, *across], key=lambda p: p.line)))


def _as_far_as_possible(path: Path, lines: LineIndex, raw: dict[str, Any]) -> tuple[Settings | None, list[Problem]]:
    """Some mistakes show only when others are out of the way, so it is looked at again without those found."""
    left, problems = raw, dict[Problem, None]()
    for _ in range(_ROUNDS):
        try:
            return Settings.model_validate(left), list(problems)
        except ValidationError as error:
            errors = [dict(item) for item in error.errors()]
        problems |= dict.fromkeys(_problem(path, lines, raw, item) for item in errors)
        left = rest(left, [(_location(item), item["type"] == "value_error") for item in errors])
    return None, list(problems)


def resolve(config: Path, name: str) -> Path:
    """A path of the configuration; relative ones stand beside the file."""
    return config.parent / name


def _across(path: Path, lines: LineIndex, settings: Settings) -> Iterator[Problem]:
    """What no single key shows: names used twice, a gateway named like a consumer."""
    seen: dict[str, int] = {}
    for index, analyser in enumerate(settings.analyser):
        line = lines.line(f"analyser.{index}.id")
        if analyser.id in seen:
            text = f"the id {analyser.id!r} is used on line {seen[analyser.id]} already"
            yield Problem(path, line, f"analyser.{analyser.id}.id", text)
        seen[analyser.id] = line
    consumers = settings.mqtt.consumers()
    if settings.agent.gateway in (consumers.result, consumers.qc, consumers.validation):
        yield Problem(path, lines.line("agent.gateway"), "agent.gateway", "a consumer has this name")
    yield from _shared_listeners(path, lines, settings.analyser)


def _shared_listeners(path: Path, lines: LineIndex, analysers: Sequence[AnalyserTable]) -> Iterator[Problem]:
    """Analysers behind one listener are told apart by their address, so each needs its own."""
    taken: list[tuple[str, str, str]] = []
    for index, analyser in enumerate(analysers):
        mine = [(url, peer, analyser.id) for url in analyser.transports() for peer in analyser.peer or ["any"]]
        rivals = [
            other
            for url, peer, _ in mine
            for taken_url, taken_peer, other in taken
            if taken_url == url and _overlap(peer, taken_peer)
        ]
        texts = [
            f"{other} has the same port and peer; analysers on one port need different peers"
            for other in dict.fromkeys(rivals)
        ]
        if len(set(analyser.transports())) < len(analyser.transports()):
            texts.append("two links use the same port")
        for text in texts:
            yield Problem(path, lines.line(f"analyser.{index}.transport"), f"analyser.{analyser.id}.transport", text)
        taken += mine


def _overlap(one: str, other: str) -> bool:
    """Whether one address can be meant by both."""
    if "any" in (one, other):
        return True
    first, second = ip_network(one, strict=False), ip_network(other, strict=False)
    return first.version == second.version and first.overlaps(second)


def _problem(path: Path, lines: LineIndex, raw: dict[str, Any], error: dict[str, Any]) -> Problem:
    location = _location(error)
    text = sentence(error)
    if error["type"] == "extra_forbidden":
        text = _unknown_key(location)
    dotted = ".".join(str(part) for part in location)
    return Problem(path, lines.line(dotted), _shown(raw, location), text)


def _location(error: dict[str, Any]) -> list[str | int]:
    return [part for part in error["loc"] if part not in ("Consumers", "constrained-str")]


def sentence(error: Mapping[str, Any]) -> str:
    """What is wrong in one of pydantic's errors, for a person."""
    kind = str(error["type"])
    if kind == "value_error":
        return str(error["ctx"]["error"])
    if kind == "literal_error":
        return f"must be {error['ctx']['expected']}"
    if kind == "greater_than_equal":
        return f"must be at least {error['ctx']['ge']}"
    if kind == "less_than_equal":
        return f"must be at most {error['ctx']['le']}"
    return _PLAIN_WORDS.get(kind, str(error["msg"]))


def _unknown_key(location: Sequence[str | int]) -> str:
    known = _known_keys(location[:-1])
    near = get_close_matches(str(location[-1]), known, n=1, cutoff=0.5)
    return f"unknown key; did you mean {near[0]!r}?" if near else f"unknown key; known are {', '.join(known)}"


def _known_keys(location: Iterable[str | int]) -> list[str]:
    model: type[BaseModel] = Settings
    for part in location:
        if isinstance(part, str):
            model = _member(model, part)
    return list(model.model_fields)


def _member(model: type[BaseModel], name: str) -> type[BaseModel]:
    tables: dict[str, type[BaseModel]] = {"analyser": AnalyserTable, "links": LinkTable, "consumer": Consumers}
    annotation = model.model_fields[name].annotation if name in model.model_fields else None
    table = annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
    return table or tables.get(name, model)


def _shown(raw: dict[str, Any], location: Sequence[str | int]) -> str:
    """The key as a person names it: analyser.xn1.transport rather than analyser.0.transport."""
    shown: list[str] = []
    node: Any = raw
    for part in location:
        node = _step(node, part)
        if isinstance(part, int) and isinstance(node, dict) and isinstance(node.get("id"), str):
            shown.append(node["id"])
        else:
            shown.append(str(part))
    return ".".join(shown)


def _step(node: Any, part: str | int) -> Any:
    if isinstance(node, dict):
        return node.get(part)
    if isinstance(node, list) and isinstance(part, int) and part < len(node):
        return node[part]
    return None


def _syntax(path: Path, text: str, error: tomllib.TOMLDecodeError) -> Problem:
    if text.startswith("\ufeff"):
        return Problem(path, 1, "", "begins with a byte order mark; save it as UTF-8 without one")
    what, _, place = str(error).partition(" (at ")
    number = place.removeprefix("line ").partition(",")[0]
    line = int(number) if number.isdigit() else len(text.splitlines())
    return Problem(path, line, "", f"is not TOML: {what}")


def _plain(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "the file does not exist; name another with --config"
    if isinstance(error, PermissionError):
        return "you may not read it; ask as root, or as a member of the group that may"
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8 text"
    return error.strerror or "it is not a file" if isinstance(error, OSError) else str(error)
