"""A cable is pulled, in the middle of a frame, before an answer or on an idle line, and plugged in again.

Promised, and therefore with limits in seconds: noticed within 15 s, back within 10 s after it was plugged in (keepalive
5/2/3 and a user timeout of 10 s). Real interfaces of network namespaces; one of them belongs to the broker.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import pytest
from end_to_end.lab import AgentProcess, Bench, running_broker, started, until
from faults.ability import need
from faults.cables import Cable, Room, inside, room
from faults.defective import DefectiveAgent
from faults.outcomes_file import RANDOM, Outcomes
from faults.scale import FULL, chance, many, seed
from support_free_port import free_port

from edge_agent.errors import AgentError
from simulators.analyser import Analyser, Plan, SendReport
from simulators.analyser_ledger import AnalyserLedger
from simulators.central import Central, CentralOptions
from simulators.devices import device
from simulators.errors import LinkLostError
from simulators.lines import Line, ListenPort, SocketLine
from simulators.lis01_sender import Timers
from simulators.oracle import compare

pytestmark = [pytest.mark.broker, pytest.mark.slow]

PULLED = "cable between analyser and agent pulled and plugged in again"
BROKER_PULLED = "cable between agent and broker pulled and plugged in again"
NOTICED_S, BACK_S = 15.0, 10.0
LONG_S = 70.0  # the last time: by then a back-off has grown as far as it does
LOOK_S = 0.1
BROKER = "ack_timeout_s = 5\nretry_max_s = 2\nkeepalive_s = 5"
TIMERS = Timers(reply_s=2.0)


class PulledLine:
    """A line of a simulated analyser whose cable goes when so many bytes were written."""

    def __init__(self, inner: Line, cell: "Cell") -> None:
        self._inner, self._cell = inner, cell

    def write(self, data: bytes) -> None:
        left = self._cell.left
        if left is None or left > len(data):
            self._cell.left = None if left is None else left - len(data)
            self._inner.write(data)
            return
        self._inner.write(data[:left])
        self._cell.pull()
        self._inner.write(data[left:])  # into the system's buffer

    def read(self, timeout: float) -> bytes:
        return self._inner.read(timeout)

    def close(self) -> None:
        self._inner.close()


@dataclass
class Cell:
    """One analyser at the end of its cable. ``calls``: it calls the agent; else the agent calls it."""

    bench: Bench
    cable: Cable
    calls: bool
    cuts: int
    left: int | None = None  # bytes until the cable goes; None: it stays
    pulled_at: float = 0.0
    pulled: threading.Event = field(default_factory=threading.Event)
    plugged: threading.Event = field(default_factory=threading.Event)
    seen: threading.Event = field(default_factory=threading.Event)  # that it is back, or was never away
    over: threading.Event = field(default_factory=threading.Event)
    report: SendReport = field(init=False)

    def pull(self) -> None:
        self.left = None
        self.cable.pull()
        self.pulled_at = time.monotonic()
        self.plugged.clear()
        self.seen.clear()
        self.pulled.set()

    def plug_in(self) -> None:
        self.pulled.clear()
        self.cable.plug_in()
        self.plugged.set()

    # what an analyser's port needs

    def connect(self) -> Line:
        return PulledLine(SocketLine(_watched(self._socket())), self)

    def _socket(self) -> socket.socket:
        if not self.calls:
            return self._listener.connect()._socket  # type: ignore[attr-defined]  # the socket in the simulator's line
        try:
            return socket.create_connection((self.cable.near, self.bench.port), 1.0)
        except OSError as error:
            raise LinkLostError("The cable is out.") from error

    def close(self) -> None:
        pass

    def send(self) -> None:
        """In a thread of the far namespace: a transmission for each cut, and one after the last."""
        draw = chance(f"{PULLED} {self.bench.id}")
        if not self.calls:
            self._listener = ListenPort(self.cable.far, self.bench.port)
        left = self.cuts
        self.seen.set()

        def over(report: SendReport) -> None:
            nonlocal left
            self.seen.wait(120)
            if left == 0:
                return
            left -= 1
            if left % 3 == 2:  # nothing is under way
                self.pull()
                self.plugged.wait(60)
            else:
                self.left = draw.randrange(400)

        plan = Plan(
            "lis02_generic", count=self.cuts + 2, seed=seed(), analyser=self.bench.id, samples=("two_patients",)
        )
        stop = threading.Event()
        analyser = Analyser(plan, device(plan.device), self, AnalyserLedger(), TIMERS, stop, lambda _: None)
        self.report = analyser.run(over)
        analyser.hang_up()
        if not self.calls:
            self._listener.close()
        self.over.set()


def _watched(sock: socket.socket) -> socket.socket:
    """An analyser that gives a dead connection up after three seconds."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 3000)
    return sock


class Watch:
    """What the agent says of its links, asked for every cell at once."""

    def __init__(self, agent: AgentProcess) -> None:
        self._agent = agent
        self._ending = threading.Event()
        self.up: set[str] = set()
        self.alarmed: set[str] = set()
        self.alarms: set[str] = set()
        self._thread = threading.Thread(target=self._look, name="watch")

    def _look(self) -> None:
        while not self._ending.wait(LOOK_S):
            try:
                status = self._agent.ask("status")
            except AgentError:
                continue
            self.up = {a["id"] for a in status["analysers"] if a["up"]}
            self.alarmed = {a["analyser"] for a in status["alarms"] if a["code"] == "link-down"}
            self.alarms = {a["code"] for a in status["alarms"]}

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()


@dataclass
class Times:
    noticed: list[float] = field(default_factory=list)
    back: list[float] = field(default_factory=list)

    def note(self) -> str:
        return (
            f"noticed after {median(self.noticed):.1f} s (at most {max(self.noticed):.1f}), "
            f"back {median(self.back):.1f} s after it was plugged in (at most {max(self.back):.1f})"
        )


def awaited(condition: Callable[[], object], since: float, limit: float, what: str) -> float:
    """How long it took."""
    until(condition, since + limit - time.monotonic(), what)
    return time.monotonic() - since


def look_after(cell: Cell, watch: Watch, times: Times) -> None:
    """Each time its cable is pulled: noticed, plugged in, back."""
    name = cell.bench.id
    for number in range(cell.cuts):
        while not cell.pulled.wait(0.2):
            assert not cell.over.is_set(), f"{name} ended without its cut"
        down = awaited(
            lambda: name not in watch.up and name in watch.alarmed, cell.pulled_at, NOTICED_S, f"{name} down"
        )
        times.noticed.append(down)
        if FULL and number == cell.cuts - 1:
            time.sleep(LONG_S)
        plugged_at = time.monotonic()
        cell.plug_in()
        up = awaited(lambda: name in watch.up and name not in watch.alarmed, plugged_at, BACK_S, f"{name} up")
        times.back.append(up)
        cell.seen.set()


@contextmanager
def joined(*targets: Callable[[], object]) -> Iterator[None]:
    """Run each in a thread of this namespace; what one raises is raised at the end."""
    failed: list[BaseException] = []

    def guarded(target: Callable[[], object]) -> None:
        try:
            target()
        except BaseException as error:  # noqa: BLE001  # raised below
            failed.append(error)

    threads = [threading.Thread(target=guarded, args=(target,)) for target in targets]
    for thread in threads:
        thread.start()
    yield
    for thread in threads:
        thread.join(3600)
    if failed:
        raise failed[0]


def cells(made: Room, calling: int, called: int, cuts: int) -> list[Cell]:
    found = []
    for number in range(calling + called):
        cable, port, calls = made.cable(), free_port(), number < calling
        role = f"tcp-server://{cable.near}:{port}" if calls else f"tcp-client://{cable.far}:{port}"
        peer = f'peer = ["{cable.far}"]' if calls else ""
        bench = Bench(f"an{number}", "lis02_generic", port=port, transport=role, more=peer)
        found.append(Cell(bench, cable, calls, cuts))
    return found


class Lab:
    """Broker, management system and agent, joined by a cable; and an agent that does not watch its peers."""

    def __init__(self, stack: ExitStack, made: Room, folder: Path, found: Sequence[Cell]) -> None:
        self.broker_cable = made.cable()
        port = free_port()
        extra = (f"listener {port} {self.broker_cable.far}",)
        with inside(self.broker_cable.far_namespace):
            broker = stack.enter_context(running_broker(folder / "broker", extra))
            self.central = stack.enter_context(Central(CentralOptions(broker.url, validate="none")))
        self.url = f"mqtt://{self.broker_cable.far}:{port}"
        (folder / "agent").mkdir()
        self.agent = AgentProcess(folder / "agent", self.url, [c.bench for c in found], mqtt=BROKER)
        with inside(made.agent):
            stack.enter_context(started(self.agent))
        self.blind_cable = made.cable()
        bench = Bench("blind", "lis02_generic", transport=f"tcp-client://{self.blind_cable.far}:5000")
        (folder / "blind").mkdir()
        extra = (f"listener {port} {self.blind_cable.far}",)
        with inside(self.blind_cable.far_namespace):
            self._listener = stack.enter_context(socket.create_server((self.blind_cable.far, 5000)))
            stack.enter_context(running_broker(folder / "blind-broker", extra))
        blind_url = f"mqtt://{self.blind_cable.far}:{port}"
        self.blind = DefectiveAgent(folder / "blind", blind_url, [bench], mqtt="keepalive_s = 65535")
        self.blind.switch_off("keepalive-off")
        with inside(made.agent):
            stack.enter_context(started(self.blind))
        stack.enter_context(self._listener.accept()[0])
        until(self.blind_believes, 20, "the other agent is connected")

    def blind_believes(self) -> bool:
        """The agent that watches nobody says that its analyser and its broker are there."""
        status = self.blind.ask("status")
        return bool(status["broker"]["connected"]) and all(a["up"] for a in status["analysers"])


def broker_cable_pulled(lab: Lab, watch: Watch, times: Times, cuts: int) -> None:
    for _ in range(cuts):
        pulled_at = time.monotonic()
        lab.broker_cable.pull()
        times.noticed.append(awaited(lambda: "broker-down" in watch.alarms, pulled_at, 60, "the broker is missed"))
        plugged_at = time.monotonic()
        lab.broker_cable.plug_in()
        times.back.append(awaited(lambda: "broker-down" not in watch.alarms, plugged_at, 60, "the broker is back"))


@pytest.mark.every(2)
def test_a_pulled_cable_is_noticed_in_time_and_costs_nothing(tmp_path: Path, outcomes: Outcomes) -> None:
    need("namespaces")
    each = many(sample=1, full=10)
    many_cells = 1 if each == 1 else 10
    times, of_broker = Times(), Times()
    with room() as made, ExitStack() as stack:
        found = cells(made, calling=many_cells, called=many_cells, cuts=each)
        lab = Lab(stack, made, tmp_path, found)
        agent = lab.agent
        for cell in found:
            with inside(cell.cable.far_namespace):
                stack.enter_context(joined(cell.send))
        watch = stack.enter_context(Watch(agent))
        until(lambda: {c.bench.id for c in found} <= watch.up, 30, "every analyser is connected")
        lab.blind_cable.pull()
        blind_since = time.monotonic()
        looking = [lambda c=c: look_after(c, watch, times) for c in found]
        with joined(*looking, lambda: broker_cable_pulled(lab, watch, of_broker, each)):
            pass
        until(lambda: time.monotonic() - blind_since > NOTICED_S, 20, "the patience is over")
        not_noticed = lab.blind_believes()
        until(lambda: all(cell.over.is_set() for cell in found), 120, "everything is sent")
        until(agent.nothing_waits, 60, "everything is filed")
        verdict = compare([row for c in found for row in c.report.rows], list(lab.central.ledger.filings()))
    assert not_noticed
    outcomes.control(PULLED, "keepalive and user timeout off", "not noticed in 15 s")
    outcomes.verdict(PULLED, RANDOM, each * len(found), verdict, note=times.note())
    outcomes.control(BROKER_PULLED, "keepalive off", "not noticed in 15 s")
    outcomes.verdict(BROKER_PULLED, RANDOM, each, verdict, note=f"keepalive_s = 5: {of_broker.note()}")
