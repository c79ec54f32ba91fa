"""The broker was away for very long: everything that waited goes out once, in order, in bounded memory, at a flat cost.

Counted by the management system of the benchmarks, which holds a number per message where the oracle holds an object.
"""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from benchmarks import bulk
from benchmarks.bench_lab import benches, nobody, silent
from benchmarks.filing import UNFILED, WIDE
from benchmarks.filing_count import FilingCount
from benchmarks.kit import Child, child
from benchmarks.receive import load, sent
from end_to_end.lab import AgentProcess, Bench, started, until
from faults.defective import DefectiveAgent
from faults.outcomes_file import ENUMERATED, Outcome, Outcomes
from faults.scale import FULL
from support_broker import Broker

only_in_full = pytest.mark.skipif(not FULL, reason="takes a backlog of 150 MB: only in full")
pytestmark = [pytest.mark.broker, pytest.mark.slow]

DRAINED = "a backlog drains, and the broker is killed in the middle"
RESTARTED = "a restart with very many unfiled messages"
KEPT_HOUSE = "retention, audit check and backup while analysers send, then while a backlog drains"
ROWS = 1_000_000 if FULL else 5_000
END = ROWS // 20  # the first and the last so many are compared
MEMORY_MIB = 150.0
RESTARTS_S = {100_000: 5.0, 1_000_000: 20.0}
ANALYSERS = 4


@dataclass
class Lab:
    """The broker is away at first."""

    agent: AgentProcess
    broker: Broker
    system: Child
    ports: list[int]  # of the analysers
    marks: list[tuple[float, int]] = field(default_factory=list)  # when so many messages were filed

    @property
    def pid(self) -> int:
        assert self.agent.process is not None
        return self.agent.process.pid

    def watch(self, messages: int, patience_s: float = 60.0) -> dict[str, int]:
        """The management system's counts once it has so many; an assertion when nothing more comes."""
        moved = time.monotonic()
        while (found := self.system.ask("count"))["messages"] < messages:
            now = time.monotonic()
            if not self.marks or self.marks[-1][1] != found["messages"]:
                moved = now
                self.marks.append((now, found["messages"]))
            assert now - moved < patience_s, f"{found} of {messages}, then nothing; its log:\n{self.agent.tail()}"
            time.sleep(0.02)
        self.marks.append((time.monotonic(), found["messages"]))
        return found

    def rate(self, first: int, last: int) -> float:
        """Messages a second between two counts."""
        inside = [mark for mark in self.marks if first <= mark[1] <= last]
        (began, low), (ended, high) = inside[0], inside[-1]
        return (high - low) / max(1e-6, ended - began)


@contextmanager
def laboratory(folder: Path, backlog: bulk.Backlog, defect: str = "", analysers: int = ANALYSERS) -> Iterator[Lab]:
    bulk.fill(folder / "agent" / "data", backlog)
    if backlog.filed:
        bulk.tell(folder / "agent" / "data", backlog)
    broker = silent(Broker(folder / "broker", extra=("max_queued_messages 100000",)))
    made = [Bench(f"an{n}", "lis02_generic", bench.port) for n, bench in enumerate(benches(analysers), 1)]
    agent = DefectiveAgent(folder / "agent", broker.url, made, WIDE)
    if defect:
        agent.switch_off(defect)
    try:
        broker.start()
        with child("filing_system", str(broker.port), "backlog", str(folder / "ledger")) as system:
            broker.kill()
            with started(agent):
                yield Lab(agent, broker, system, [bench.port for bench in made])
    finally:
        broker.kill()


def peak_mib(pid: int) -> float:
    return int(Path(f"/proc/{pid}/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024


def held(pid: int) -> dict[str, int]:
    """Descriptors and threads."""
    return {kind: len(list(Path(f"/proc/{pid}/{kind}").iterdir())) for kind in ("fd", "task")}


def test_a_backlog_is_filed_once_and_in_order_by_a_broker_that_is_killed_meanwhile(
    tmp_path: Path, outcomes: Outcomes
) -> None:
    began = time.monotonic()
    with laboratory(tmp_path, bulk.Backlog(ROWS, ANALYSERS, per_specimen=2)) as lab:
        if FULL:
            babble(lab.ports[0], 1000)
        lab.broker.start()
        lab.watch(END)
        before = held(lab.pid)
        lab.watch(ROWS // 2)
        lab.broker.kill()
        lab.broker.start()
        found = lab.watch(ROWS)
        until(lab.agent.nothing_waits, 120)
        until(lambda: alike(before, held(lab.pid)), 30, f"as many descriptors and threads as before: {before}")
        peak = peak_mib(lab.pid)
        filed = lab.agent.ask("status")["messages"]["filed"]
    first, last = lab.rate(0, END), lab.rate(ROWS - END, ROWS)
    before_it = "1 GB of nonsense first; " if FULL else ""
    note = (
        f"{before_it}{ROWS:,} messages in {time.monotonic() - began:.0f} s with making them;"
        f" {lab.rate(0, ROWS):.0f} messages/s,"
        f" the last twentieth at {last / first:.2f} times the rate of the first; {found['repeats']} repeated"
        f" by the same id, none over {found['late']} places late; at most {peak:.0f} MiB,"
        " descriptors and threads constant"
    )
    outcomes.add(
        Outcome(
            DRAINED, ENUMERATED, 1, 1, ROWS, ROWS - found["messages"], found["doubled"], found["altered"], note=note
        )
    )
    assert found | {"repeats": 0, "late": 0} == counted(ROWS), note
    assert found["late"] <= UNFILED, note
    assert filed == ROWS
    assert peak <= MEMORY_MIB, note


def alike(before: dict[str, int], after: dict[str, int]) -> bool:
    return all(abs(after[kind] - before[kind]) <= 2 for kind in before)


def counted(messages: int) -> dict[str, int]:
    return FilingCount().told() | {"messages": messages}


def babble(port: int, megabytes: int) -> None:
    """A frame without end, as fast as it is taken."""
    with socket.create_connection(("127.0.0.1", port)) as line:
        line.sendall(b"\x05\x021")
        for _ in range(megabytes):
            line.sendall(b"y" * 1_000_000)


@pytest.mark.every(2)
def test_a_backlog_that_goes_newest_first_is_seen(tmp_path: Path, outcomes: Outcomes) -> None:
    with laboratory(tmp_path, bulk.Backlog(2_000, ANALYSERS), "newest-first") as lab:
        lab.broker.start()
        found = lab.watch(2_000)
    assert found["late"] > UNFILED, found
    outcomes.control(DRAINED, "newest first", f"one came {found['late']} places late, {UNFILED} are allowed")


@only_in_full
def test_an_agent_that_reads_the_whole_backlog_exceeds_its_memory(tmp_path: Path, outcomes: Outcomes) -> None:
    with laboratory(tmp_path, bulk.Backlog(200_000, ANALYSERS), "read-everything") as lab:
        lab.broker.start()
        lab.watch(1_000, 120)
        peak = peak_mib(lab.pid)
    assert peak > MEMORY_MIB
    outcomes.control(DRAINED, "the whole backlog read at once", f"{peak:.0f} MiB at 200,000 messages")


def test_a_restart_with_a_backlog_is_ready_in_seconds(tmp_path: Path, outcomes: Outcomes) -> None:
    took: dict[int, float] = {}
    for rows in RESTARTS_S if FULL else (ROWS,):
        folder = tmp_path / str(rows)
        bulk.fill(folder / "data", bulk.Backlog(rows, ANALYSERS))
        agent = DefectiveAgent(folder, nobody(), [Bench("an1", "lis02_generic")], WIDE)
        took[rows] = min(_seconds_to_ready(agent) for _ in range(3 if FULL else 1))
    note = ", ".join(f"{rows:,} messages: {seconds:.1f} s to open ports and a status" for rows, seconds in took.items())
    outcomes.add(Outcome(RESTARTED, ENUMERATED, len(took), len(took), note=note))
    if FULL:
        assert all(seconds <= RESTARTS_S[rows] for rows, seconds in took.items()), note


def _seconds_to_ready(agent: AgentProcess) -> float:
    began = time.monotonic()
    with started(agent):
        assert agent.ask("status")["messages"]["queued"]
        took = time.monotonic() - began
        agent.kill()  # so that the next start finds its log
    return took


@only_in_full
def test_a_start_that_checks_all_there_is_takes_too_long(tmp_path: Path, outcomes: Outcomes) -> None:
    backlog = bulk.Backlog(100_000, ANALYSERS, filed=99_000)
    bulk.fill(tmp_path / "data", backlog)
    bulk.tell(tmp_path / "data", backlog)
    agent = DefectiveAgent(tmp_path, nobody(), [Bench("an1", "lis02_generic")], WIDE)
    agent.switch_off("verify-at-start")
    took = _seconds_to_ready(agent)
    assert took > RESTARTS_S[100_000]
    outcomes.control(RESTARTED, "the whole chain checked at the start", f"{took:.1f} s with 100,000 messages")


@pytest.mark.every(3)
def test_analysers_are_answered_while_house_is_kept_over_a_backlog(tmp_path: Path, outcomes: Outcomes) -> None:
    lines, unfiled = (16, 20_000) if FULL else (4, 2_000)
    rows = ROWS if FULL else 4_000
    idle = _waits(tmp_path / "idle", bulk.Backlog(100, lines), lines, busy=False)
    best = float("inf")
    for n in _TRIES:
        best = min(
            best, _waits(tmp_path / f"busy{n}", bulk.Backlog(rows, lines, filed=rows - unfiled), lines, busy=True)
        )
        if best <= 3 * idle:
            break
    note = (
        f"{lines} analysers, {rows:,} messages, all but {unfiled:,} old enough to go: p99 of the wait for an ACK"
        f" {best:.1f} ms, {best / idle:.1f} times that of an agent with nothing else to do"
    )
    outcomes.add(Outcome(KEPT_HOUSE, ENUMERATED, 1, 1, note=note))
    if FULL:
        assert best <= 3 * idle, note


_TRIES = range(3 if FULL else 1)
PACE = 30.0  # frames a second and analyser; a busy one at 9600 baud


@only_in_full
def test_a_backup_in_one_piece_makes_analysers_wait(tmp_path: Path, outcomes: Outcomes) -> None:
    idle = _waits(tmp_path / "idle", bulk.Backlog(100, 16), 16, busy=False)
    backlog = bulk.Backlog(500_000, 16, filed=495_000)
    waited = _waits(tmp_path / "busy", backlog, 16, busy=True, defect="copy-at-once")
    assert waited > 3 * idle
    outcomes.control(KEPT_HOUSE, "a backup in one piece", f"{waited / idle:.0f} times, of 500,000 messages")


def _waits(folder: Path, backlog: bulk.Backlog, lines: int, *, busy: bool, defect: str = "") -> float:
    """The analysers' p99 in ms."""
    messages = 30 if FULL else 3
    with laboratory(folder, backlog, defect, analysers=lines) as lab:
        if not busy:
            return sent(lab.ports, messages, 0, PACE)["p99"]
        analysers = load(lab.ports, messages, 0, PACE)
        analysers.tell("go")
        done = lab.agent.command("backup", str(folder))
        told = analysers.answer()
        analysers.end()
        assert done.returncode == 0, done.stderr
        assert not told["refused"]
        lab.broker.start()  # retention goes on meanwhile
        lab.watch(backlog.rows - backlog.filed + lines * messages)
        until(lab.agent.nothing_waits, 120)
        assert lab.agent.ask("status")["messages"]["filed"] < backlog.rows + lines * messages, "retention took nothing"
        assert "audit-broken" not in lab.agent.alarms()
        return float(told["p99"])


def test_the_count_sees_what_is_missing_doubled_altered_or_out_of_order() -> None:
    def count(*came: tuple[int, int, int, bytes]) -> dict[str, int]:
        made = FilingCount()
        for number, sequence, specimen, payload in came:
            text = b"MSH|\rSPM|1|%d|\r" % specimen
            user = {"sequence": str(sequence), "replay": "original", "digest": text.hex()}
            made.add("ivd/v1/s/g/up/an1/result", b"AAAA0000-%011d" % number, payload.hex() or text.hex(), user, text)
        made.filed()
        return {name: value for name, value in made.told().items() if value}

    assert count((1, 1, 7, b""), (2, 2, 8, b""), (3, 3, 7, b"")) == {"messages": 3}
    assert count((1, 1, 7, b""), (1, 1, 7, b"")) == {"messages": 1, "repeats": 1}
    assert count((1, 1, 7, b""), (9, 1, 7, b"")) == {"messages": 1, "doubled": 1}
    assert count((1, 1, 7, b"other")) == {"messages": 1, "altered": 1}
    assert count((3, 3, 7, b""), (1, 1, 7, b"")) == {"messages": 2, "overtaken": 1, "late": 2}
