"""A store a laboratory left behind when its agent was killed, ways to damage a copy of it, and what came of it.

The base is made once by a real agent, broker and management system; its copies are opened, converted and delivered in
this process, so that thousands of damages cost minutes and are still judged by the oracle from end to end.
"""

import hashlib
import os
import random
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from end_to_end.lab import PREFIX, Bench, running_agent, running_broker, until

from drivers.sdk import load
from edge_agent.clock import SystemClock
from edge_agent.configuration.file import load as load_settings
from edge_agent.converter import Converter, Reader
from edge_agent.salvage.found import Scratch, version_of
from edge_agent.salvage.image import PAGE, Image
from edge_agent.salvage.loss import Loss
from edge_agent.salvage.trees import Forest
from edge_agent.states import OPEN_MESSAGE_STATES
from edge_agent.store.directory import database_files
from edge_agent.store.store import Store
from edge_agent.store.thread import StoreThread
from edge_agent.store.times import from_us
from simulators.analyser import Plan, send
from simulators.analyser_ledger import Row
from simulators.central import Central, CentralOptions
from simulators.central_ledger import Filing
from simulators.er7 import read
from simulators.oracle import Fault, Verdict, compare

Span = tuple[datetime | None, datetime]

KEPT = ("agent.db", "agent.db-wal", "identity.json", "agent.witness")
TABLES = (
    *("transmission", "chunk", "specimen_group", "observation", "seen", "outbox", "payload", "attempt", "audit"),
    *("sequence", "counter"),
)
BENCHES = (Bench("gen1", "lis02_generic", more='on_unknown_code = "hold"'), Bench("xn1", "sysmex_xn"))


@dataclass(frozen=True)
class Base:
    folder: Path  # what the data directory had in it
    folded: Path  # the same, everything in the database and no log
    config: Path
    rows: Sequence[Row]  # what the analysers were told
    filings: Sequence[Filing]  # what the management system got so far
    content: dict[str, list[tuple[object, ...]]]
    times: dict[tuple[str, str], list[tuple[datetime, datetime]]]  # (analyser, specimen) -> when it came
    homes: dict[int, str]  # page -> its tree

    def copy(self, data_dir: Path, *, folded: bool = False) -> Path:
        shutil.copytree(self.folded if folded else self.folder, data_dir)
        data_dir.chmod(0o700)
        return data_dir


def made(folder: Path) -> Base:
    """Results filed, queued, at the broker and held; the newest only in the log; the agent killed."""
    rows: list[Row] = []

    def sent(seed: int, count: int) -> None:
        for number, bench in enumerate(BENCHES):
            rows.extend(send(Plan(bench.profile, count=count, seed=seed + number, analyser=bench.id), bench.url).rows)

    with (
        running_broker(folder / "broker") as broker,
        running_agent(folder / "agent", broker.url, BENCHES) as agent,
        Central(CentralOptions(broker.url, validate="none")) as central,
    ):
        sent(10, 20)
        until(agent.nothing_waits, 60, "the first results are filed")
        agent.stop()  # everything goes from the log into the database
        agent.start()
        sent(20, 2)
        until(agent.nothing_waits, 60, "what came then is filed")
        central.go_offline()
        sent(30, 5)
        until(lambda: not agent.ask("status")["converting"], 60, "what came last is read")
        agent.kill()
        filings = list(central.ledger.filings())
    kept = folder / "kept"
    kept.mkdir()
    for name in KEPT:
        shutil.copy(agent.data_dir / name, kept / name)
    return _described(folder, kept, agent.config, rows, filings)


def _described(folder: Path, kept: Path, config: Path, rows: Sequence[Row], filings: Sequence[Filing]) -> Base:
    with Image(kept / "agent.db", kept / "agent.db-wal") as image:
        scratch = Scratch(folder / "scratch.db", version_of(image))
        homes = dict(Forest(image, scratch.trees({})).homes)
    scratch.close()
    folded = folder / "folded"
    shutil.copytree(kept, folded)
    store = opened(folded)
    found = store.database.rows(
        "SELECT g.analyser, g.specimen, t.opened, ifnull(t.ended, t.opened) FROM specimen_group g"
        " JOIN transmission t ON t.id = g.transmission"
    )
    times: dict[tuple[str, str], list[tuple[datetime, datetime]]] = {}
    for analyser, specimen, since, until_ in found:
        times.setdefault((analyser, specimen), []).append((from_us(since), from_us(until_)))
    content = content_of(store)
    store.close()
    (folded / "agent.lock").unlink()
    return Base(kept, folded, config, rows, filings, content, times, homes)


def opened(data_dir: Path) -> Store:
    return Store.open(data_dir, SystemClock(), reserve_mb=0, low_water_mb=0)


def content_of(store: Store) -> dict[str, list[tuple[object, ...]]]:
    return {table: store.database.rows(f"SELECT * FROM {table} ORDER BY 1, 2") for table in TABLES[:5]} | {
        table: store.database.rows(f"SELECT * FROM {table} ORDER BY 1") for table in TABLES[5:]
    }


def goes_on(
    data_dir: Path, base: Base, more: Sequence[Filing] = (), *, deliver: bool = True, sent: list[Filing] | None = None
) -> list[Filing]:
    """An agent on ``data_dir`` until nothing waits or is held: what it sends, as the other side writes it down.

    ``more``: what that has by now besides the base's. ``sent`` has it also where storage fails in the middle. Without
    ``deliver`` there is no broker.
    """
    sent = [] if sent is None else sent
    thread = StoreThread(lambda: opened(data_dir))
    thread.start()
    settings = load_settings(base.config)
    sends_all = [a.model_copy(update={"on_unknown_code": "send-local"}) for a in settings.analyser]
    readers = {a.id: Reader.of(settings, a, load(a.profile)) for a in sends_all}
    converter = Converter(thread, readers, on_alarm=lambda *_: None, on_settled=lambda: None)
    try:
        thread.later(lambda s: s.close_orphans()).result(30)
        thread.later(lambda s: s.release(who="a person", note="the code is known now")).result(30)
        converter.start()
        until(lambda: not thread.later(lambda s: s.next_unconverted(1)).result(30), 30, "everything is read")
        if deliver:
            for filing in _delivered(thread, [*base.filings, *more]):
                sent.append(filing)  # one after another: what came before a failure stays
        return sent
    finally:
        converter.stop()
        thread.stop()


def _delivered(thread: StoreThread, before: Sequence[Filing]) -> Iterator[Filing]:
    delivery = max((f.delivery for f in before), default=0)
    filed = {f.msh10 for f in before if f.filed}
    waiting = thread.later(lambda s: s.messages(states=OPEN_MESSAGE_STATES, limit=1_000_000)).result(30)
    for row in waiting:
        delivery += 1
        topic = f"{PREFIX}/up/{row.analyser}/{row.route}"
        first = row.id not in filed
        for seen in read(row.payload).observations:
            number, id_ = str(row.sequence), row.id
            yield Filing(delivery, "", topic, row.analyser, row.route, id_, row.digest, number, False, first, seen)
        thread.later(lambda s, id_=row.id: _filed(s, id_)).result(30)


def _filed(store: Store, id_: str) -> None:
    store.published(id_, replay="original")
    store.puback(id_, 0)
    store.acknowledged(id_, code="AA", detail="", consumer="ivd", digest_ok=True)


def judged(base: Base, more: Sequence[Filing]) -> Verdict:
    return compare(base.rows, [*base.filings, *more])


def unnamed(verdict: Verdict, base: Base, spans: Mapping[str, Span]) -> list[Fault]:
    """Lost results that are outside what their analyser is to send again: from when (None: all) until when."""

    def named(fault: Fault) -> bool:
        if fault.analyser not in spans:
            return False
        since, until_ = spans[fault.analyser]
        came = base.times[(fault.analyser, fault.specimen)]
        return any((since is None or end >= since) and begin <= until_ for begin, end in came)

    return [fault for fault in verdict.of("lost") if not named(fault)]


def spans_of(loss: Loss) -> dict[str, Span]:
    return {one.analyser: (one.since, one.until) for one in loss.resend}


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of the database's files that are there."""
    paths = [path for path in database_files(folder) if path.exists()]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


# ways to damage it


@dataclass(frozen=True)
class Damage:
    name: str
    do: Callable[[Path], None]  # to a data directory
    folded: bool = False  # which of the base's two

    def done_to(self, base: Base, data_dir: Path) -> Path:
        self.do(base.copy(data_dir, folded=self.folded))
        return data_dir


def _flip(file: str, at: int, size: int = 1, value: int | None = None) -> Callable[[Path], None]:
    def do(data_dir: Path) -> None:
        with (data_dir / file).open("r+b") as out:
            out.seek(at)
            old = out.read(size)
            out.seek(at)
            out.write(bytes(b ^ 0x55 for b in old) if value is None else bytes([value]) * len(old))

    return do


def _cut(file: str, size: int) -> Callable[[Path], None]:
    return lambda data_dir: os.truncate(data_dir / file, size)


def _gone(file: str) -> Callable[[Path], None]:
    return lambda data_dir: (data_dir / file).unlink()


def _replaced(file: str, content: bytes) -> Callable[[Path], None]:
    def do(data_dir: Path) -> None:
        (data_dir / file).write_bytes(content)

    return do


_FRAME = 24 + PAGE
_IN_PAGE = (0, 3, PAGE // 2, PAGE - 3)


def damages(base: Base, other: Path, moments: random.Random, extra: int) -> list[Damage]:
    """Every kind in every kind of place, and ``extra`` flips anywhere. ``other``: another store's files."""
    size = (base.folded / "agent.db").stat().st_size
    log = (base.folder / "agent.db-wal").stat().st_size
    found = [*_in_database(base, size), *_in_log(log)]
    found += [Damage(f"database cut to {n}", _cut("agent.db", n), folded=True) for n in _lengths(size, PAGE)]
    found += [Damage(f"log cut to {n}", _cut("agent.db-wal", n)) for n in _lengths(log, _FRAME)]
    found += [
        Damage("no log", _gone("agent.db-wal")),
        Damage("no database", _gone("agent.db")),
        Damage("no database nor log", _gone("agent.db"), folded=True),
        Damage("another store's database", _replaced("agent.db", (other / "agent.db").read_bytes())),
        Damage("another store's log", _replaced("agent.db-wal", (other / "agent.db-wal").read_bytes())),
        Damage("a database that is text", _replaced("agent.db", b"this is no database\n" * 5000)),
    ]
    for _ in range(extra):
        file, length, folded = moments.choice((("agent.db", size, True), ("agent.db-wal", log, False)))
        at = moments.randrange(length)
        found.append(Damage(f"{file} byte {at}", _flip(file, at, moments.choice((1, 1, 2, 16))), folded=folded))
    return found


def _in_database(base: Base, size: int) -> Iterator[Damage]:
    for at in (0, 9, 18, 24, 28, 44, 52, 60, 68, 99):
        yield Damage(f"header byte {at}", _flip("agent.db", at), folded=True)
    for tree, number in _pages(base, size // PAGE):
        start = (number - 1) * PAGE
        for at in _IN_PAGE:
            yield Damage(f"{tree} page {number} byte {at}", _flip("agent.db", start + at), folded=True)
        yield Damage(f"{tree} page {number} zeros", _flip("agent.db", start, PAGE, 0), folded=True)


def _in_log(size: int) -> Iterator[Damage]:
    frames = (size - 32) // _FRAME
    for at in range(0, 32, 6):
        yield Damage(f"log header byte {at}", _flip("agent.db-wal", at))
    for number in sorted({0, 1, frames // 2, frames - 2, frames - 1}):
        for at in (0, 4, 8, 16, 24 + PAGE // 2):
            place = 32 + number * _FRAME + at
            yield Damage(f"log frame {number} of {frames} byte {at}", _flip("agent.db-wal", place))


def _lengths(size: int, unit: int) -> list[int]:
    return [n for n in (0, 1, 100, unit, unit + 7, size // 2 // unit * unit, size - unit, size - 1) if n < size]


def _pages(base: Base, pages: int) -> Iterator[tuple[str, int]]:
    """Of each tree its root and a page in the middle; of no tree are the pointer map, overflow and free pages."""
    trees: dict[str, list[int]] = {}
    for number in range(2, pages + 1):
        trees.setdefault(base.homes.get(number, "no tree"), []).append(number)
    for tree, numbers in sorted(trees.items()):
        chosen = {numbers[0], numbers[len(numbers) // 2]}
        yield from ((tree, number) for number in sorted(chosen))
