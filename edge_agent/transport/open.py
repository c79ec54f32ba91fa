"""From the ``transport`` of a configuration to the thing that opens the port. Nothing is opened here."""

import random
from collections.abc import Sequence

from edge_agent.clock import Clock
from edge_agent.transport.backoff import Backoff
from edge_agent.transport.base import Transport
from edge_agent.transport.errors import PortUrlError
from edge_agent.transport.peers import is_loopback
from edge_agent.transport.port_url import SerialUrl, TcpClientUrl, TcpServerUrl, parse
from edge_agent.transport.serial_port import SerialPort
from edge_agent.transport.tcp_client import TcpClient
from edge_agent.transport.tcp_server import CAP, TcpServer

BIND_RETRY_S = 10.0
CONNECT_RETRY_S = 5.0  # with CONNECT_S and the system's own repeats: back within 10 s after a cable is plugged in
REOPEN_S = 5.0  # looking for a path costs nothing, and a technician waits at the plug


def transport_for(
    url: str,
    *,
    peer: Sequence[str],
    clock: Clock,
    rng: random.Random,
    cap: int = CAP,
    backoff: Backoff | None = None,
) -> Transport:
    """The transport that ``url`` names. Raises PortUrlError.

    ``peer``: who may connect to a tcp-server. Beyond loopback somebody must be named, be it "any".
    """
    match parse(url):
        case TcpServerUrl(host, port):
            if not peer and not is_loopback(host):
                raise PortUrlError(
                    f'"{url}" can be reached from other machines, and peer says nothing about who may connect.',
                    action='Write peer = ["address of the analyser"], or peer = ["any"].',
                )
            return TcpServer(host, port, peer, clock=clock, backoff=backoff or Backoff(rng, cap=BIND_RETRY_S), cap=cap)
        case TcpClientUrl(host, port):
            _nobody_calls(url, peer)
            return TcpClient(host, port, clock=clock, backoff=backoff or Backoff(rng, cap=CONNECT_RETRY_S))
        case SerialUrl() as serial:
            _nobody_calls(url, peer)
            return SerialPort(serial, clock=clock, backoff=backoff or Backoff(rng, cap=REOPEN_S))


def _nobody_calls(url: str, peer: Sequence[str]) -> None:
    if peer:
        raise PortUrlError(f'"{url}" is called by nobody, so peer means nothing here.', action="Remove peer.")
