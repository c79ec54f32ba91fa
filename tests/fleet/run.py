"""`make fleet`: 1,000 gateways on one broker, in figures. Exit 1 when something promised did not come about."""

import sys
import tempfile
from pathlib import Path

import click
from fleet.trial import Outcome, Size, trial

TICK_S = 10.0  # Mosquitto 2.0.11 looks only every five seconds who is silent, and then at the wills; and a busy machine


@click.command()
@click.option("--gateways", type=click.IntRange(min=3), default=1000, show_default=True)
@click.option("--agents", type=click.IntRange(min=2), default=3, show_default=True)
@click.option("--keepalive", type=click.IntRange(min=5), default=30, show_default=True)
@click.option("--will-delay", type=click.IntRange(min=0), default=10, show_default=True)
def main(gateways: int, agents: int, keepalive: int, will_delay: int) -> None:
    size = Size(gateways, agents, keepalive, will_delay)
    with tempfile.TemporaryDirectory() as folder:
        outcome = trial(Path(folder), size, lambda text: click.echo(f"... {text}", err=True))
    for line in table(size, outcome):
        click.echo(line)
    failed = faults(size, outcome)
    for fault in failed:
        click.echo(f"NOT AS PROMISED: {fault}")
    sys.exit(1 if failed else 0)


def table(size: Size, o: Outcome) -> list[str]:
    return [
        f"{size.gateways} simulated gateways and {size.agents} agents, one Mosquitto, two consumers of one group",
        f"connected in {o.connect_s:.2f} s, all {o.present} present",
        f"{o.filed} results filed in {o.filing_s:.1f} s from the first connection, {o.filed / o.filing_s:.0f} a second",
        f"{o.specimens} different ones, {o.sent_again} sent again; one consumer killed when {o.killed_at} were filed",
        f"broker: {o.broker_cpu_s:.2f} s of processor time until then, {o.broker_mib:.0f} MiB",
        *(f"lost after {one.seconds:5.1f} s of at most {one.limit_s:g} s: {one.how}" for one in o.losses),
    ]


def faults(size: Size, o: Outcome) -> list[str]:
    found = [f"{one.how}: {one.seconds:.1f} s" for one in o.losses if one.seconds > one.limit_s + TICK_S]
    if not o.filed == o.specimens == size.results:
        found.append(f"{size.results} results, {o.filed} filed, {o.specimens} different ones")
    return found


if __name__ == "__main__":
    main()
