"""A store at work as a process, for power cuts: ``python busy_store.py DIRECTORY SEED PROTECTION``.

Three analysers receive frame by frame through the store's thread; the real converter reads what they received, messages
are published, answered and filed, what is filed is purged, backups are made, profiles are saved. A line on the standard
output is the acknowledgement that goes out to a world with power: ``received LINK N TRANSMISSION``, ``filed MESSAGE``,
``saved N``. PROTECTION is ``full``, or what is there instead: ``normal`` (synchronous=NORMAL), ``early`` (ACK before
COMMIT).
"""

import hashlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

from faults.defective import synchronise_less
from support_conversion import reader
from support_pipeline import source

from edge_agent.clock import SystemClock
from edge_agent.converter import Converter
from edge_agent.pin_history import write_whole
from edge_agent.states import MessageState
from edge_agent.store import backup
from edge_agent.store.rows import Chunk, ChunkKind
from edge_agent.store.store import Store
from edge_agent.store.thread import StoreThread

LINKS = 3
DATA, PROFILE = "data", "profile.json"
KEPT = timedelta(seconds=1.5)
Loop = Callable[[], None]


def texts(seed: int, link: int, n: int) -> list[bytes]:
    """One message of one result: header, patient, order, result, terminator."""
    digits = hashlib.sha256(f"{seed} {link} {n}".encode()).hexdigest()
    lines = (
        r"H|\^&|||H500^1^2|||||||P|LIS2-A2|20260301120000",
        f"P|1||{link}{n:07}||Kim^{digits[:40]}",
        f"O|1|{link}{n:07}||^^^WBC|R",
        f"R|1|^^^WBC|{int(digits[:4], 16) / 100:.2f}|10*3/uL||N||F||||20260301120000",
        "L|1|N",
    )
    return [f"{line}\r".encode() for line in lines]


def raw(text: bytes) -> bytes:
    """As received."""
    return b"\x02" + text + b"\x03"


def saved(seed: int, n: int) -> str:
    return f"{n} {hashlib.sha256(f'{seed} {n}'.encode()).hexdigest() * 200}"


class Busy:
    def __init__(self, folder: Path, seed: int, protection: str) -> None:
        self._folder, self._seed, self._early = folder, seed, protection == "early"
        self._clock = SystemClock()
        self._store = StoreThread(self._opened)
        self._converter = Converter(self._store, {"an1": reader()}, lambda *_: None, lambda: None)
        self._lock = threading.Lock()

    def _opened(self) -> Store:
        return Store.open(self._folder / DATA, self._clock, reserve_mb=1, low_water_mb=1)

    def run(self) -> None:
        """Until the process is killed, or something fails."""
        self._store.start()
        self._converter.start()
        parts: list[Loop] = [self._file, self._purge, self._back_up, self._save]
        parts += [lambda link=link: self._receive(link) for link in range(LINKS)]  # type: ignore[misc]
        for part in parts:
            threading.Thread(target=part, daemon=True).start()
        threading.Event().wait()

    def _say(self, *words: object) -> None:
        with self._lock:
            os.write(1, (" ".join(map(str, words)) + "\n").encode())

    def _receive(self, link: int) -> None:
        for n in range(1, sys.maxsize):
            number = 0
            message = texts(self._seed, link, n)
            for at, text in enumerate(message, start=1):
                chunk = Chunk(ChunkKind.FRAME, raw(text), text, at % 8, True)
                end = "L" if at == len(message) else None
                if self._early and at == 2:
                    self._say("received", link, n, number)
                stored = self._store.urgent(lambda s, c=chunk, e=end, i=number: _keep(s, i, c, e)).result()  # type: ignore[misc]
                number = stored.transmission
            if not self._early:
                self._say("received", link, n, number)
            self._converter.kick()

    def _file(self) -> None:
        while True:
            rows = self._store.later(lambda s: s.messages(states=(MessageState.QUEUED,), limit=20)).result()
            for row in rows:
                for step in _delivery(row.id):
                    self._store.later(step).result()
                self._say("filed", row.id)
            if not rows:
                time.sleep(0.005)

    def _purge(self) -> None:
        while True:
            time.sleep(0.2)
            before = self._clock.now() - KEPT
            while self._store.later(lambda s, b=before: _purge(s, b)).result():  # type: ignore[misc]
                pass

    def _back_up(self) -> None:
        while True:
            time.sleep(0.3)
            folder = backup.begin(self._folder / DATA)
            self._store.stepwise(
                lambda s, between, f=folder: backup.copy(s, f, between, lambda *_: None)  # type: ignore[misc]
            ).result()
            backup.examine(folder, self._clock)

    def _save(self) -> None:
        for n in range(1, sys.maxsize):
            write_whole(self._folder / PROFILE, saved(self._seed, n))
            self._say("saved", n)
            time.sleep(0.02)


def _purge(store: Store, before: datetime) -> int:
    return store.purge(filed_before=before, identities_before=before - timedelta(days=400))


def _keep(store: Store, number: int, chunk: Chunk, end: str | None) -> object:
    return store.append(number or store.open_transmission(source()), [chunk], end=end)


def _delivery(message: str) -> Iterator[Callable[[Store], object]]:
    yield lambda s: s.published(message, replay="original")
    yield lambda s: s.puback(message, 0)
    yield lambda s: s.acknowledged(message, code="AA", detail="", consumer="ivd", digest_ok=True)


def main() -> None:
    folder, seed, protection = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    threading.excepthook = _fail
    if protection == "normal":
        synchronise_less()
    Busy(folder, seed, protection).run()


def _fail(said: threading.ExceptHookArgs) -> None:
    threading.__excepthook__(said)
    os._exit(1)


if __name__ == "__main__":
    main()
