"""kill -9 at random moments: what was acknowledged is there."""

import random
import subprocess
import sys
from pathlib import Path

from store_helpers import StillClock

from edge_agent.store.store import Store

ROUNDS = 15
SEED = 20240301

# Four analysers' worth of frames through the real thread. Each line is an acknowledgement: it is written after the
# receipt. With "early", the receipt is forged inside the transaction, and the process dies before that COMMIT.
WRITER = """
import os, signal, sys, threading
from pathlib import Path
from edge_agent.clock import SystemClock
from edge_agent.store.rows import Chunk, ChunkKind, Source
from edge_agent.store.store import Store
from edge_agent.store.thread import StoreThread

data_dir, mode = Path(sys.argv[1]), sys.argv[2]
source = Source("xn1", "peer", "profile", 1, "hash", "production")
thread = StoreThread(lambda: Store.open(data_dir, SystemClock(), reserve_mb=0, low_water_mb=0, allow_unsafe=True))
thread.start()

def frame(n):
    return Chunk(ChunkKind.FRAME, b"\\x02" + b"%07d" % n + b"R|1|^^^GLU|5.3" * 10, b"%07d" % n)

def say(number, position):
    os.write(1, b"%d %d\\n" % (number, position))

def honest():
    number = thread.urgent(lambda s: s.open_transmission(source)).result()
    for n in range(100000):
        thread.urgent(lambda s: s.append(number, [frame(n)])).result()
        say(number, n)

def early():
    def job(s):
        number = s.open_transmission(source)
        s.append(number, [frame(0)])
        say(number, 0)
        os.kill(os.getpid(), signal.SIGKILL)
    thread.urgent(job).result()

workers = [threading.Thread(target=early if mode == "early" else honest) for _ in range(4)]
for worker in workers: worker.start()
for worker in workers: worker.join()
"""


def killed_writer(data_dir: Path, mode: str, lines: int) -> list[tuple[int, int]]:
    """Run the writer until it acknowledged so often, kill it, and return every acknowledgement it had made."""
    root = Path(__file__).parents[3]
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(data_dir), mode], stdout=subprocess.PIPE, cwd=root)
    assert process.stdout is not None
    head = [process.stdout.readline() for _ in range(lines)]
    process.kill()
    rest = process.stdout.read().splitlines(keepends=True)
    process.wait()
    process.stdout.close()
    said = [line.split() for line in (*head, *rest) if line.endswith(b"\n")]
    return [(int(number), int(position)) for number, position in said]


def lost(store: Store, told: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Acknowledged, and not there with the right bytes."""
    numbers = {number for number, _ in told}
    texts = {
        (number, chunk.position): chunk.chunk.text
        for number in numbers
        if store.database.value("SELECT 1 FROM transmission WHERE id = ?", (number,))
        for chunk in store.transmission(number).chunks
    }
    return [(n, p) for n, p in told if texts.get((n, p)) != b"%07d" % p]


def reopened(data_dir: Path) -> Store:
    return Store.open(data_dir, StillClock(), reserve_mb=0, low_water_mb=0, allow_unsafe=True)


def test_what_was_acknowledged_survives_kill_minus_nine(data_dir):
    print(f"seed {SEED}, {ROUNDS} rounds")
    moments = random.Random(SEED)
    told: list[tuple[int, int]] = []
    for _ in range(ROUNDS):
        told += killed_writer(data_dir, "honest", moments.randint(1, 120))
        store = reopened(data_dir)
        assert lost(store, told) == []
        assert store.former is None
        assert store.verification().run() is None
        store.close_orphans()
        store.close()
    print(f"{len(told)} acknowledgements, 0 lost")
    assert len(told) > ROUNDS


def test_a_receipt_handed_out_before_the_commit_is_found_by_the_same_count(data_dir):
    told = killed_writer(data_dir, "early", 1)
    store = reopened(data_dir)
    assert lost(store, told) == told != []
    store.close()
