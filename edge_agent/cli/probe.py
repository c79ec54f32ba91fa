"""`test ANALYSER`: whether an analyser's line works. The one command besides `run` that opens a port."""

import asyncio
import contextlib
import json
import signal
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import SystemRandom
from typing import Any

import click

from drivers.errors import ProfileError
from drivers.sdk import Device, load
from edge_agent.cli.completion import analysers
from edge_agent.cli.options import config_path, reading
from edge_agent.clock import SystemClock
from edge_agent.configuration.file import resolve
from edge_agent.configuration.preflight import loaded
from edge_agent.control import ask
from edge_agent.errors import AgentError, ConfigurationError, NotRunningError, Problem
from edge_agent.probe.hearing import Finding
from edge_agent.probe.listening import Probe, instead_of_an_agent, known_profiles
from edge_agent.settings import AnalyserTable, Settings

EVERY_S = 1.0


class Report:
    """What was found, said as it comes or, for programs, at the end."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._found: list[dict[str, str]] = []

    def say(self, port: str, finding: Finding) -> None:
        self._found.append({"port": port, "code": finding.code, "sentence": finding.sentence, "action": finding.action})
        if not self._as_json:
            click.echo(f"{time.strftime('%H:%M:%S')}  {port}  {finding.sentence}")
            if finding.action:
                click.echo(f"          {finding.action}")

    def end(self, analyser: str, verdict: str, *, ok: bool, heard_by: str) -> None:
        if self._as_json:
            facts = {"analyser": analyser, "heard_by": heard_by, "ok": ok, "findings": self._found}
            click.echo(json.dumps(facts, ensure_ascii=False, indent=2))
        else:
            click.echo(f"{analyser}: {verdict}")
        if not ok:
            raise SystemExit(1)


@click.command("test")
@click.argument("analyser", metavar="ANALYSER", shell_complete=analysers)
@click.option(
    "--seconds", type=click.IntRange(1, 86_400), default=30, show_default=True, help="How long to listen; Ctrl-C ends."
)
@reading
def probe(config_: Path | None, as_json: bool, analyser: str, seconds: int) -> None:
    """Say what comes from an analyser: asks the running agent, or opens the port itself. Acknowledges nothing."""
    path = config_path(config_)
    settings = loaded(path)
    table = _analyser(settings, analyser)
    report = Report(as_json=as_json)
    try:
        ok = _asked(resolve(path, settings.agent.data_dir), analyser, seconds, report)
    except NotRunningError:
        ok = _heard(path, settings, table, seconds, report)
        verdict = "its line works." if ok else "nothing came that could be understood."
        report.end(analyser, verdict, ok=ok, heard_by="test")
    else:
        verdict = "the agent has its port open." if ok else "the agent cannot have its port."
        report.end(analyser, verdict, ok=ok, heard_by="agent")


def _analyser(settings: Settings, name: str) -> AnalyserTable:
    for table in settings.analyser:
        if table.id == name:
            return table
    known = ", ".join(table.id for table in settings.analyser)
    raise click.UsageError(f"No analyser is called {name}; there {f'are {known}' if known else 'is none'}.")


# The port itself


def _heard(path: Path, settings: Settings, table: AnalyserTable, seconds: int, report: Report) -> bool:
    folder = resolve(path, settings.drivers.devices_dir)
    device = _device(path, table, folder)
    probe = Probe(table, device, lambda: known_profiles(folder), SystemClock(), SystemRandom(), report.say)
    with instead_of_an_agent(resolve(path, settings.agent.data_dir)):
        return asyncio.run(_for(probe, seconds))


def _device(path: Path, table: AnalyserTable, folder: Path) -> Device:
    """Other mistakes, such as a certificate that is still to come, are no reason not to look at a cable."""
    try:
        return load(table.profile, folder)
    except ProfileError as error:
        key = f"analyser.{table.id}.profile"
        raise ConfigurationError([Problem(path, 0, key, problem) for problem in error.problems]) from error


async def _for(probe: Probe, seconds: int) -> bool:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.call_later(seconds, stop.set)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    return await probe.run(stop)


# The running agent


def _asked(data_dir: Path, analyser: str, seconds: int, report: Report) -> bool:
    """Raises NotRunningError only before anything was said."""
    links = _links(data_dir, analyser)
    end = time.monotonic() + seconds
    told: set[tuple[str, str]] = set()
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            for link in links:
                for finding in agent_findings(link):
                    if (finding.code, finding.sentence) not in told:
                        told.add((finding.code, finding.sentence))
                        report.say("agent", finding)
            if time.monotonic() >= end:
                break
            time.sleep(min(EVERY_S, max(0.0, end - time.monotonic())))
            links = _again(data_dir, analyser)
    return all(link["up"] for link in links)


def _links(data_dir: Path, analyser: str) -> list[Mapping[str, Any]]:
    found = [link for link in ask(data_dir, "status")["analysers"] if link["id"] == analyser]
    if not found:
        raise AgentError(
            f"The running agent does not know {analyser}.",
            code="not-loaded",
            action="It runs with an older configuration: `edge-agent reload`, then test again.",
        )
    return found


def _again(data_dir: Path, analyser: str) -> list[Mapping[str, Any]]:
    try:
        return _links(data_dir, analyser)
    except NotRunningError:
        raise AgentError("The agent stopped meanwhile.", code="no-answer", action="Test again.") from None


def agent_findings(link: Mapping[str, Any]) -> Iterator[Finding]:
    """What the agent has seen of one port, in sentences."""
    if not link["up"]:
        yield Finding("down", link["reason"], "Check the cable, the analyser and transport in the configuration.")
        return
    yield Finding("open", f"The port is open since {link['since']}.")
    connections = ", ".join(link["connections"])
    yield Finding("connected", f"Connected: {connections}." if connections else "Nobody is connected just now.")
    if not link["last_byte"]:
        yield Finding("silent", "Nothing came since the agent started.", "Have the analyser send a result.")
        return
    yield Finding("bytes", f"The last byte came at {link['last_byte']}.")
    if link.get("asked"):
        yield Finding("asked", f"It last began to send at {link['asked']}.")
    if link["last_result"]:
        yield Finding("message", f"The last complete message came at {link['last_result']}.")
    if link.get("refused_for"):
        yield Finding(
            "refused",
            f"Frames refused since the agent started: {link['refused_frames']}; {link['refused_for']}.",
            "Look at the cable; if the analyser works that way, stop the agent and test again: it finds the dialect.",
        )
    if link.get("unframed_bytes"):
        yield Finding(
            "unframed",
            f"Bytes outside any frame since the agent started: {link['unframed_bytes']}.",
            "Compare baud rate, data bits and parity with the analyser's menu; stop the agent and test again for more.",
        )
