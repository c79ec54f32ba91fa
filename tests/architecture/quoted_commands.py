"""Commands as pages and programs quote them, and what is wrong with one that the command line would not take."""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence

import click

from edge_agent.cli.main import main as edge_agent
from simulators.cli import main as analyser_sim

PROGRAMS: Mapping[str, click.Command] = {"edge-agent": edge_agent, "analyser-sim": analyser_sim}

_FENCED = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
_INLINE = re.compile(r"``?([^`]+)``?")
_PROGRAM = re.compile(r"(?:^ *|(?<=sudo )|(?<=[;&|(/] )|(?<=[(/]))(edge-agent|analyser-sim) (?=[a-zA-Z-])")
_ENDS = {"|", "||", "&&", ";", ">", ">>", "<", "&"}


def quoted(text: str) -> Iterator[str]:
    """Commands in blocks of ``sh`` and in inline code, each on one line."""
    for language, block in _FENCED.findall(text):
        if language in ("sh", "bash", "console"):
            for line in block.replace("\\\n", " ").splitlines():
                yield from _in_line(line)
    for code in _INLINE.findall(_FENCED.sub("", text)):
        yield from _in_line(" ".join(code.split()))


def _in_line(line: str) -> Iterator[str]:
    if found := _PROGRAM.search(line):
        yield line[found.start(1) :]


def objection(command: str) -> str:
    """Why the command line would not know it; "" when it does. Values of options are not judged."""
    try:
        program, *words = _words(command)
    except ValueError as error:
        return str(error)
    node, place, rest = PROGRAMS[program], program, list(words)
    while isinstance(node, click.Group):
        while rest and rest[0].startswith("-"):
            if wrong := _option(node, place, rest):
                return wrong
        if not rest:
            return "" if node.params and words else f"{place}: no command"
        name = rest.pop(0)
        if name.isupper():  # `edge-agent COMMAND`
            return ""
        place = f"{place} {name}"
        inner = node.commands.get(name)
        if inner is None:
            return f"{place}: no such command"
        node = inner
    return _arguments(node, place, rest)


def _arguments(command: click.Command, place: str, rest: list[str]) -> str:
    given = 0
    while rest:
        if rest[0].startswith("-") and rest[0] != "-":
            if wrong := _option(command, place, rest):
                return wrong
        else:
            rest.pop(0)
            given += 1
    takes = [p for p in command.params if isinstance(p, click.Argument)]
    if given and not takes:
        return f"{place}: takes no argument"
    several = any(p.nargs == -1 for p in takes)
    return f"{place}: takes {len(takes)}, is given {given}" if given > len(takes) and not several else ""


def _option(command: click.Command, place: str, rest: list[str]) -> str:
    """Takes one option and its values off ``rest``."""
    name, _, value = rest.pop(0).partition("=")
    if name in ("--help", "-h", "--version"):
        return ""
    for parameter in command.params:
        if isinstance(parameter, click.Option) and name in (*parameter.opts, *parameter.secondary_opts):
            if not (parameter.is_flag or parameter.count or value):
                if not rest:
                    return f"{place} {name}: needs a value"
                rest.pop(0)
            return ""
    return f"{place}: no such option {name}"


def _words(command: str) -> Sequence[str]:
    """Up to the end of the command; comments and pipes do not belong to it."""
    words: list[str] = []
    for word in shlex.split(command, comments=True):
        if word in _ENDS:
            break
        words.append(word)
    return words
