"""The agent's part in the self-test: the receive path and the conversion that results go through in service.

Promised: transport connection, link, session, LIS01 receiver, store thread, store, converter and outbox are the ones
of the agent, joined as it joins them; nothing but the port and what delivers is missing. It begins as the agent
begins, so each start after a kill reads the log that the kill left. What it finds there it holds against the ledger
it was given, before it takes the first byte.
"""

import asyncio
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

from drivers.sdk import load
from edge_agent.clock import SystemClock
from edge_agent.converter import Converter, Reader
from edge_agent.errors import AgentError
from edge_agent.link import Link
from edge_agent.monitor.alarms import Alarms
from edge_agent.selftest.checking import check
from edge_agent.selftest.ledger import Ledger
from edge_agent.settings import AnalyserTable, Settings
from edge_agent.store import figures
from edge_agent.store.rows import Source
from edge_agent.store.store import Store
from edge_agent.store.thread import StoreThread
from edge_agent.transport.base import LinkState, OnConnection, OnState
from edge_agent.transport.tcp_connection import TcpConnection

NAME = "selftest"
PROFILE = "lis02_generic"
_CONVERTED_S = 60.0
_PRAGMAS = ("journal_mode", "synchronous", "locking_mode")

Report = Callable[[Mapping[str, Any]], None]


def reader(settings: Settings) -> Reader:
    """As the shipped generic profile reads; messages of the kind the site has. Nothing of the site may hold them."""
    analyser = AnalyserTable(id=NAME, profile=PROFILE, transport="tcp-server://127.0.0.1:1")
    made = Reader.of(settings, analyser, load(PROFILE))
    return replace(made, policy=replace(made.policy, specimen_id=None))


class Receiving:
    """One life of it, from the start to a kill or the line's end."""

    def __init__(self, folder: Path, reader: Reader, connection: type[TcpConnection] = TcpConnection) -> None:
        self._folder = folder
        self._reader = reader
        self._connection = connection
        self._clock = SystemClock()
        self._settled = Event()
        self._store = StoreThread(self._open)
        self._converter = Converter(self._store, {NAME: reader}, lambda *alarm: None, self._settled.set)

    def _open(self) -> Store:
        # The site's marks count for the whole disk, and are watched from outside; here none may stop a round.
        return Store.open(self._folder, self._clock, reserve_mb=0, low_water_mb=0)

    def run(self, line: socket.socket, ledger: Ledger, report: Report) -> None:
        """Reports once, when what is stored was checked; then serves ``line`` until its end."""
        try:
            self._store.start()
        except AgentError as error:
            report({"error": error.sentence})
            return
        self._store.later(Store.close_orphans).result()
        self._converter.start()
        self._until_converted()
        report(self._store.later(lambda store: _facts(store, ledger)).result())
        asyncio.run(self._serve(line))
        self._converter.kick()
        self._until_converted()
        self._converter.stop()
        self._store.stop()

    def _until_converted(self) -> None:
        end = time.monotonic() + _CONVERTED_S
        while self._store.later(lambda store: figures.unread(store.database)).result():
            if time.monotonic() > end:
                raise TimeoutError
            self._settled.wait(0.05)
            self._settled.clear()

    async def _serve(self, line: socket.socket) -> None:
        transport = _OneCall(line, self._connection)
        device = self._reader.device
        source = Source(NAME, "", device.name, device.profile.revision, device.hash, self._reader.policy.mode)
        link = Link(
            NAME,
            transport,
            source,
            device.dialect(),
            self._store,
            self._clock,
            Alarms(self._clock),
            self._converter.kick,
            lambda: False,
        )
        serving = asyncio.create_task(link.run())
        await transport.ended.wait()
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


class _OneCall:
    """A transport whose only caller is there already."""

    def __init__(self, line: socket.socket, connection: type[TcpConnection]) -> None:
        self._line = line
        self._connection = connection
        self.ended = asyncio.Event()

    async def run(self, on_connection: OnConnection, on_state: OnState) -> None:
        on_state(LinkState(True, SystemClock().now()))
        _, connection = await asyncio.get_running_loop().connect_accepted_socket(self._connection, self._line)
        await on_connection(connection)
        self.ended.set()
        await asyncio.Event().wait()


def _facts(store: Store, ledger: Ledger) -> Mapping[str, Any]:
    settings = {name: str(store.database.value(f"PRAGMA {name}")) for name in _PRAGMAS}
    return {"findings": check(store, ledger).as_dict(), "settings": settings}
