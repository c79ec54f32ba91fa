"""Who may connect to a listening port."""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from edge_agent.transport.errors import PortUrlError


class AllowList:
    """Addresses and networks; the word "any" allows everybody. An empty list allows this machine only."""

    def __init__(self, peers: Sequence[str]) -> None:
        self._any = "any" in peers
        self._networks = tuple(_network(peer) for peer in peers if peer != "any")
        self._here = not peers

    def allows(self, address: str) -> bool:
        """``address`` as the socket gives it; an IPv4 address inside IPv6 counts as IPv4."""
        if self._any:
            return True
        ip = ip_address(address.partition("%")[0])
        if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
            ip = ip.ipv4_mapped
        if self._here:
            return ip.is_loopback
        return any(ip in network for network in self._networks)


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        raise PortUrlError(
            f'"{text}" in peer is neither an address nor a network.',
            action='Write an address such as "10.0.0.5", a network such as "10.0.0.0/28", or "any".',
        ) from None


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
