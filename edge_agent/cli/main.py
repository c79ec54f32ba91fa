"""The command ``edge-agent``: one group, its commands in modules by what a person wants to do."""

import sys
from pathlib import Path
from typing import Any, NoReturn

import click

from edge_agent.cli import (
    ask,
    asyncapi,
    audit,
    backup,
    bundle,
    completion,
    decide,
    decommission,
    device,
    hl7,
    init,
    probe,
    production,
    profile,
    reload,
    restore,
    run,
    salvage,
    selftest,
    service,
)
from edge_agent.errors import AgentError, ConfigurationError, OutOfServiceError
from edge_agent.version import __version__

EXIT_FAILED, EXIT_CONFIGURATION = 1, 78


class Group(click.Group):
    """Turns the agent's errors into a sentence, a next action and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ConfigurationError as error:
            for problem in error.problems:
                click.echo(str(problem), err=True)
            _leave(error, EXIT_CONFIGURATION)
        except AgentError as error:
            _leave(error, EXIT_CONFIGURATION if isinstance(error, OutOfServiceError) else EXIT_FAILED)


def _leave(error: AgentError, status: int) -> NoReturn:
    click.echo(f"{error.sentence} [{error.code}]\n{error.action}", err=True)
    sys.exit(status)


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The configuration file; default $EDGE_AGENT_CONFIG, then /etc/edge-agent/edge-agent.toml.",
)
@click.version_option(__version__, message="edge-agent %(version)s")
@click.pass_context
def main(ctx: click.Context, config: Path | None) -> None:
    """Take analysers' results, keep them, deliver them as HL7 over MQTT until each is confirmed filed."""
    ctx.obj = config


COMMANDS = (
    init.init,
    probe.probe,
    run.run,
    run.check,
    reload.reload,
    ask.status,
    ask.queue,
    ask.show,
    ask.trace,
    decide.retry,
    decide.set_aside,
    device.device,
    profile.profile,
    production.production,
    hl7.hl7,
    service.service,
    asyncapi.asyncapi,
    audit.audit,
    backup.backup,
    restore.restore,
    salvage.salvage,
    bundle.support_bundle,
    decommission.decommission,
    selftest.selftest,
    completion.completion,
)

for command in COMMANDS:
    main.add_command(command)
