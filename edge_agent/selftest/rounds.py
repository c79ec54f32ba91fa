"""Kill after kill on one store: what was acknowledged is counted, what is there afterwards is compared.

Promised: every kill is a SIGKILL at a moment drawn from the seed: on the way from a frame's last byte to its ACK, at
any time while results flow, or while the agent starts on what the kill before it left. What the analyser did not get
acknowledged to the end it sends again, as a real one does. A store lives for many kills; at its end one life without
a kill takes what is left, and everything is compared once more. Not promised: the same interleaving for the same
seed; moments are counted by the clock.
"""

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from random import Random
from socket import socket
from statistics import median

from edge_agent.selftest.analyser import Analyser, LineEndedError, Moment, MomentError
from edge_agent.selftest.checking import Findings
from edge_agent.selftest.child import Child
from edge_agent.selftest.ledger import Ledger
from edge_agent.selftest.messages import Message, messages
from edge_agent.selftest.receiving import Receiving, Report

STORE_LIVES = 100  # kills
START_S = 120.0  # to open, read the log, check, and convert what is left
_AT_THE_ACK, _WHILE_STARTING = 0.55, 0.15  # of all kills; the others are at any time
_USUAL_ACKS = 50

MakeReceiving = Callable[[Path], Receiving]


@dataclass(slots=True)
class Tally:
    kills: int = 0
    at_the_ack: int = 0
    while_starting: int = 0
    acknowledged: int = 0  # frames
    results: int = 0  # acknowledged to the end of their message
    messages: int = 0
    stores: int = 0
    refused: int = 0
    unanswered: int = 0
    ack_s: list[float] = field(default_factory=list)
    findings: Findings = field(default_factory=Findings)
    settings: Mapping[str, str] = field(default_factory=dict)


class StoreLife:
    """One store from its making to its last check."""

    def __init__(self, make: MakeReceiving, folder: Path, rng: Random) -> None:
        self.ledger = Ledger()
        self.findings = Findings()
        self.settings: Mapping[str, str] = {}
        self.make = make  # each life anew
        self._folder = folder
        self._rng = rng
        self._messages = messages(rng)
        self._ready_s = 0.1
        self._pending: Message | None = None

    def kill(self, aim: str) -> None:
        """One life of the agent, ended by a kill; ``findings`` are what it found of the lives before."""
        if aim == "start":
            self._live(lambda: self._moment("any"), self._rng.uniform(0.0, self._ready_s * 1.1), may_be_early=True)
        else:
            self._live(lambda: self._moment(aim))

    def kill_at(self, moment: Moment) -> None:
        self._live(lambda: moment)

    def _live(self, moment: Callable[[], Moment], patience_s: float = START_S, *, may_be_early: bool = False) -> None:
        child = Child.start(self._body)
        try:
            if self._ready(child, patience_s, may_be_early=may_be_early):
                analyser = Analyser(child.line, self.ledger, moment())
                self._speak(analyser, child, None)
                child.kill()
                analyser.hear_the_rest()
                self._keep_pending()
        finally:
            child.close()

    def live_on(self, count: int = 2) -> None:
        """One life without a kill: what is pending, and new messages, ``count`` in all."""
        child = Child.start(self._body)
        try:
            if self._ready(child, START_S):
                self._speak(Analyser(child.line, self.ledger, Moment()), child, count)
                child.line.close()
                if child.wait():
                    self.findings.broken.append("The receiving process did not end by itself as it should.")
        finally:
            child.close()

    def look(self) -> Findings:
        """Compare once more, in a life that takes nothing."""
        self.live_on(count=0)
        return self.findings

    def _body(self, line: socket, report: Report) -> None:
        self.make(self._folder).run(line, self.ledger, report)

    def _ready(self, child: Child, patience_s: float, *, may_be_early: bool = False) -> bool:
        began = time.monotonic()
        report = child.report(patience_s)
        if report is None and may_be_early and not child.ended():
            return False
        if report is None or "error" in report:
            why = "it says nothing" if report is None else report["error"]
            self.findings.broken.append(f"The agent did not start on the store: {why}")
            return False
        self._ready_s = time.monotonic() - began
        self.findings, self.settings = Findings(**report["findings"]), report["settings"]
        return True

    def _moment(self, aim: str) -> Moment:
        usual = median(self.ledger.ack_s[-_USUAL_ACKS:] or [0.002])
        if aim == "ack":
            return Moment(frame=self._rng.randint(1, 40), wait_s=self._rng.uniform(0.0, 1.5 * usual))
        return Moment(at=time.monotonic() + self._rng.uniform(0.0, max(0.25, 20 * usual)))

    def _speak(self, analyser: Analyser, child: Child, count: int | None) -> None:
        try:
            analyser.send(islice(self._to_send(), count))
        except MomentError:
            return
        except LineEndedError:
            if child.ended():
                self.findings.broken.append("The receiving process ended by itself.")
        self._keep_pending()

    def _to_send(self) -> Iterator[Message]:
        if self._pending is not None:
            yield self._pending
        while True:  # `yield from` would end the source with this generator
            yield next(self._messages)

    def _keep_pending(self) -> None:
        last = self.ledger.attempts[-1] if self.ledger.attempts else None
        self._pending = last.message if last is not None and not last.complete else None


class Rounds:
    def __init__(self, folder: Path, make: MakeReceiving, rng: Random, told: Callable[[int], None]) -> None:
        """``told`` hears each kill's number before it, and may raise to stop."""
        self._folder = folder
        self._make = make
        self._rng = rng
        self._told = told

    def run(self, count: int) -> Tally:
        """Ends at the first finding; the store it was found in stays."""
        tally = Tally()
        while tally.kills < count and tally.findings.flawless:
            self._one_store(tally, count)
        return tally

    def _one_store(self, tally: Tally, count: int) -> None:
        tally.stores += 1
        folder = self._folder / f"store-{tally.stores}"
        life = StoreLife(self._make, folder, self._rng)
        for _ in range(min(STORE_LIVES, count - tally.kills)):
            self._told(tally.kills)
            aim = self._aim(tally)
            life.kill(aim)
            tally.kills += 1
            if not life.findings.flawless:
                break
        else:
            life.live_on()
            life.look()
        _add(tally, life)
        if life.findings.flawless and tally.kills < count:
            shutil.rmtree(folder)

    def _aim(self, tally: Tally) -> str:
        drawn = self._rng.random()
        if drawn < _AT_THE_ACK:
            tally.at_the_ack += 1
            return "ack"
        if drawn < _AT_THE_ACK + _WHILE_STARTING:
            tally.while_starting += 1
            return "start"
        return "any"


def _add(tally: Tally, life: StoreLife) -> None:
    ledger, findings = life.ledger, life.findings
    tally.acknowledged += ledger.acknowledged
    tally.results += len(ledger.owed())
    tally.messages += len({a.message.number for a in ledger.attempts if a.complete})
    tally.refused += ledger.refused
    tally.unanswered += ledger.unanswered
    tally.ack_s += ledger.ack_s
    tally.settings = life.settings
    for name in ("lost", "altered", "doubled", "misplaced", "frames", "results"):
        setattr(tally.findings, name, getattr(tally.findings, name) + getattr(findings, name))
    tally.findings.broken += findings.broken
