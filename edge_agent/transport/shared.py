"""One listening port for several analysers, told apart by their address.

Promised: a connection goes to the one analyser whose peer list names its address; the configuration refuses two that
name the same, and an address that two of them take all the same is turned away. Not promised: telling analysers apart
behind one address.

Shares come and go while the port is open: what another analyser is sending meanwhile is not touched. The end of a share
ends its own connections.
"""

import asyncio
import logging
from collections.abc import Sequence

from edge_agent.transport.base import (
    Connection,
    Guarded,
    LinkState,
    Listening,
    OnConnection,
    OnRefused,
    OnState,
    Refusal,
    Transport,
)
from edge_agent.transport.peers import AllowList

log = logging.getLogger(__name__)


class SharedListener:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._shares: list[Share] = []
        self._state: LinkState | None = None

    def share(self, peers: Sequence[str]) -> "Share":
        """The part of the port that belongs to ``peers``."""
        share = Share(peers, self._state)
        self._shares.append(share)
        self._admit()
        return share

    def drop(self, share: "Share") -> None:
        """Its callers are strangers from now on. To be called when it does not run any more."""
        self._shares.remove(share)
        self._admit()

    def _admit(self) -> None:
        if isinstance(self._transport, Listening) and self._shares:
            self._transport.admit([peer for share in self._shares for peer in share.peers])

    async def run(self) -> None:
        """Serve every share until cancelled."""
        if isinstance(self._transport, Guarded):
            self._transport.on_refused = self._on_refused
        await self._transport.run(self._on_connection, self._on_state)

    async def _on_connection(self, connection: Connection) -> None:
        takers = [share for share in self._shares if share.takes(connection.peer)]
        if len(takers) == 1:
            await takers[0].connected(connection)
            return
        await connection.close()  # nobody's, or it cannot be told whose: no result may go under a wrong analyser
        if takers:
            self._on_refused(Refusal.NOT_ALLOWED, _host(connection.peer))

    def _on_state(self, state: LinkState) -> None:
        self._state = state
        for share in self._shares:
            share.changed(state)

    def _on_refused(self, why: Refusal, address: str) -> None:
        for share in self._shares:
            share.on_refused(why, address)


class Share:
    """A transport that is served by the listener it is part of."""

    def __init__(self, peers: Sequence[str], state: LinkState | None = None) -> None:
        """``state``: of the port, when it runs already."""
        self.on_refused: OnRefused = _ignore
        self.peers = tuple(peers)
        self._allowed = AllowList(peers)
        self._on_connection: OnConnection | None = None
        self._on_state: OnState | None = None
        self._state = state
        self._open: set[asyncio.Task[None]] = set()

    def takes(self, peer: str) -> bool:
        return self._on_connection is not None and self._allowed.allows(_host(peer))

    async def run(self, on_connection: OnConnection, on_state: OnState) -> None:
        self._on_connection, self._on_state = on_connection, on_state
        if self._state is not None:
            on_state(self._state)
        try:
            await asyncio.Event().wait()
        finally:
            self._on_connection = self._on_state = None
            await self._hang_up()

    async def connected(self, connection: Connection) -> None:
        """In the connection's own task."""
        task = asyncio.current_task()
        assert self._on_connection is not None
        assert task is not None
        self._open.add(task)
        try:
            await self._on_connection(connection)
        finally:
            self._open.discard(task)

    async def _hang_up(self) -> None:
        tasks = list(self._open)
        for task in tasks:
            if not task.cancelling():  # asked twice, its session would not wait for its last commit
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def changed(self, state: LinkState) -> None:
        self._state = state
        if self._on_state is not None:
            self._on_state(state)


def _ignore(why: Refusal, address: str) -> None:
    log.debug("Turned %s away: %s.", address, why)


def _host(peer: str) -> str:
    """The address in "10.0.0.5:40123" or "[fe80::1]:40123"."""
    return peer.rpartition(":")[0].strip("[]")
