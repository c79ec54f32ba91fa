"""docs/edge-agent.1, made from the commands themselves: what `edge-agent COMMAND --help` says, in roff for `man`."""

import re
from collections.abc import Iterator

import click

from edge_agent.cli.main import main
from edge_agent.version import __version__

_EXIT = (
    ("0", "done"),
    ("1", "failed, or a person is needed"),
    ("2", "wrong usage"),
    ("78", "the configuration is wrong"),
)
_FILES = (
    ("/etc/edge-agent/edge-agent.toml", "the configuration, every key explained in it"),
    ("/var/lib/edge-agent", "what the agent knows (data_dir); contains patient data"),
)


def man_page() -> str:
    """Without a date: the same commands give the same page."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield f'.TH EDGE\\-AGENT 1 "" "edge\\-agent {__version__}" "IVD edge agent"'
    yield from (".SH NAME", r"edge\-agent \- results of laboratory analysers, delivered until each is confirmed filed")
    yield from (".SH SYNOPSIS", r".B edge\-agent", r"[\fB\-\-config\fR \fIFILE\fR] \fICOMMAND\fR [\fIOPTION\fR]...")
    yield from (".SH DESCRIPTION", _text(main.help or ""))
    yield from _options(main)
    yield ".SH COMMANDS"
    for words, command in _commands(main):
        yield from _command(words, command)
    yield ".SH EXIT STATUS"
    yield from _terms(_EXIT)
    yield from (
        ".SH ENVIRONMENT",
        ".TP",
        ".B EDGE_AGENT_CONFIG",
        "The configuration, where \\-\\-config does not name it.",
    )
    yield ".SH FILES"
    yield from _terms(_FILES)
    yield from (".SH SEE ALSO", ".BR systemctl (1),", ".BR journalctl (1)")


def _commands(group: click.Group, above: str = "") -> Iterator[tuple[str, click.Command]]:
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield from _commands(command, f"{above}{name} ")
        else:
            yield f"{above}{name}", command


def _command(words: str, command: click.Command) -> Iterator[str]:
    arguments = [p.make_metavar(click.Context(command)) for p in command.params if isinstance(p, click.Argument)]
    yield f'.SS "{_text(" ".join([words, *arguments]))}"'
    yield _text(command.help or "")
    yield from _options(command)


def _options(command: click.Command) -> Iterator[str]:
    context = click.Context(command)
    for parameter in command.params:
        record = parameter.get_help_record(context) if isinstance(parameter, click.Option) else None
        if record is not None:
            yield from _terms([record])


def _terms(pairs: "list[tuple[str, str]] | tuple[tuple[str, str], ...]") -> Iterator[str]:
    for term, text in pairs:
        yield from (".TP", rf"\fB{_text(term)}\fR", _text(text))


def _text(text: str) -> str:
    """On one line, with what roff would take for its own made plain (groff_char(7)): \\, - and a . or ' in front."""
    plain = re.sub(r"\s+", " ", text).strip().replace("\\", r"\e").replace("-", r"\-").replace('"', r"\(dq")
    return rf"\&{plain}" if plain[:1] in (".", "'") else plain
