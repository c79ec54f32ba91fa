"""`completion`: the shell's script; and what completes arguments: analysers of the configuration, codes."""

from pathlib import Path

import click
from click.shell_completion import CompletionItem, get_completion_class

from edge_agent.codes import CODES
from edge_agent.configuration.file import find, read
from edge_agent.errors import AgentError

PROGRAM = "edge-agent"
VARIABLE = "_EDGE_AGENT_COMPLETE"
SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS), metavar="SHELL")
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script of a shell: bash, zsh or fish."""
    click.echo(script(ctx.find_root().command, shell))


def script(command: click.Command, shell: str) -> str:
    """What the shell reads once; it asks the program itself for each completion."""
    made = get_completion_class(shell)
    assert made is not None, shell
    completer = made(command, {}, PROGRAM, VARIABLE)
    return completer.source_template % completer.source_vars()  # source() would look for a bash on this machine


def analysers(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Of the configuration this command would use; none where it cannot be read."""
    named = ctx.params.get("config_") or ctx.find_root().params.get("config")
    try:
        settings = read(find(Path(named) if named else None)).settings
    except AgentError:
        return []
    return [CompletionItem(a.id) for a in (settings.analyser if settings else ()) if a.id.startswith(incomplete)]


def codes(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(code.id, help=code.sentence) for code in CODES.values() if code.id.startswith(incomplete)]
