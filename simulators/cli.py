"""The command `analyser-sim`: analysers to send with, a management system to receive with."""

import json
import signal
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

import click

from simulators.analyser import Plan, SendReport, clock_in, new_seed, send
from simulators.errors import SimulatorError
from simulators.replay import replay
from simulators.table import table

EXIT_FAILED = 1
AT_LEAST_ONE, NOT_NEGATIVE = click.IntRange(min=1), click.FloatRange(min=0)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Analysers and a management system made up for tests and demonstrations."""


@main.command("send")
@click.option("--device", required=True, help="A device folder, e.g. sysmex_xn.")
@click.option("--to", required=True, help="tcp://host:port, tcp-listen://host:port, serial:///dev/...?baudrate=9600")
@click.option("--count", type=AT_LEAST_ONE, default=1, show_default=True, help="Transmissions to send.")
@click.option("--results", type=AT_LEAST_ONE, help="Stop after this many results, whatever --count says.")
@click.option("--rate", type=NOT_NEGATIVE, default=0.0, help="Transmissions a second; 0: as fast as they are taken.")
@click.option("--seed", type=int, help="The same seed sends the same results. Default: a new one, printed.")
@click.option("--sample", "samples", multiple=True, help="Only this sample's shape; may be repeated.")
@click.option(
    "--per-specimen", type=AT_LEAST_ONE, default=1, show_default=True, help="Transmissions that share a specimen."
)
@click.option("--frame-size", type=click.Choice(["240", "64000"]), help="Default: as the device does.")
@click.option("--timezone", default="Asia/Seoul", show_default=True, help="Of the device's clock.")
@click.option("--analyser", default="", help="The analyser's id in the agent, for the ledger.")
@click.option("--ledger", type=click.Path(dir_okay=False, path_type=Path), help="Write what was acknowledged here.")
@click.option("--no-resend", is_flag=True, help="Do not come back with what was not taken.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
def send_command(
    device: str,
    to: str,
    count: int,
    results: int | None,
    rate: float,
    seed: int | None,
    samples: tuple[str, ...],
    per_specimen: int,
    frame_size: str | None,
    timezone: str,
    analyser: str,
    ledger: Path | None,
    no_resend: bool,
    as_json: bool,
) -> None:
    """Send made-up results as a device would. Exit 0 only when all of them were acknowledged."""
    try:
        plan = Plan(
            device,
            count=count,
            results=results,
            rate=rate,
            samples=samples,
            per_specimen=per_specimen,
            frame_size=int(frame_size) if frame_size else None,
            clock=clock_in(timezone),
            analyser=analyser,
            resend=not no_resend,
            seed=new_seed() if seed is None else seed,
        )
        with click.progressbar(length=count, label=device, file=sys.stderr, hidden=not sys.stderr.isatty()) as bar:
            report = send(plan, to, ledger=ledger, progress=lambda _: bar.update(1), trouble=_say)
    except SimulatorError as error:
        _fail(error)
    click.echo(json.dumps(_facts(report)) if as_json else _sentence(report))
    sys.exit(0 if report.all_acknowledged else EXIT_FAILED)


def _say(error: SimulatorError) -> None:
    click.echo(f"{error.sentence} {error.action}".rstrip(), err=True)


def _facts(report: SendReport) -> dict[str, object]:
    return {
        "device": report.plan.device,
        "seed": report.plan.seed,
        "transmissions": report.transmissions,
        "transmissions_acknowledged": report.transmissions_acknowledged,
        "results": report.sent,
        "results_acknowledged": report.acknowledged,
        "resends": report.resends,
        "link_losses": report.link_losses,
        "reasons": report.reasons,
        "line": asdict(report.counters),
    }


def _sentence(report: SendReport) -> str:
    said = (
        f"{report.plan.device} (seed {report.plan.seed}): {report.transmissions} transmissions with {report.sent} "
        f"results sent, {report.acknowledged} results acknowledged, {report.resends} resent."
    )
    return said if report.all_acknowledged else f"{said} Not everything was taken: {' '.join(report.reasons)}"


@main.command("replay")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--to", required=True, help="As for send.")
@click.option("--wait-ack/--raw", default=True, show_default=True, help="Wait for answers, or write the bytes blindly.")
@click.option("--patience", type=NOT_NEGATIVE, default=15.0, show_default=True, help="Seconds to wait for an answer.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
def replay_command(file: Path, to: str, wait_ack: bool, patience: float, as_json: bool) -> None:
    """Send a recorded stream again, byte for byte."""
    try:
        report = replay(file.read_bytes(), to, wait_ack=wait_ack, patience=patience)
    except SimulatorError as error:
        _fail(error)
    facts = {**asdict(report), "answers": report.answers.decode("latin-1")}
    click.echo(
        json.dumps(facts)
        if as_json
        else f"{report.bytes_sent} bytes sent: {report.acknowledged} answers ACK, {report.refused} NAK, "
        f"{report.unanswered} silences."
    )
    sys.exit(EXIT_FAILED if wait_ack and report.unanswered else 0)


@main.command("central")
@click.option("--url", required=True, help="mqtt://host:port or mqtts://host:port")
@click.option("--consumer", default="ivd", show_default=True, help="The consumer's name: who acknowledges.")
@click.option("--instance", default="central-1", show_default=True, help="This instance's name in its STATE topic.")
@click.option("--prefix", default="ivd/v1", show_default=True)
@click.option("--ledger", type=click.Path(dir_okay=False, path_type=Path), help="Keep what was received here.")
@click.option("--answer", type=click.Choice(["AA", "AE", "AR", "CA", "none"]), default="AA", show_default=True)
@click.option("--validate", type=click.Choice(["all", "sample", "none"]), default="sample", show_default=True)
@click.option("--reconcile", is_flag=True, help="Compare manifests with the ledger, and ask for what is missing.")
@click.option("--ca-file", type=click.Path(exists=True, dir_okay=False))
@click.option("--cert-file", type=click.Path(exists=True, dir_okay=False))
@click.option("--key-file", type=click.Path(exists=True, dir_okay=False))
@click.option("--username")
@click.option("--password-file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def central_command(password_file: Path | None, **options: Any) -> None:
    """Stand in for the management system: validate, file once, acknowledge. Ends on Ctrl-C."""
    from simulators.central import Central, CentralOptions  # hl7apy takes a while to load; `send` does without

    password = password_file.read_text("utf-8").strip() if password_file else None
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    try:
        system = Central(CentralOptions(password=password, **options))
        system.start()
    except SimulatorError as error:
        _fail(error)
    click.echo("ready", err=True)
    while not stopped.wait(1.0):
        if sys.stderr.isatty():
            totals = system.ledger.totals()
            click.echo(f"\r{totals['filed_results']} results filed, {totals['retries']} retries", nl=False, err=True)
    system.stop()
    totals = system.validate_rest() if options["validate"] == "all" else system.ledger.totals()
    click.echo(json.dumps(totals))
    system.close_ledger()


@main.command("fleet")
@click.option("--url", required=True, help="mqtt://host:port")
@click.option("--gateways", type=AT_LEAST_ONE, default=1000, show_default=True)
@click.option("--first", type=click.IntRange(min=0), default=0, show_default=True, help="The first gateway's number.")
@click.option("--site", default="fleet-01", show_default=True)
@click.option("--prefix", default="ivd/v1", show_default=True)
@click.option("--consumer", default="ivd", show_default=True, help="Who acknowledges.")
@click.option("--keepalive", type=AT_LEAST_ONE, default=30, show_default=True, help="Seconds.")
@click.option("--will-delay", type=click.IntRange(min=0), default=10, show_default=True, help="Seconds.")
@click.option(
    "--ack-timeout", type=NOT_NEGATIVE, default=60.0, show_default=True, help="Seconds until a result is sent again."
)
@click.option(
    "--patience", type=NOT_NEGATIVE, default=300.0, show_default=True, help="Seconds until all must be filed."
)
@click.option("--stay", is_flag=True, help="Stay present until Ctrl-C.")
def fleet_command(url: str, stay: bool, patience: float, **options: Any) -> None:
    """Many gateways at one broker: each is present, and has one result filed. Exit 0 only when all were."""
    import asyncio

    from simulators.fleet import FleetReport, run
    from simulators.fleet_gateway import FleetOptions

    async def all_of_it() -> FleetReport:
        leave = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, leave.set)
        made = FleetOptions.of(url, **options)
        return await run(made, patience, stay=stay, leave=leave, say=lambda word: click.echo(word, err=True))

    try:
        report = asyncio.run(all_of_it())
    except SimulatorError as error:
        _fail(error)
    click.echo(json.dumps({**asdict(report), "whole": report.whole}))
    sys.exit(0 if report.whole else EXIT_FAILED)


@main.command("forget")
@click.option("--ledger", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--count", type=AT_LEAST_ONE, required=True, help="How many of the newest filings.")
def forget_command(ledger: Path, count: int) -> None:
    """Make a management system as if it was restored from a backup, also while it runs."""
    from simulators.central_ledger import CentralLedger

    try:
        book = CentralLedger(ledger)
        gone = book.forget(count)
    except SimulatorError as error:
        _fail(error)
    book.close()
    click.echo(f"{len(gone)} filings forgotten.")


@main.command("filed")
@click.option("--ledger", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def filed_command(ledger: Path, as_json: bool) -> None:
    """What was filed? Asks a management system's ledger, also while it runs."""
    from simulators.central_ledger import CentralLedger

    try:
        book = CentralLedger(ledger, read_only=True)
        totals, filed = book.totals(), list(book.filings(filed_only=True))
    except SimulatorError as error:
        _fail(error)
    book.close()
    rows = [{"msh10": f.msh10, "analyser": f.analyser, "route": f.route, **asdict(f.observation)} for f in filed]
    if as_json:
        click.echo(json.dumps({"totals": totals, "filed": rows}, ensure_ascii=False))
        return
    columns = ("msh10", "analyser", "specimen", "code", "value", "unit", "flags", "status", "time")
    click.echo(table(columns, [[_cell(row[c]) for c in columns] for row in rows]))
    click.echo(
        f"{totals['filed_results']} results filed in {totals['filed_messages']} messages, {totals['retries']} retries."
    )


def _cell(value: object) -> str:
    return "~".join(value) if isinstance(value, tuple) else str(value)


def _fail(error: SimulatorError) -> NoReturn:
    click.echo(f"{error.sentence} [{error.code}] {error.action}".rstrip(), err=True)
    sys.exit(EXIT_FAILED)


if __name__ == "__main__":
    main()
