"""A management system as a process, made as cheap as one can be: it stands for another machine.

It files and answers a batch at a time: whatever one read brought is checked (digest), written to its ledger, synced,
and only then answered and acknowledged, all in one write. It reads no HL7 but the specimen's id, and keeps counts
instead of a database (``filing_count``). What a real one costs is its own business; here it must not be the limit.

Words: the broker's port, a name, the ledger's file. For a line with a number it answers when so many have been filed
since the last such line, with messages a second from the first to the last of them; for ``count``, at once, with the
counts so far.
"""

import hashlib
import os
import sys
import threading
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import support_plain_mqtt as mqtt
from benchmarks.filing_count import FilingCount
from benchmarks.kit import say

FILTER = "ivd/v1/+/+/up/+/+"
PATIENCE_S = 7200


class FilingSystem:
    def __init__(self, port: int, name: str, ledger: Path) -> None:
        self._client = mqtt.Client(port, f"ivd-{name}")
        self._ledger = os.open(ledger, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        self._mids = cycle(range(1, 65_536))
        self._name = name
        self.count = FilingCount()
        self.subscribed = threading.Event()

    def serve(self) -> None:
        """For ever, over any number of connections."""
        while True:
            try:
                line = self._client.connect()
            except OSError:
                time.sleep(0.1)
                continue
            try:
                self._hold(line)
            except OSError:
                line.close()

    def _hold(self, line: mqtt.Line) -> None:
        while True:
            deliveries = []
            for found in line.read():
                if found.kind == mqtt.PUBLISH:
                    deliveries.append(mqtt.publication(found))
                elif found.kind == mqtt.CONNACK:
                    line.write(mqtt.subscribe(next(self._mids), FILTER))
                elif found.kind == mqtt.SUBACK:
                    self.subscribed.set()
            if deliveries:
                line.write(*self._filed(deliveries))

    def _filed(self, deliveries: list[mqtt.Publication]) -> Iterator[bytes]:
        """Answers and PUBACKs, after the ledger has everything on its disk."""
        entries = []
        for one in deliveries:
            digest = hashlib.sha256(one.payload).hexdigest()
            self.count.add(one.topic, one.correlation, digest, one.user, one.payload)
            entries.append(b"%s %s\n" % (one.correlation, digest.encode()))
        os.write(self._ledger, b"".join(entries))
        os.fdatasync(self._ledger)
        self.count.filed()
        for one in deliveries:
            yield self._answer(one)
            yield mqtt.puback(one.mid)

    def _answer(self, one: mqtt.Publication) -> bytes:
        digest = mqtt.text("digest") + mqtt.text(one.user.get("digest", ""))
        properties = b"\x09" + mqtt.text(one.correlation) + b"\x26" + digest
        mid, topic = next(self._mids), f"{one.topic.split('/up/', 1)[0]}/down/ack/ivd"
        return mqtt.publish(mid, topic, properties, _ACK % (mid, one.correlation))


# HL7 v2.5.1 §2.9: MSH-9 the acknowledgement, MSA-1 accepted, MSA-2 the message's own MSH-10.
_ACK = b"MSH|^~\\&|IVD|CENTRAL|||20260101000000+0000||ACK^R22^ACK|A%d|P|2.5.1||||||UNICODE UTF-8\rMSA|AA|%s\r"


def rate(count: FilingCount, wanted: int, before: int) -> float:
    first = 0.0
    end = time.monotonic() + PATIENCE_S
    while count.messages - before < wanted:
        if not first and count.messages > before:
            first = time.monotonic()
        assert time.monotonic() < end, f"{count.messages - before} of {wanted} came"
        time.sleep(0.002)
    return wanted / max(1e-6, time.monotonic() - (first or time.monotonic()))


def main() -> None:
    system = FilingSystem(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
    threading.Thread(target=system.serve, daemon=True).start()
    assert system.subscribed.wait(15)
    say("ready")
    before = 0
    while line := sys.stdin.readline().strip():
        if line == "count":
            say(system.count.told())
        else:
            say(rate(system.count, int(line), before))
            before += int(line)


if __name__ == "__main__":
    main()
