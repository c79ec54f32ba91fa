"""Bytes of the store go bad: it is found before anything is acknowledged, and what can be read is saved."""

import socket
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from end_to_end.lab import AgentProcess, Bench, running_broker, until
from faults.damaged_store import (
    BENCHES,
    PAGE,
    Base,
    Damage,
    Span,
    content_of,
    damages,
    digests,
    goes_on,
    judged,
    opened,
    spans_of,
    unnamed,
)
from faults.outcomes_file import ENUMERATED, Outcome, Outcomes
from faults.scale import FULL, chance, many, share, turn

from edge_agent.clock import SystemClock
from edge_agent.salvage.evidence import SUMS
from edge_agent.salvage.salvaging import Salvaging
from edge_agent.store import schema, soundness, store
from edge_agent.store.directory import database_files
from edge_agent.store.errors import StorageFailedError, StoreError, StoreTooNewError
from edge_agent.store.rows import Chunk, ChunkKind, Source
from edge_agent.store.store import Store
from edge_agent.store.thread import StoreThread
from edge_agent.store.wal import Log
from simulators.central import Central, CentralOptions
from simulators.central_ledger import Filing
from simulators.oracle import Verdict, compare

pytestmark = [pytest.mark.broker, pytest.mark.slow]

DAMAGED = "store damaged, each kind of place"
NAMES = [bench.id for bench in BENCHES]


@pytest.fixture(scope="module")
def cases(base: Base, tmp_path_factory: pytest.TempPathFactory) -> list[Damage]:
    return damages(base, another(tmp_path_factory.mktemp("other")), chance(DAMAGED), many(20, 1700))


def another(folder: Path) -> Path:
    """The files of a store that has nothing to do with the base, its log not yet in its database."""
    running = opened(folder / "running")
    running.open_transmission(Source("gen1", "", "lis02_generic", 1, "", "production"))
    for file in database_files(folder / "running")[:2]:
        subprocess.run(["cp", file, folder], check=True)  # by another process, which holds no lock of ours
    running.close()
    return folder


@dataclass
class Findings:
    how: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    named: int = 0
    owed: int = 0
    bad: list[str] = field(default_factory=list)

    def hold_chain_against_rows(self, case: Damage, data_dir: Path) -> None:
        """What was salvaged, and what an agent did since, is as the audit chain tells."""
        running = opened(data_dir)
        finding = running.verification().run()
        running.close()
        if finding is not None and finding.text.startswith("has a state, specimen or observation"):
            self.how["named by the audit chain afterwards"] += 1  # a value of what is done with, as it was found
        elif finding is not None:
            self.bad.append(f"{case.name}: {finding.sentence}")

    def judge(self, case: Damage, verdict: Verdict, base: Base, spans: dict[str, Span]) -> None:
        unsaid = unnamed(verdict, base, spans)
        self.owed += verdict.acknowledged
        self.named += len(verdict.of("lost")) - len(unsaid)
        self.faults.update(fault.kind for fault in verdict.faults if fault.kind != "lost")
        self.faults["lost"] += len(unsaid)
        if unsaid or any(fault.kind != "lost" for fault in verdict.faults):
            self.bad.append(f"{case.name}: {verdict.sentence()}, {len(unsaid)} of the lost not named")


def test_damage_is_found_before_anything_is_acknowledged_and_what_can_be_read_is_saved(
    tmp_path: Path, base: Base, cases: list[Damage], outcomes: Outcomes
) -> None:
    found = Findings()
    tried = share(cases)
    for number, case in enumerate(tried):
        one_case(case.done_to(base, tmp_path / str(number)), case, base, found)
    kinds = ", ".join(f"{count} {how}" for how, count in sorted(found.how.items()))
    print(f"\n{len(tried)} damages: {kinds}; {found.named} results named as missing")
    faults = {name: found.faults[name] for name in ("lost", "doubled", "altered", "misattributed")}
    note = f"{kinds}; results that could not be read, each named with the time to send again: {found.named}"
    outcomes.add(Outcome(DAMAGED, ENUMERATED, len(tried), len(cases), found.owed, note=note, **faults))
    assert not found.bad, "\n".join(found.bad)
    assert found.how["found"] > len(tried) / 10
    assert not found.how["changed before it was evidence"]


def one_case(data_dir: Path, case: Damage, base: Base, found: Findings) -> None:
    print(case.name)  # shown where something goes wrong
    before = digests(data_dir)
    try:
        running = opened(data_dir)
    except StoreTooNewError:  # by its number it is a newer agent's, and not ours to touch
        found.how["found"] += 1
        return
    except StoreError:
        found.how["changed before it was evidence"] += digests(data_dir) != before
        found.how["found"] += 1
        spans = salvaged(data_dir, before)
        found.judge(case, judged(base, goes_on(data_dir, base)), base, spans)
        found.hold_chain_against_rows(case, data_dir)
        return
    former, same = running.former, content_of(running) == base.content
    running.close()
    if former is not None and "older" not in former.reason:
        found.how["recognised as another store"] += 1
    elif former is not None:  # said by an alarm from the start on
        found.how["recognised as an older store"] += 1
        span = (former.since, SystemClock().now())
        found.judge(case, judged(base, goes_on(data_dir, base)), base, dict.fromkeys(NAMES, span))
    elif same:
        found.how["without effect"] += 1
    else:
        sent: list[Filing] = []
        try:
            goes_on(data_dir, base, sent=sent)
        except StorageFailedError:  # an entry of an index: SQLite says so when it is changed
            found.how["found while running"] += 1
            spans = salvaged(data_dir, digests(data_dir))
            found.judge(case, judged(base, [*sent, *goes_on(data_dir, base, sent)]), base, spans)
            return
        found.how["in what does not go out any more"] += 1
        found.judge(case, judged(base, sent), base, {})


def salvaged(data_dir: Path, before: dict[str, str]) -> dict[str, Span]:
    """By the library; what is to be sent again. The damaged files are kept together, as they were."""
    done = Salvaging(data_dir, NAMES, SystemClock()).salvage()
    assert digests(done.evidence) == before
    listed = [line.split("  ") for line in (done.evidence / SUMS).read_text().splitlines()]
    assert {name: sha for sha, name in listed if name in before} == before
    return spans_of(done.loss)


def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in ((schema, "check"), (soundness, "check")):
        monkeypatch.setattr(module, name, lambda database: None)
    monkeypatch.setattr(store, "read_log", lambda path: Log())


def test_without_the_check_at_start_damage_goes_unnoticed(
    tmp_path: Path, base: Base, cases: list[Damage], outcomes: Outcomes, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = [case for case in cases if "page" in case.name]
    found, unnoticed = [], 0
    for number, case in enumerate(pages[:: len(pages) // 10]):
        data_dir = case.done_to(base, tmp_path / str(number))
        if not opens(data_dir):
            found.append(data_dir)
    unchecked(monkeypatch)
    for data_dir in found:
        unnoticed += opens(data_dir)
    assert unnoticed > len(found) / 2
    outcomes.control(DAMAGED, "check at start", f"{unnoticed} of {len(found)} found by it went unnoticed")


def opens(data_dir: Path) -> bool:
    try:
        opened(data_dir).close()
    except StoreError:
        return False
    return True


FILES = ["agent.db", "agent.db-wal"]


@pytest.mark.parametrize("file", FILES if FULL else [FILES[turn() % 2]])
def test_an_agent_on_a_damaged_store_answers_no_analyser_and_after_a_salvage_all_comes_out(
    tmp_path: Path, base: Base, file: str
) -> None:
    known = [Bench(b.id, b.profile, b.port) for b in BENCHES]
    with running_broker(tmp_path / "broker") as broker:
        (tmp_path / "agent").mkdir()
        agent = AgentProcess(tmp_path / "agent", broker.url, known)
        base.copy(agent.data_dir, folded=file == "agent.db")
        half = (agent.data_dir / file).stat().st_size // 2
        with (agent.data_dir / file).open("r+b") as out:
            out.seek(half // PAGE * PAGE)
            out.write(b"\xff" * PAGE)
        agent.launch()
        assert agent.process is not None
        until(lambda: refused(known[0].port) and agent.process.poll() is not None, 30, "the agent refuses to start")
        assert agent.process.wait(30) == 1
        agent.process = None
        assert "edge-agent salvage" in agent.tail()
        done = agent.command("salvage", "--yes")
        assert done.returncode in (0, 1), done.stderr
        with Central(CentralOptions(broker.url, validate="none")) as central:
            verdict = gone_on(agent, base, central)
    print(f"\n{file}: {done.stdout}\n{verdict.sentence()}")
    assert not [f for f in verdict.faults if f.kind != "lost"], verdict.table()
    assert not verdict.of("lost") or "Have these analysers send again" in done.stdout


def gone_on(agent: AgentProcess, base: Base, central: Central) -> Verdict:
    agent.start()
    try:
        agent.command("retry", "--held", "--note", "the code is known now")
        until(agent.nothing_waits, 60, "what was saved is filed")
        more = [replace(f, delivery=f.delivery + 1_000_000) for f in central.ledger.filings()]
        return compare(base.rows, [*base.filings, *more])
    finally:
        agent.stop()


def refused(port: int) -> bool:
    """Whether nothing answers an analyser that asks."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


FRAME = Chunk(ChunkKind.FRAME, b"\x021H|\\^&\r\x03E5\r\n", b"H|\\^&\r", 1, last=True)


def test_damage_found_while_running_stops_acknowledgements_until_it_is_gone(tmp_path: Path, base: Base) -> None:
    data_dir = base.copy(tmp_path / "data")
    page = next(number for number, tree in base.homes.items() if tree == "outbox" and number > 60)
    at = (page - 1) * PAGE
    thread = StoreThread(lambda: opened(data_dir))
    thread.start()
    try:
        thread.stepwise(lambda s, _: forget_pages(s)).result(30)
        number = thread.urgent(lambda s: s.open_transmission(Source("gen1", "", "x", 1, "", "production"))).result(30)
        assert thread.urgent(lambda s: s.append(number, [FRAME])).result(30).chunks == 1
        good = from_outside(data_dir / "agent.db", at, b"\xff" * PAGE)
        with pytest.raises(StorageFailedError, match="malformed"):
            thread.later(lambda s: s.database.rows("SELECT sum(length(reason)) FROM outbox NOT INDEXED")).result(30)
        assert "malformed" in (thread.failed or "")
        for _ in range(20):
            with pytest.raises(StorageFailedError):
                thread.urgent(lambda s: s.append(number, [FRAME])).result(30)
        from_outside(data_dir / "agent.db", at, good)
        until(lambda: takes(thread, number), 30, "what is whole again is used again")
        assert thread.failed is None
    finally:
        thread.stop()


def takes(thread: StoreThread, number: int) -> bool:
    try:
        return thread.urgent(lambda s: s.append(number, [FRAME])).result(30).chunks == 1
    except StorageFailedError:
        return False


def forget_pages(running: Store) -> None:
    """So that what lies on the disk is read again; nothing of the log is left to hide it."""
    running.database.rows("PRAGMA cache_size = 1")
    running.database.rows("PRAGMA shrink_memory")
    running.database.empty_log()


WRITES = """
import os, sys
file, data = os.open(sys.argv[1], os.O_RDWR), sys.stdin.buffer.read()
sys.stdout.buffer.write(os.pread(file, len(data), int(sys.argv[2])))
os.pwrite(file, data, int(sys.argv[2]))
"""


def from_outside(file: Path, at: int, data: bytes) -> bytes:
    """What was there before. By another process: closing a descriptor here would drop the store's lock."""
    words = [sys.executable, "-I", "-c", WRITES, file, str(at)]
    return subprocess.run(words, input=data, check=True, capture_output=True).stdout


def test_a_message_whose_text_went_bad_meanwhile_is_not_sent(tmp_path: Path, base: Base) -> None:
    running = opened(base.copy(tmp_path / "data"))
    [waiting, *_] = running.ready(5)
    running.database.rows("UPDATE payload SET payload = CAST('MSH|altered' AS BLOB) WHERE number ="
                          " (SELECT number FROM outbox WHERE id = ?)", (waiting.id,))  # fmt: skip
    with pytest.raises(StorageFailedError):
        running.ready(5)
    with pytest.raises(StoreError):
        running.reopen()
    assert "not as it was stored" in running.broken
    running.close()
