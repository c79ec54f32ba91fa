"""The verdict of a self-test, as a laboratory files it and as a program reads it.

Promised: every figure was counted or measured in this run; a test that could not have found a fault says so and has not
passed; what the test cannot show stands in it. It holds no patient data, no address and no serial number.
"""

import hashlib
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from edge_agent.selftest.analyser import REPLY_S
from edge_agent.selftest.controls import Control
from edge_agent.selftest.machine import Machine
from edge_agent.selftest.medium import Device, Spread
from edge_agent.selftest.rounds import Tally
from edge_agent.store.directory import Mount
from edge_agent.times import rfc3339, shown

FASTEST_S = 10e-6  # no medium takes a block in less; the call alone takes about as long
ROTATION_S = 1e-3  # a turning disk needs milliseconds to come round
_KINDS = ("lost", "altered", "doubled", "misplaced")
_WANTED = {"journal_mode": "wal", "synchronous": "2", "locking_mode": "exclusive"}
_SHOWN_BROKEN = 5
_WIDTH = 100

NOT_SHOWN = (
    "a power cut: a kill takes the program away and leaves the kernel, which still writes what it was given",
    "a disk or controller that reports a flush as done before it is: only cutting the power shows that",
    "the line to a real analyser, the broker and the management system: verify those with the analyser's own "
    "results (`edge-agent trace` shows their way)",
    "that a result is right: it is carried as it was sent",
)


@dataclass(frozen=True, slots=True)
class Statement:
    site: str
    gateway: str
    data_dir: str
    began: datetime
    ended: datetime
    rounds: int  # asked for
    seed: int
    tally: Tally
    controls: Sequence[Control]
    machine: Machine
    mount: Mount
    devices: Sequence[Device]
    flush: Spread
    free_mb: int
    evidence: str = ""  # where the store of a failed test was kept

    @property
    def passed(self) -> bool:
        return not self.failures()

    @property
    def verdict(self) -> str:
        if not self.proves:
            return "FAILED: this test proves nothing"
        if not self.passed:
            return "FAILED"
        return "PASSED, with remarks" if self.remarks() else "PASSED"

    @property
    def proves(self) -> bool:
        """Whether a fault would have been found."""
        tally = self.tally
        worked = not tally.findings.flawless or tally.acknowledged >= tally.kills > 0
        return worked and all(control.found for control in self.controls)

    def failures(self) -> list[str]:
        return [*self._of_the_test(), *self._of_the_store(), *self._of_the_disk()]

    def _of_the_test(self) -> Iterator[str]:
        for control in self.controls:
            if not control.found:
                yield f"A fault made on purpose was not found: {control.fault}."
        if self.tally.findings.flawless and self.tally.acknowledged < self.tally.kills:
            yield f"Only {self.tally.acknowledged} frames were acknowledged in {self.tally.kills} rounds."

    def _of_the_store(self) -> Iterator[str]:
        findings = self.tally.findings
        for kind in _KINDS:
            if count := getattr(findings, kind):
                yield f"{count} {kind}."
        yield from findings.broken[:_SHOWN_BROKEN]
        if self.tally.settings != _WANTED and not findings.broken:
            yield f"The store runs with {self.tally.settings} instead of {_WANTED}."

    def _of_the_disk(self) -> Iterator[str]:
        if self.tally.unanswered:
            yield f"{self.tally.unanswered} frames got no answer within {REPLY_S:g} s: an analyser gives up then."
        if self.flush.p50 < FASTEST_S:
            yield f"A flush takes {self.flush.p50 * 1e6:.1f} us: nothing waits for a medium here."

    def remarks(self) -> list[str]:
        return [*self._remarks_on_disk(), *self._remarks_on_machine()]

    def _remarks_on_disk(self) -> Iterator[str]:
        if not self.devices:
            yield "The kernel names no device under the data directory; nothing is known of its write cache."
        for device in self.devices:
            if device.virtual:
                yield f"{device.name} is a virtual disk: whether a flush reaches a medium is up to its host."
            elif not device.write_cache:
                yield f"Whether {device.name} has a write cache is unknown."
            if device.rotational and not device.virtual and self.flush.p50 < ROTATION_S:
                yield f"{device.name} turns and takes a flush in {self.flush.text}: it may not wait for its medium."
        if self.tally.refused:
            yield f"{self.tally.refused} frames were refused (NAK), as while storage does not work, and sent again."

    def _remarks_on_machine(self) -> Iterator[str]:
        machine = self.machine
        if not machine.clock_trusted or machine.clock_kept is False:
            yield f"The clock of this machine is {machine.clock_text}."
        if machine.program.differences:
            yield f"The program: {machine.program.text}."

    # as a program reads it

    def as_dict(self) -> dict[str, Any]:
        tally, findings = self.tally, self.tally.findings
        return {
            "passed": self.passed,
            "verdict": self.verdict,
            "failures": self.failures(),
            "remarks": self.remarks(),
            "not_shown": list(NOT_SHOWN),
            "site": self.site,
            "gateway": self.gateway,
            "data_dir": self.data_dir,
            "began": rfc3339(self.began),
            "ended": rfc3339(self.ended),
            "rounds": self.rounds,
            "seed": self.seed,
            "kills": tally.kills,
            "kills_at_the_ack": tally.at_the_ack,
            "kills_while_starting": tally.while_starting,
            "acknowledged_frames": tally.acknowledged,
            "acknowledged_messages": tally.messages,
            "acknowledged_results": tally.results,
            "refused": tally.refused,
            "unanswered": tally.unanswered,
            **{kind: getattr(findings, kind) for kind in _KINDS},
            "broken": findings.broken,
            "controls": [asdict(control) for control in self.controls],
            "settings": dict(tally.settings),
            "ack_s": asdict(Spread.of(tally.ack_s)),
            "flush_s": asdict(self.flush),
            "mount": asdict(self.mount),
            "devices": [asdict(device) for device in self.devices],
            "free_mb": self.free_mb,
            "machine": asdict(self.machine),
            "evidence": self.evidence,
            "sha256": digest(self.body()),
        }

    # as a laboratory files it

    def text(self) -> str:
        body = self.body()
        return f"{body}SHA-256 of all lines above: {digest(body)}\n"

    def body(self) -> str:
        lines = [
            "Self-test of an edge agent: is what was acknowledged kept?",
            "",
            f"VERDICT    {self.verdict}",
            *(line for sentence in (*self.failures(), *self.remarks()) for line in _row("", sentence)),
            "",
            *(line for name, value in self._facts() for line in _row(name, value)),
            "",
            "What was done",
            *(line for sentence in self._done() for line in _item(sentence)),
            "",
            "Would a fault have been found? Made on purpose, looked for by the same comparison:",
            *(f"- {control.fault}: {control.said}" for control in self.controls),
            "",
            "What this does not show",
            *(line for sentence in NOT_SHOWN for line in _item(sentence)),
            "",
            "Name, signature, date: ________________________________________________",
            "",
        ]
        return "\n".join(lines) + "\n"

    def _facts(self) -> Iterator[tuple[str, str]]:
        machine = self.machine
        yield "site", f"{self.site}, gateway {self.gateway}, host {machine.host}"
        yield "time", f"{shown(self.began)} to {shown(self.ended)}; clock: {machine.clock_text}"
        yield "repeat by", f"edge-agent selftest --rounds {self.rounds} --seed {self.seed}"
        yield "agent", f"{machine.agent}; {machine.program.text}"
        yield "runs on", f"{machine.system}; {machine.python}"
        yield "SQLite", f"{machine.sqlite}, {machine.sqlite_source}"
        yield "settings", ", ".join(f"{name} {value}" for name, value in self.tally.settings.items()) or "not read"
        yield "data", f"{self.data_dir}, {self.free_mb} MB free"
        yield "on", f"{self.mount.kind or 'unknown'} ({self.mount.options}) of {self.mount.source or 'unknown'}"
        for device in self.devices:
            yield "disk", device.text
        yield "flush", f"{self.flush.count} measured: {self.flush.text}"
        ack = Spread.of(self.tally.ack_s)
        yield "ACK", f"after a frame's last byte: {ack.text}; an analyser waits {REPLY_S:g} s"
        if self.evidence:
            yield "evidence", f"{self.evidence}: keep it, and call support"

    def _done(self) -> Iterator[str]:
        tally, findings = self.tally, self.tally.findings
        yield (
            f"{tally.kills} times the receiving program was killed without warning (SIGKILL) and begun again on the "
            f"same store: {tally.at_the_ack} times between a frame's last byte and its ACK, {tally.while_starting} "
            "times while it started on what the kill before had left, else at any moment."
        )
        yield (
            f"{tally.acknowledged} frames were acknowledged, {tally.messages} messages with {tally.results} results to "
            "their end. Of these " + ", ".join(f"{getattr(findings, kind)} {kind}" for kind in _KINDS) + "."
        )
        if (more := findings.frames - tally.acknowledged) > 0:
            yield f"{more} frames were stored when the kill kept their ACK from being heard; they were sent again."
        if self.passed:
            yield (
                f"None in {tally.kills} kills: with 95 % confidence fewer than {300 / tally.kills:.2g} of 100 kills "
                "lose, alter, double or misplace anything (3/N)."
            )


def _row(name: str, value: str) -> list[str]:
    return textwrap.wrap(value, _WIDTH, initial_indent=f"{name:<11}", subsequent_indent=" " * 11)


def _item(sentence: str) -> list[str]:
    return textwrap.wrap(sentence, _WIDTH, initial_indent="- ", subsequent_indent="  ")


def digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()
