"""`make demo`: a laboratory on this machine. Three unlike analysers send results; the agent keeps and delivers them; a
management system files each. Ends with a table; exit 0 only when every result was filed, once and unaltered.

Everything runs on loopback with free ports in a folder of its own, which is removed at the end.
"""

import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import click

from simulators.analyser import Plan, SendReport, send
from simulators.central import Central, CentralOptions
from simulators.demo_lab import Bench, Lab, free_port, tail
from simulators.demo_show import side_by_side, summary
from simulators.devices import device
from simulators.er7 import Observation
from simulators.errors import SimulatorError
from simulators.generate import Generator
from simulators.oracle import Verdict, compare
from simulators.serial_line import SerialLine
from simulators.shapes import shapes

PATIENCE_S = 80.0
EVERY_S = 3.0
SEED = 2026


class Demo:
    """Starts from the consumer's end and stops from the producer's."""

    def __init__(self, folder: Path, broker: str = "auto") -> None:
        self._lab = Lab(folder, broker)
        self._serial = SerialLine(9600)
        self._benches = _benches(self._serial)
        self._reports: dict[str, SendReport] = {}
        self._errors: list[SimulatorError] = []
        self._stop = threading.Event()
        self._central: Central | None = None
        self._started = time.monotonic()

    def run(self, keep: bool) -> bool:
        try:
            central = self._start()
            flawless = self._watch(central)
            if keep:
                self._wait_for_the_visitor()
            return flawless
        finally:
            self._end()

    def _start(self) -> Central:
        broker = self._lab.start_broker()
        click.echo(f"broker             {broker} on 127.0.0.1:{self._lab.broker_port}")
        central = Central(
            CentralOptions(f"mqtt://127.0.0.1:{self._lab.broker_port}", ledger=self._lab.folder / "ivd.db")
        )
        self._central = central
        central.start()
        click.echo("management system  files each message once and acknowledges it in HL7")
        self._serial.start()
        self._lab.start_agent(self._benches)
        click.echo("edge agent         stores every frame before it acknowledges it")
        for bench in self._benches:
            click.echo(f"analyser {bench.id:<9} {bench.device}, {bench.line}: {bench.results} results")
        return central

    def _watch(self, central: Central) -> bool:
        threads = [threading.Thread(target=self._send, args=(bench,), daemon=True) for bench in self._benches]
        for thread in threads:
            thread.start()
        total = sum(bench.results for bench in self._benches)
        self._follow(central, threads, total)
        verdict = compare([row for report in self._reports.values() for row in report.rows], central.ledger.filings())
        self._show(central, verdict, total)
        return verdict.flawless and verdict.filed.total() == total

    def _send(self, bench: Bench) -> None:
        plan = Plan(
            bench.device,
            count=10_000,
            results=bench.results,
            seed=SEED,
            samples=bench.samples,
            analyser=bench.id,
            give_up_s=PATIENCE_S,
        )
        try:
            send(plan, bench.analyser_side, progress=lambda r: self._note(bench, r), stop=self._stop)
        except SimulatorError as error:
            self._errors.append(error)

    def _note(self, bench: Bench, report: SendReport) -> None:
        self._reports[bench.id] = report

    def _follow(self, central: Central, threads: Sequence[threading.Thread], total: int) -> None:
        """Until everything is sent and filed, or there is no hope."""
        shown = 0.0
        deadline = self._started + PATIENCE_S
        filed = -1
        while filed < total and time.monotonic() < deadline and not self._errors:
            filed = central.ledger.totals()["filed_results"]
            if filed >= total or sys.stdout.isatty() or time.monotonic() - shown > EVERY_S:
                shown = time.monotonic()
                self._progress(filed, total)
            time.sleep(0.2)
        if sys.stdout.isatty():
            click.echo()
        self._stop.set()
        for thread in threads:
            thread.join(5)
        if self._errors:
            raise self._errors[0]

    def _progress(self, filed: int, total: int) -> None:
        parts = [
            f"{bench.id} {self._reports[bench.id].acknowledged if bench.id in self._reports else 0}/{bench.results}"
            for bench in self._benches
        ]
        line = f"acknowledged: {', '.join(parts)}; filed: {filed}/{total}"
        if sys.stdout.isatty():
            line = "\r" + line[: shutil.get_terminal_size().columns - 1]  # a line that wraps could not be written over
        click.echo(line, nl=not sys.stdout.isatty())

    def _show(self, central: Central, verdict: Verdict, total: int) -> None:
        example = self._example(central)
        if example:
            click.echo(f"\n{example}\n")
        rows: list[list[object]] = []
        for bench in self._benches:
            report = self._reports.get(bench.id)
            sent, safe = (report.sent, report.acknowledged) if report else (0, 0)
            filed, messages = verdict.filed[bench.id], verdict.messages[bench.id]
            rows.append([bench.id, bench.device, bench.line, sent, safe, filed, messages])
        click.echo(summary(rows))
        seconds = time.monotonic() - self._started
        click.echo(f"\n{verdict.filed.total()} of {total} results filed in {seconds:.0f} s.")
        if not verdict.flawless:
            click.echo(verdict.table())
            click.echo(f"\nThe agent's last words:\n{tail(self._lab.agent_log)}")

    def _example(self, central: Central) -> str:
        """The shortest filed message with more than one number in it, beside its records."""
        filings = list(central.ledger.filings(filed_only=True))
        sizes = Counter(f.msh10 for f in filings)
        numbers = Counter(f.msh10 for f in filings if f.route == "result" and _is_number(f.observation))
        for filing in sorted(filings, key=lambda f: (numbers[f.msh10] < 2, sizes[f.msh10])):
            bench = next((b for b in self._benches if b.id == filing.analyser), None)
            payload = central.ledger.payload(filing.msh10)
            if bench is None or payload is None or bench.id not in self._reports:
                continue
            row = next((r for r in self._reports[bench.id].rows if r.specimen == filing.observation.specimen), None)
            if row is None:
                continue
            generator = Generator(bench.device, shapes(device(bench.device), bench.samples), SEED)
            return side_by_side(generator.transmission(row.message_no), payload)
        return ""

    def _wait_for_the_visitor(self) -> None:
        click.echo("\nEverything keeps running. In this folder, in another terminal, for example:")
        click.echo("  " + " ".join(self._lab.command("status")))
        click.echo("Ctrl-C ends it.")
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            click.echo()

    def _end(self) -> None:
        self._stop.set()
        self._lab.stop_agent()
        if self._central is not None:
            self._central.stop()
            self._central.close_ledger()
        self._lab.stop()
        self._serial.stop()


def _is_number(observation: Observation) -> bool:
    return observation.type in ("NM", "SN") and not observation.supplemental


def _benches(serial: SerialLine) -> list[Bench]:
    """Unlike in every way: a slow serial line, 240-byte frames cut anywhere, 30 KB frames with curves and controls."""
    cepheid, horiba = free_port(), free_port()
    return [
        Bench(
            id="xn1",
            device="sysmex_xn",
            line="serial, 9600 baud",
            agent_side=f"serial://{serial.agent_end}?baudrate=9600",
            analyser_side=f"serial://{serial.analyser_end}?baudrate=9600",
            samples=("cbc_one_frame", "cbc_frames_of_240", "control_run"),
            results=120,
        ),
        Bench(
            id="gx1",
            device="cepheid_genexpert",
            line="TCP",
            agent_side=f"tcp-server://127.0.0.1:{cepheid}",
            analyser_side=f"tcp://127.0.0.1:{cepheid}",
            samples=(),
            results=60,
        ),
        Bench(
            id="yu1",
            device="horiba_yumizen",
            line="TCP",
            agent_side=f"tcp-server://127.0.0.1:{horiba}",
            analyser_side=f"tcp://127.0.0.1:{horiba}",
            samples=(),
            results=120,
        ),
    ]


@click.command()
@click.option("--keep", is_flag=True, help="Leave everything running until Ctrl-C.")
@click.option(
    "--broker",
    type=click.Choice(["auto", "embedded"]),
    default="auto",
    show_default=True,
    help="auto: Mosquitto where it is installed; embedded: the demonstration broker in any case.",
)
def main(keep: bool, broker: str) -> None:
    """Show results travelling from three analysers to a management system that files them."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ended either way, everything started is ended too
    folder = Path(tempfile.mkdtemp(prefix="edge-demo-"))
    try:
        sys.exit(0 if Demo(folder, broker).run(keep) else 1)
    except SimulatorError as error:
        click.echo(f"{error.sentence} [{error.code}] {error.action}".rstrip(), err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
