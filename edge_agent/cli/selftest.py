"""`selftest`: proves on this site's own disk that what was acknowledged is kept."""

import json
import sys
from pathlib import Path
from random import SystemRandom

import click

from edge_agent.cli.backup import clear, progress
from edge_agent.cli.options import reading, settings
from edge_agent.clock import SystemClock
from edge_agent.selftest import filing
from edge_agent.selftest.run import SelfTest


@click.command()
@click.option("--rounds", type=click.IntRange(1, 100_000), default=200, show_default=True, help="How many kills.")
@click.option("--seed", type=click.IntRange(0), help="Of the kills' moments; default a new one, which is printed.")
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), help="Also write the verdict to this new file."
)
@click.option("--keep", is_flag=True, help="Leave the test's folder where it is.")
@reading
def selftest(
    config_: Path | None, as_json: bool, rounds: int, seed: int | None, output: Path | None, keep: bool
) -> None:
    """Prove on this machine's own disk that what was acknowledged is kept. Runs beside the agent or without it."""
    path, loaded = settings(config_)
    if output is not None:
        filing.refuse(output)
    if seed is None:
        seed = SystemRandom().randrange(1, 1_000_000_000)
    test = SelfTest(path, loaded, SystemClock(), progress)
    try:
        statement = test.run(rounds, seed, keep=keep)
    finally:
        clear()
    if output is not None:
        filing.file(output, statement.text())
    click.echo(json.dumps(statement.as_dict(), ensure_ascii=False, indent=2) if as_json else statement.text(), nl=False)
    sys.exit(0 if statement.passed else 1)
