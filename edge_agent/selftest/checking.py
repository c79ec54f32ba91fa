"""What the store has against what was acknowledged: the other side of the comparison.

Promised: every frame that was acknowledged is looked for byte by byte in the one transmission it belongs to; everything
that is there and should not be is counted too; every result of a message acknowledged to its end is looked for in the
outbox, once, with its text, on its specimen, in a message whose digest fits. The messages are taken apart here with
``split``, not by what wrote them.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby, zip_longest
from operator import itemgetter
from typing import Any

from edge_agent.selftest.ledger import Attempt, Ledger
from edge_agent.states import TransmissionState
from edge_agent.store.store import Store


@dataclass(slots=True)
class Findings:
    """Frames and results together. ``broken``: what a store may never be, a sentence each."""

    lost: int = 0
    altered: int = 0
    doubled: int = 0
    misplaced: int = 0
    broken: list[str] = field(default_factory=list)
    frames: int = 0  # found as they should be
    results: int = 0

    @property
    def flawless(self) -> bool:
        return not (self.lost or self.altered or self.doubled or self.misplaced or self.broken)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def check(store: Store, ledger: Ledger) -> Findings:
    """Of a store in which everything that ended is converted."""
    findings = Findings()
    _frames(store, ledger, findings)
    _results(store, ledger, findings)
    changed = store.verification().run()
    if changed is not None:
        findings.broken.append(changed.sentence)
    if store.former is not None:
        findings.broken.append(f"The store took itself for another one: {store.former.reason}.")
    return findings


# frames


def _frames(store: Store, ledger: Ledger, findings: Findings) -> None:
    waiting = [attempt for attempt in ledger.attempts if attempt.sent]
    rows = store.database.rows(
        "SELECT t.id, t.state, c.raw FROM transmission t JOIN chunk c ON c.transmission = t.id"
        " WHERE c.kind = 'frame' ORDER BY t.id, c.position"
    )
    for _, group in groupby(rows, key=itemgetter(0)):
        (_, state, _), *_ = found = list(group)
        raw = [row[2] for row in found]
        attempt = _whose(raw, waiting)
        if attempt is not None:
            waiting.remove(attempt)
            _compare(attempt, raw, TransmissionState(state), findings)
        elif any(_whose(raw, [other]) for other in ledger.attempts):
            findings.doubled += len(raw)
        else:
            findings.misplaced += len(raw)
    findings.lost += sum(attempt.acknowledged for attempt in waiting)


def _whose(raw: Sequence[bytes], attempts: Sequence[Attempt]) -> Attempt | None:
    """By its header, which no two attempts share; where that was changed, by most of what follows."""
    for attempt in attempts:
        if attempt.frames[0] == raw[0]:
            return attempt
    alike = max(attempts, key=lambda attempt: _equal(attempt, raw), default=None)
    return alike if alike is not None and _equal(alike, raw) else None


def _equal(attempt: Attempt, raw: Sequence[bytes]) -> int:
    return sum(map(bytes.__eq__, attempt.frames[1:], raw[1:]))


def _compare(attempt: Attempt, raw: Sequence[bytes], state: TransmissionState, findings: Findings) -> None:
    for number, (sent, found) in enumerate(zip_longest(attempt.frames[: attempt.sent], raw)):
        if found is None:
            findings.lost += number < attempt.acknowledged
        elif found == sent:
            findings.frames += 1
        elif found in attempt.frames:
            findings.doubled += 1
        elif sent is None:
            findings.misplaced += 1
        else:
            findings.altered += 1
    whole = len(raw) >= len(attempt.frames)
    if whole is not (state is TransmissionState.COMPLETE):
        findings.broken.append(f"A transmission with {len(raw)} of {len(attempt.frames)} frames is {state}.")


# results


def _results(store: Store, ledger: Ledger, findings: Findings) -> None:
    known, seen = ledger.known(), Counter[tuple[str, str]]()
    for payload, digest in store.database.rows("SELECT payload, digest FROM message"):
        findings.altered += hashlib.sha256(payload).hexdigest() != digest
        for key, value in _observations(payload.decode()):
            seen[key] += 1
            if key not in known:
                findings.misplaced += 1
            elif known[key] != value:
                findings.altered += 1
            elif seen[key] == 1:
                findings.results += 1
    findings.doubled += sum(count - 1 for count in seen.values())
    findings.lost += sum(key not in seen for key in ledger.owed())


def _observations(payload: str) -> Iterator[tuple[tuple[str, str], str]]:
    """((SPM-2, OBX-3.1), OBX-5): one specimen a message, before its results in an OUL, behind them in an ORU."""
    segments = [line.split("|") for line in payload.split("\r")]
    specimen = next((fields[2] for fields in segments if fields[0] == "SPM"), "")
    for fields in segments:
        if fields[0] == "OBX":
            yield (specimen, fields[3].split("^")[0]), fields[5]
