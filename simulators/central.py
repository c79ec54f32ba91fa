"""The management system's stand-in: takes results off the broker, files them in a ledger, answers each.

It promises that a delivery is acknowledged to the broker (PUBACK) only after the ledger has it on disk, and answered
only then. It does not order, interpret or show results.

    with Central(CentralOptions("mqtt://127.0.0.1:1883")) as central:
        central.wait_until(lambda totals: totals["filed_results"] == 300, 60)
"""

import heapq
import itertools
import queue
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from simulators.acknowledgement import acknowledgement
from simulators.central_desk import Desk, Reply, Ruling, Script
from simulators.central_ledger import CentralLedger
from simulators.central_link import Access, Item, Link
from simulators.central_reconciliation import Reconciliation, Request
from simulators.er7 import Message
from simulators.errors import AddressError, LineError
from simulators.verdict import judge

BATCH = 64
BACKOFF = (0.1, 0.3, 1.0, 2.0)
SAMPLE_EVERY = {"sample": 25, "all": 25, "none": 0}


@dataclass(frozen=True, slots=True)
class CentralOptions:
    """``validate``: hl7apy looks at a sample at once ("all": and at the rest afterwards; "none": at nothing).

    ``reconcile``: compare manifests with the ledger and ask for what is missing.
    """

    url: str
    consumer: str = "ivd"
    instance: str = "central-1"
    prefix: str = "ivd/v1"
    ledger: Path | None = None
    answer: str = "AA"
    validate: str = "sample"
    reconcile: bool = False
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    username: str | None = None
    password: str | None = None

    def access(self) -> Access:
        return Access(self.url, self.ca_file, self.cert_file, self.key_file, self.username, self.password)


class Central:
    """``start`` and ``stop``, or a ``with`` block. A supervisor thread keeps the connection, a worker files."""

    def __init__(self, options: CentralOptions, script: Script | None = None) -> None:
        self._options = options
        self.ledger = CentralLedger(options.ledger)
        self._desk = Desk(
            self.ledger,
            prefix=options.prefix,
            consumer=options.consumer,
            answer=options.answer,
            sample_every=SAMPLE_EVERY[options.validate],
            script=script,
        )
        self.reconciliation = Reconciliation(self.ledger)
        self._inbox: queue.Queue[Item | None] = queue.Queue()
        self._late: list[tuple[float, int, Ruling, Reply]] = []
        self._ticket = itertools.count()
        self._link: Link | None = None
        self._answering = threading.Lock()
        self._wanted, self._stopping, self._wake = threading.Event(), threading.Event(), threading.Event()
        self._online, self._clean = threading.Event(), True
        self._first_error: LineError | None = None
        self._own = secrets.token_hex(4).upper()
        self._worker = threading.Thread(target=self._work, name="central-worker", daemon=True)
        self._supervisor = threading.Thread(target=self._supervise, name="central-link", daemon=True)
        self.received = 0  # deliveries taken off the broker, filed or not yet
        self.other_messages = 0
        self.failed = ""  # why the ledger cannot be written, while it cannot

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, patience: float = 15.0) -> None:
        """Returns when the subscription stands. Raises ``LineError`` when it does not in time."""
        self._worker.start()
        self._wanted.set()
        self._supervisor.start()
        _until(lambda: self._online.is_set() or isinstance(self._first_error, AddressError), patience)
        if not self._online.is_set():
            reason = self._first_error
            self.stop()
            raise reason or LineError("The broker does not answer.", "Check that it runs.")

    def stop(self) -> None:
        """Files what has arrived, then leaves. The ledger stays open for reading until ``close_ledger``."""
        self._inbox.put(None)
        self._worker.join(30)
        self._stopping.set()
        self._wake.set()
        if self._supervisor.is_alive():
            self._supervisor.join(30)

    def close_ledger(self) -> None:
        self.ledger.close()

    def set_script(self, script: Script | None) -> None:
        """From the next delivery on."""
        self._desk.script = script

    def go_offline(self, *, clean: bool = True) -> None:
        """Leave the broker; the session stays there. ``clean=False`` cuts the line so that the will goes out."""
        self._clean = clean
        self._wanted.clear()
        self._wake.set()
        _until(lambda: not self._online.is_set(), 15)

    def go_online(self, patience: float = 15.0) -> None:
        self._wanted.set()
        self._wake.set()
        if not self._online.wait(patience):
            raise self._first_error or LineError("The broker does not answer.", "Check that it runs.")

    @property
    def online(self) -> bool:
        return self._online.is_set()

    def wait_until(self, condition: Callable[[dict[str, int]], bool], patience: float) -> bool:
        """Whether the ledger's totals satisfy ``condition`` in time."""
        return _until(lambda: condition(self.ledger.totals()), patience)

    def validate_rest(self, progress: Callable[[int], None] = lambda _: None) -> dict[str, int]:
        """hl7apy on everything it has not seen yet; the totals afterwards."""
        for number, payload in self.ledger.unjudged():
            self.ledger.judged(number, judge(payload))
            progress(1)
        return self.ledger.totals()

    # the connection

    def _supervise(self) -> None:
        tries = 0
        while not self._stopping.is_set():
            self._wake.clear()
            if not self._wanted.is_set():
                self._wake.wait()
                continue
            try:
                self._hold()
                tries = 0
            except LineError as error:
                self._first_error = error
                self._wake.wait(BACKOFF[min(tries, len(BACKOFF) - 1)])
                tries += 1

    def _hold(self) -> None:
        """One connection, from opening to its end."""
        options = self._options
        state = f"{options.prefix}/_central/{options.consumer}/{options.instance}/state"
        topic = f"{options.prefix}/+/+/up/#"
        client_id = f"{options.consumer}-{options.instance}"
        link = Link(options.access(), client_id, topic, state, self._inbox, self._wake.set)
        self._link = link
        try:
            link.open()
            self._online.set()
            while link.alive and self._wanted.is_set() and not self._stopping.is_set():
                self._wake.wait()
                self._wake.clear()
            with self._answering:  # nothing is answered after the farewell
                self._link = None
            link.close(clean=self._clean or self._stopping.is_set())
        finally:
            self._link = None
            self._online.clear()

    # filing

    def _work(self) -> None:
        while True:
            batch = self._take()
            items = [item for item in batch if item is not None]
            if items:
                self._file(items)
            self._send_late()
            if None in batch:
                return

    def _take(self) -> list[Item | None]:
        """Wait for a delivery or for a late answer to become due; then take what else is there."""
        patience = max(0.0, self._late[0][0] - time.monotonic()) if self._late else None
        batch: list[Item | None] = []
        try:
            batch.append(self._inbox.get(timeout=patience))
            while len(batch) < BATCH:
                batch.append(self._inbox.get_nowait())
        except queue.Empty:
            pass
        return batch

    def _file(self, items: list[Item]) -> None:
        self.received += len(items)
        try:
            with self.ledger.transaction():
                rulings = [ruling for item in items if (ruling := self._enter(item)) is not None]
        except sqlite3.Error as error:
            # Not on disk: no answer, no PUBACK. The broker brings these deliveries again on the next connection.
            self.failed = f"The ledger cannot be written: {error}."
            for item in items:
                item.link.cut()
            return
        self.failed = ""
        # Only now is it on disk: answer, then release the delivery at the broker.
        for ruling in rulings:
            for reply in ruling.replies:
                self._answer(ruling, reply)
        for item in items:
            item.link.ack(item)

    def _enter(self, item: Item) -> Ruling | None:
        ruling = self._desk.rule(item.arrival)
        if ruling is None:
            self.other_messages += 1
            if self._options.reconcile and item.arrival.topic.endswith("/up/manifest"):
                self._reconcile(item)
            return None
        number = self.ledger.add(ruling.delivery)
        if ruling.verdict is not None:
            self.ledger.judged(number, ruling.verdict)
        return ruling

    def _reconcile(self, item: Item) -> None:
        gateway = item.arrival.topic.removesuffix("/up/manifest")
        try:
            requests = self.reconciliation.requests(gateway, item.arrival.payload)
        except ValueError:
            return
        self._ask(requests)

    def enquire(self, gateway: str) -> None:
        """Ask a gateway for its manifest. ``gateway``: prefix, site and gateway."""
        self._ask(self.reconciliation.enquiries(gateway))

    def _ask(self, requests: Iterable[Request]) -> None:
        link = self._link
        for request in requests:
            if link is not None:
                link.ask(f"{request.gateway}/down/reconcile", request.payload)

    def _answer(self, ruling: Ruling, reply: Reply) -> None:
        if reply.after_s > 0:
            heapq.heappush(self._late, (time.monotonic() + reply.after_s, next(self._ticket), ruling, reply))
            return
        self._send(ruling, reply)

    def _send_late(self) -> None:
        while self._late and self._late[0][0] <= time.monotonic():
            _, _, ruling, reply = heapq.heappop(self._late)
            self._send(ruling, reply)

    def _send(self, ruling: Ruling, reply: Reply) -> None:
        with self._answering:
            if self._link is not None and ruling.message is not None:
                self._say(self._link, ruling, ruling.message, reply)

    def _say(self, link: Link, ruling: Ruling, message: Message, reply: Reply) -> None:
        delivery = ruling.delivery
        control_id = delivery.msh10 if reply.control_id is None else reply.control_id
        own_id = f"{self._own}-{next(self._ticket):010d}"
        link.publish(
            ruling.ack_topic if reply.topic is None else reply.topic,
            acknowledgement(message, reply.code, control_id, own_id, reply.error),
            ruling.correlation if reply.correlation is None else reply.correlation,
            delivery.digest if reply.digest is None else reply.digest,
            retain=reply.retain,
        )


def _until(condition: Callable[[], bool], patience: float) -> bool:
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
