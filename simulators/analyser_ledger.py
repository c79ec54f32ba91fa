"""What an analyser may believe: a file of JSON lines, each synced to disk before it counts.

A row is one observation of one transmission. ``complete`` is true when the receiver acknowledged both the frame that
carried it and the frame of the L record: such a result must be filed. Rows of a transmission that broke off are
written with ``complete`` false (``acked_at`` empty where not even the frame was acknowledged): they may be filed, and
if they are, they must be right.
"""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from simulators.errors import LedgerError
from simulators.generate import Sent, Transmission


@dataclass(frozen=True, slots=True)
class Row:
    """Texts as the analyser sent them. ``run`` and ``time`` are None where the device's document does not tell."""

    device: str
    analyser: str
    specimen: str
    patient: str
    role: str
    code: str
    component: str
    value: str
    unit: str
    flags: tuple[str, ...]
    status: str
    run: str | None
    time: str | None
    acked_at: str
    message_no: int
    attempt: int  # from 0: how often the whole transmission had been sent before
    complete: bool


class AnalyserLedger:
    """Append only. Without a path the rows are kept in memory."""

    def __init__(self, path: Path | None = None) -> None:
        self.rows: list[Row] = []
        try:
            self._file = path.open("a", encoding="utf-8") if path else None
        except OSError as error:
            raise LedgerError(f"The ledger cannot be written: {error.strerror}.", "Choose another file.") from error

    def write(self, rows: Sequence[Row]) -> None:
        self.rows += rows
        if self._file is None:
            return
        for row in rows:
            self._file.write(json.dumps(asdict(row), ensure_ascii=False) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def rows_of(
    transmission: Transmission, device: str, analyser: str, delivered: int, complete: bool, attempt: int = 0
) -> list[Row]:
    """One row per observation; ``delivered`` is how many bytes of the message were acknowledged."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    return [
        Row(
            device=device,
            analyser=analyser,
            acked_at=now if sent.ends_at <= delivered else "",
            message_no=transmission.number,
            attempt=attempt,
            complete=complete,
            **_of(sent),
        )
        for sent in transmission.observations
    ]


def _of(sent: Sent) -> dict[str, Any]:
    facts = asdict(sent)
    del facts["ends_at"]
    return facts


def read(path: Path) -> Iterator[Row]:
    """The rows of a ledger file; a last line cut off by a crash was never counted and is left out."""
    try:
        lines = path.read_text("utf-8").split("\n")
    except OSError as error:
        raise LedgerError(f"The ledger cannot be read: {error.strerror}.", "Check the file's name.") from error
    for line in lines[:-1]:
        facts = json.loads(line)
        facts["flags"] = tuple(facts["flags"])
        yield Row(**facts)
