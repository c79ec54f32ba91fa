"""The agent with one protection switched off, for the controls: ``python defective.py DEFECT run --config FILE``.

A count that finds nothing wrong with one of these proves nothing about the real one.
"""

import asyncio
import hashlib
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from end_to_end.lab import ROOT, AgentProcess
from faults.line_defects import LINE_DEFECTS
from paho.mqtt.properties import Properties

from edge_agent.cli.main import main
from edge_agent.clock import SystemClock
from edge_agent.intake import Intake
from edge_agent.publisher import outbox
from edge_agent.publisher.answers import judge
from edge_agent.publisher.link import Link
from edge_agent.session import Session
from edge_agent.states import MessageState
from edge_agent.store import backup, connection
from edge_agent.store.connection import Database, Row, Values
from edge_agent.store.conversion import Conversion
from edge_agent.store.delivery import ACCEPT, REFUSED_FROM, Delivery
from edge_agent.store.errors import StoreError
from edge_agent.store.receipt import Committed, Stored
from edge_agent.store.rows import Chunk, OutboxRow
from edge_agent.store.steady import Steady
from edge_agent.store.store import Store
from edge_agent.store.times import to_us

LAG_S = 0.05


def acknowledge_early() -> None:
    """The ACK goes out before the frame is stored, as after a write that only reached a cache (invariant 1)."""
    keep, turn = Intake.keep, asyncio.Lock()
    begun: set[asyncio.Task[Stored]] = set()

    async def later(self: Intake, chunk: Chunk, end: str | None) -> Stored:
        async with turn:
            await asyncio.sleep(LAG_S)
            return await keep(self, chunk, end)

    async def early(self: Intake, chunk: Chunk, end: str | None) -> Stored:
        begun.add(asyncio.create_task(later(self, chunk, end)))
        return Stored(Committed(0), 0, 1)

    Intake.keep = early  # type: ignore[method-assign]


def forget_identities() -> None:
    """Nothing is recognised as seen before (invariant 3)."""
    Conversion.lookup = lambda self, analyser, keys: {}  # type: ignore[method-assign,assignment]


def file_unanswered() -> None:
    """A message counts as filed once it is taken up to be published (invariant 5)."""
    ready = outbox._ready

    def filed(store: Store, *more: Any) -> outbox.Ready:
        found = ready(store, *more)
        for row in found.rows:
            store.acknowledged(row.id, code=ACCEPT, detail="", consumer="nobody", digest_ok=None)
        return found

    outbox._ready = filed


def overlook_errors() -> None:
    """A frame that could not be stored is acknowledged all the same (invariant 1)."""
    keep = Intake.keep

    async def kept(self: Intake, chunk: Chunk, end: str | None) -> Stored:
        try:
            return await keep(self, chunk, end)
        except StoreError:
            return Stored(Committed(0), 0, 1)

    Intake.keep = kept  # type: ignore[method-assign]
    Session._ready = lambda self: True  # type: ignore[method-assign]


def synchronise_less() -> None:
    """A COMMIT returns before the log is on the disk (invariant 1)."""
    connection._PRAGMAS = tuple(
        ("synchronous", "NORMAL", "1") if name == "synchronous" else (name, value, wanted)
        for name, value, wanted in connection._PRAGMAS
    )
    connection.Database._chosen = lambda self, name, value: value  # type: ignore[method-assign]


def file_by_puback() -> None:
    """The broker's word is taken for the management system's (invariant 6)."""
    puback = Delivery.puback

    def files(self: Delivery, id: str, reason_code: int, detail: str = "") -> MessageState:
        state = puback(self, id, reason_code, detail)
        if reason_code >= REFUSED_FROM:
            return state
        return self.acknowledged(id, code=ACCEPT, detail="", consumer="broker", digest_ok=None)

    Delivery.puback = files  # type: ignore[method-assign]


def ignore_digest() -> None:
    """A confirmation of other bytes than were sent closes a message (invariant 6)."""
    outbox.judge = lambda ack, row, options: judge(replace(ack, digest=None), row, options)


def believe_guesses() -> None:
    """A confirmation of what was never published closes a message (invariant 6)."""
    outbox.judge = lambda ack, row, options: judge(ack, row and replace(row, attempts=max(1, row.attempts)), options)


def rename_retries() -> None:
    """A message goes out under another MSH-10 each time (invariant 7)."""
    publish, tries = Link.publish, Counter[bytes]()

    def renamed(self: Link, topic: str, payload: bytes, properties: Properties | None) -> int | None:
        assert properties is not None
        id_: bytes = properties.CorrelationData
        tries[id_] += 1
        if tries[id_] > 1:
            other = id_.replace(b"-", b"%d" % (tries[id_] % 10))
            payload, properties.CorrelationData = payload.replace(id_, other), other
            digest = hashlib.sha256(payload).hexdigest()
            pairs = [(name, digest if name == "digest" else value) for name, value in properties.UserProperty]
            del properties.UserProperty
            properties.UserProperty = pairs
        return publish(self, topic, payload, properties)

    Link.publish = renamed  # type: ignore[method-assign]


def age_by_the_wall_clock() -> None:
    """What is old is told by the wall clock, whatever it shows."""
    Steady.of = lambda self, moment: to_us(moment)  # type: ignore[method-assign]
    Steady.now_us = lambda self: to_us(datetime.now(UTC))  # type: ignore[method-assign]


def timers_by_the_wall_clock() -> None:
    """Waiting times end when the wall clock says so."""
    SystemClock.monotonic = lambda self: time.time()  # type: ignore[method-assign]


def newest_first() -> None:
    """What came last goes first."""
    rows = Database.rows

    def reversed_rows(self: Database, sql: str, values: Values = ()) -> list[Row]:
        return rows(self, sql.replace("ORDER BY o.number LIMIT", "ORDER BY o.number DESC LIMIT"), values)

    Database.rows = reversed_rows  # type: ignore[method-assign]


def read_everything() -> None:
    """Whoever looks for what may go next reads all that waits."""
    ready, kept = Store.ready, list[object]()

    def everything(self: Store, limit: int, **more: Any) -> list[OutboxRow]:
        if not kept:
            kept.extend(self.messages(states=(MessageState.QUEUED,), limit=2**31))
        return ready(self, limit, **more)

    Store.ready = everything  # type: ignore[method-assign,assignment]


def copy_at_once() -> None:
    """A backup copies all pages in one step."""
    backup.PAGES = -1  # type: ignore[misc]


def verify_at_start() -> None:
    """The whole audit chain is held against all rows before a port is opened."""
    open_ = Store.open.__func__  # type: ignore[attr-defined]

    def opened(cls: type[Store], *words: Any, **more: Any) -> Store:
        store: Store = open_(cls, *words, **more)
        store.verification().run()
        return store

    Store.open = classmethod(opened)  # type: ignore[method-assign,assignment]


DEFECTS: Mapping[str, Callable[[], None]] = {
    "acknowledge-early": acknowledge_early,
    "forget-identities": forget_identities,
    "file-unanswered": file_unanswered,
    "overlook-errors": overlook_errors,
    "synchronise-less": synchronise_less,
    "puback-files": file_by_puback,
    "ignore-digest": ignore_digest,
    "believe-guesses": believe_guesses,
    "rename-retries": rename_retries,
    "age-by-the-wall": age_by_the_wall_clock,
    "timers-by-the-wall": timers_by_the_wall_clock,
    **LINE_DEFECTS,
    "newest-first": newest_first,
    "read-everything": read_everything,
    "copy-at-once": copy_at_once,
    "verify-at-start": verify_at_start,
}


class DefectiveAgent(AgentProcess):
    """``defect``: one of DEFECTS."""

    more: Mapping[str, str] = {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}

    def switch_off(self, defect: str) -> None:
        """Before it is started."""
        self.program = (str(Path(__file__)), defect)


if __name__ == "__main__":
    DEFECTS[sys.argv.pop(1)]()
    main()
