"""Protections of lines and transmissions, switched off for the controls; started through ``defective``."""

from collections.abc import Callable, Mapping
from typing import Any

from drivers.protocols.lis01 import Dialect
from edge_agent import converter
from edge_agent.pipeline import Plan
from edge_agent.session import Session
from edge_agent.states import TransmissionState
from edge_agent.store.rows import Transmission
from edge_agent.transport import tcp_connection
from edge_agent.transport.peers import AllowList
from edge_agent.transport.tcp_server import TcpServer

_ACCEPT = TcpServer._accept


def drop_interrupted() -> None:
    """Nothing of a transmission that broke off goes out (invariant 4)."""
    read = converter.plan

    def nothing(transmission: Transmission, *words: Any, everything: bool = False, **more: Any) -> Plan:
        if transmission.state is TransmissionState.INTERRUPTED and not everything:
            return Plan(transmission)
        return read(transmission, *words, everything=everything, **more)

    converter.plan = nothing  # type: ignore[assignment]


def share_connection() -> None:
    """What belongs to one connection, whose it is, is kept once for all of them."""
    begin, first = Session.__init__, []

    def of_the_first(self: Session, connection: Any, source: Any, *words: Any, **more: Any) -> None:
        first.append(source)
        begin(self, connection, first[0], *words, **more)

    Session.__init__ = of_the_first  # type: ignore[method-assign]


def serve_everybody() -> None:
    """Any caller is an analyser, and there may be any number of them."""
    AllowList.allows = lambda self, address: True  # type: ignore[method-assign]
    TcpServer._accept = _take_in  # type: ignore[method-assign]


def _take_in(server: TcpServer, connection: Any, on_connection: Any, report: Any) -> None:
    server._cap = 1_000_000
    _ACCEPT(server, connection, on_connection, report)


def watch_no_peer() -> None:
    """Nothing asks whether the other end of a connection is still there."""
    tcp_connection.watch_peer = lambda sock: None  # type: ignore[assignment]


def believe_every_sum() -> None:
    """Check digits are not looked at (LIS01-A2 6.3.3)."""
    Dialect.verifies = lambda self, body, found: True  # type: ignore[method-assign]


LINE_DEFECTS: Mapping[str, Callable[[], None]] = {
    "drop-interrupted": drop_interrupted,
    "share-connection": share_connection,
    "serve-everybody": serve_everybody,
    "keepalive-off": watch_no_peer,
    "believe-every-sum": believe_every_sum,
}
