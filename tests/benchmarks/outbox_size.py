"""Outbox operations at 1,000 and 1,000,000 rows, in turns: choose, publish, PUBACK, file, count, queue one more.

Each operation as the agent does it, many in one transaction, its COMMIT not counted (that is the disk's time).
"""

import hashlib
import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks import bulk
from benchmarks.kit import Finding, Sample, Size, ratios

from edge_agent.clock import SystemClock
from edge_agent.states import ItemState
from edge_agent.store.rows import Chunk, ChunkKind, NewGroup, NewMessage, Route, Settlement, Source
from edge_agent.store.store import Store

MOST = 1.3
AT_ONCE = 16
ROUNDS = 8
SOURCE = Source("an1", "", "lis02_generic", 1, "00", "production")
PAYLOAD = bytes(bulk.PAYLOAD_BYTES)
Times = dict[str, list[float]]
_number = count(1)


@contextmanager
def stores(size: Size) -> Iterator[dict[str, Store]]:
    opened: dict[str, Store] = {}
    try:
        for name, rows in zip(("few", "many"), size.rows, strict=True):
            opened[name] = Store.open(prepared(size, rows), SystemClock())
        yield opened
    finally:
        for store in opened.values():
            store.close()


def prepared(size: Size, rows: int) -> Path:
    """A store of so many rows, made once for all benchmarks of a run."""
    data_dir = size.folder / f"rows-{rows}"
    if not data_dir.exists():
        bulk.fill(data_dir, bulk.Backlog(rows))
    return data_dir


def measure(size: Size) -> list[Finding]:
    found: dict[str, dict[str, list[float]]] = {"few": defaultdict(list), "many": defaultdict(list)}
    with stores(size) as opened:
        for _ in range(size.outbox_batches + 1):  # the first one warms both
            for name, store in opened.items():
                for operation, seconds in _batch(store).items():
                    found[name][operation].append(seconds * 1e6)
    few, many = ({o: Sample(tuple(v[1:] or v)) for o, v in found[name].items()} for name in ("few", "many"))
    shown = {operation: ratios(many[operation], few[operation]) for operation in few}
    worst = max(shown, key=lambda operation: shown[operation].median)
    return [
        Finding(
            "rows",
            f"{shown[worst].show('x')} ({worst}, {many[worst].show('us')} at {size.rows[1]:,} rows)",
            f"the same at {size.rows[0]:,} rows {few[worst].show('us')}",
            shown[worst].median <= MOST,
            tuple(f"{o}: {ratio.show('x')} ({many[o].show('us')})" for o, ratio in shown.items()),
        )
    ]


def _batch(store: Store) -> dict[str, float]:
    """The median seconds of each operation, in one transaction."""
    times: Times = defaultdict(list)
    (outcome,) = store.group([lambda s: _rounds(s, times)])
    outcome.result()
    return {name: Sample(tuple(values)).median for name, values in times.items()}


def _rounds(store: Store, times: Times) -> None:
    for _ in range(ROUNDS):
        rows = _timed(times, "choose 16", lambda: store.ready(AT_ONCE))
        for row in rows:
            _timed(times, "publish", lambda i=row.id: store.published(i, replay="original"))
            _timed(times, "PUBACK", lambda i=row.id: store.puback(i, 0))
            _timed(times, "file", lambda i=row.id: _file(store, i))
            _timed(times, "queue one", lambda: _queue(store))
        _timed(times, "count", store.counts)


def _timed(times: Times, name: str, job: Callable[[], Any]) -> Any:
    began = time.perf_counter()
    made = job()
    times[name].append(time.perf_counter() - began)
    return made


def _file(store: Store, message_id: str) -> None:
    store.acknowledged(message_id, code="AA", detail="", consumer="ivd", digest_ok=True)


def _queue(store: Store) -> None:
    (reserved,) = store.reserve(1)
    transmission = store.open_transmission(SOURCE)
    store.append(transmission, [Chunk(ChunkKind.FRAME, b"\x02x", text=b"x", number=1, last=True)], end="L")
    key = hashlib.sha256(str(next(_number)).encode()).digest()
    message = NewMessage(reserved.id, reserved.at, "an1", Route.RESULT, key, PAYLOAD)
    store.settle(Settlement(transmission, (NewGroup("S", "P", ItemState.CONVERTED, messages=(message,)),)))


def remove(size: Size) -> None:
    for rows in size.rows:
        shutil.rmtree(size.folder / f"rows-{rows}", ignore_errors=True)
