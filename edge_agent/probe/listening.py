"""Opens one analyser's ports while no agent runs, listens, and says what it hears.

Promised: while it runs no agent can start on the same data directory, and none runs when it begins; nothing is ever
written but NAK, and that only to an ENQ, because what is heard here is stored nowhere and an acknowledged result would
be lost. Not promised: that an analyser sends again by itself what it tried to send meanwhile; LIS01-A2 §6.2 has it so.
"""

import asyncio
import os
import pwd
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from drivers.errors import ProfileError
from drivers.profile import Profile
from drivers.protocols.lis01_events import NAK_BYTE
from drivers.sdk import Device, load, names
from edge_agent.clock import Clock
from edge_agent.control import GROUP
from edge_agent.errors import AgentError
from edge_agent.probe.hearing import Finding, Hearing
from edge_agent.settings import AnalyserTable
from edge_agent.store.directory import LOCK, DirectoryLock, prepare
from edge_agent.store.errors import StoreLockedError
from edge_agent.transport.base import Connection, Guarded, LinkState, Refusal, Transport
from edge_agent.transport.open import transport_for

Say = Callable[[str, Finding], None]  # a port and what there is to say of it


@contextmanager
def instead_of_an_agent(data_dir: Path) -> Iterator[None]:
    """Hold what an agent needs to start. Raises AgentError when one has it, or when it is not ours to hold."""
    made = not data_dir.exists()
    try:
        prepare(data_dir)
        lock = DirectoryLock(data_dir)
        _give_to_the_agent(data_dir, made=made)
    except StoreLockedError as error:
        raise AgentError(
            "An agent is starting or stopping just now.", code="no-answer", action="Wait a moment, then test again."
        ) from error
    except OSError as error:
        raise AgentError(
            f"You may not keep an agent from starting in {data_dir}: {os.strerror(error.errno or 0)}.",
            code="permission",
            action="Run it as root, or as the user of the agent.",
        ) from error
    try:
        yield
    finally:
        lock.release()


def _give_to_the_agent(data_dir: Path, *, made: bool) -> None:
    """What root made must not keep the agent's own user out afterwards."""
    if os.geteuid() != 0:
        return
    if made:
        with suppress(KeyError):  # no such user: whoever runs the agent is not known here
            agent = pwd.getpwnam(GROUP)
            os.chown(data_dir, agent.pw_uid, agent.pw_gid)
    owner, lock = data_dir.stat(), data_dir / LOCK
    if lock.stat().st_uid != owner.st_uid:
        os.chown(lock, owner.st_uid, owner.st_gid)


def known_profiles(folder: Path) -> list[tuple[str, Profile]]:
    """Every device that can be loaded; ``folder``: the site's own."""
    found = []
    for name in names(folder):
        try:
            found.append((name, load(name, folder).profile))
        except ProfileError:
            continue  # `device list` says what is wrong with it
    return found


class Probe:
    """One analyser. ``say`` is told everything once, as it happens."""

    def __init__(
        self,
        analyser: AnalyserTable,
        device: Device,
        profiles: Callable[[], Sequence[tuple[str, Profile]]],
        clock: Clock,
        rng: Random,
        say: Say,
    ) -> None:
        self._device = device
        self._profiles = profiles
        self._clock = clock
        self._say = say
        self._ports = [_Port(url, url.partition("?")[0]) for url in analyser.transports()]
        self._transports = [
            transport_for(url, peer=analyser.peer, clock=clock, rng=rng) for url in analyser.transports()
        ]

    async def run(self, stop: asyncio.Event) -> bool:
        """Listen until ``stop``; whether the analyser was understood on one of its ports."""
        tasks = [
            asyncio.create_task(self._serve(port, transport), name=port.name)
            for port, transport in zip(self._ports, self._transports, strict=True)
        ]
        stopped = asyncio.create_task(stop.wait(), name="stop")
        done, _ = await asyncio.wait({stopped, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        for task in (stopped, *tasks):
            task.cancel()
        await asyncio.gather(stopped, *tasks, return_exceptions=True)
        for task in done - {stopped}:
            task.result()  # a transport never ends by itself: a defect is not to be taken for silence
        for port in self._ports:
            self._conclude(port)
        return any(port.works for port in self._ports)

    async def _serve(self, port: "_Port", transport: Transport) -> None:
        if isinstance(transport, Guarded):
            transport.on_refused = lambda why, address: self._refused(port, why, address)
        await transport.run(lambda connection: self._listen(port, connection), lambda state: self._state(port, state))

    def _state(self, port: "_Port", state: LinkState) -> None:
        if state.up:
            if not port.was_up:
                self._say(port.name, Finding("open", "The port is open; listening."))
            port.was_up = True
        else:
            self._say(port.name, Finding("down", state.reason))

    def _refused(self, port: "_Port", why: Refusal, address: str) -> None:
        if address in port.turned_away:
            return
        port.turned_away.add(address)
        self._say(
            port.name,
            Finding("refused-peer", f"{address} wanted to connect and was turned away: {why}.", _ADD_PEER),
        )

    async def _listen(self, port: "_Port", connection: Connection) -> None:
        port.connections += 1
        if not port.serial:
            self._say(port.name, Finding("connected", f"{connection.peer} is connected."))
        hearing = Hearing(self._device.name, self._device.profile, self._profiles)
        try:
            while (data := await self._read(connection, hearing)) != b"":
                findings, answer = hearing.hear(data or b"", self._clock.monotonic())
                self._tell(port, findings)
                if answer == NAK_BYTE:
                    await connection.write(NAK_BYTE)
                await asyncio.sleep(0)  # a line that babbles leaves the end its turn
        except ConnectionError:
            pass  # it hung up before our answer; what it is told by the transport is said there
        finally:
            self._tell(port, hearing.end(self._clock.monotonic()))
            port.bytes += hearing.bytes
            port.works = port.works or hearing.works

    def _tell(self, port: "_Port", findings: Sequence[Finding]) -> None:
        for finding in findings:
            if finding.code not in port.said:  # an analyser may connect for each message
                port.said.add(finding.code)
                self._say(port.name, finding)

    async def _read(self, connection: Connection, hearing: Hearing) -> bytes | None:
        """Bytes; b"" at the end; None when silence tells something."""
        due = hearing.deadline
        if due is None:
            return await connection.read()
        try:
            async with asyncio.timeout(max(0.0, due - self._clock.monotonic())):
                return await connection.read()
        except TimeoutError:
            return None

    def _conclude(self, port: "_Port") -> None:
        """What it means that something did not come."""
        if port.works or port.said:
            return
        if not port.was_up:
            self._say(port.name, Finding("never-open", "The port could not be opened.", _NEVER_OPEN))
        elif port.connections and not port.bytes:
            action = _SILENT_LINE if port.serial else _SILENT_PEER
            self._say(port.name, Finding("silent", "Nothing came.", action))
        elif not port.connections and not port.turned_away:
            self._say(port.name, Finding("nobody", "Nobody connected.", _NOBODY))


@dataclass(slots=True)
class _Port:
    url: str
    name: str
    works: bool = False
    was_up: bool = False
    connections: int = 0
    bytes: int = 0
    said: set[str] = field(default_factory=set)
    turned_away: set[str] = field(default_factory=set)

    @property
    def serial(self) -> bool:
        return self.url.startswith(("serial:", "rfc2217:"))


_ADD_PEER = "Add it to peer of this analyser, if it is the analyser."
_NEVER_OPEN = "Put right what was said above; `edge-agent check` knows names that last for serial ports."
_SILENT_LINE = (
    "Have the analyser send a result. If it does: is its host output on, are both plugs in, are TX and RX crossed "
    "(null modem cable), does its menu have the same line settings?"
)
_SILENT_PEER = "Have the analyser send a result; look whether its host output is on."
_NOBODY = (
    "Have the analyser connect or send a result; compare the host address and port in its menu with this machine's; "
    "look at cables and firewall between."
)
