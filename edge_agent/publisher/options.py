"""What the publisher must know, checked before it starts. Seconds are numbers of seconds, files are paths."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from urllib.parse import urlsplit

from edge_agent.store.rows import Route

_DEFAULT_PORTS = {"mqtt": 1883, "mqtts": 8883}
_CONSUMER = "ivd"
_WRITTEN = "A broker is written mqtt://host:port or mqtts://host:port."


class Confirm(StrEnum):
    """Whose word closes a message."""

    APPLICATION = "application"
    BROKER = "broker"  # weaker: ends at at-broker, never filed


class Version(StrEnum):
    V5 = "5"
    V311 = "3.1.1"  # weaker: a refused publish looks like an accepted one


class BrokerUrlError(ValueError):
    """Not mqtt://host[:port] or mqtts://host[:port]."""


@dataclass(frozen=True, slots=True)
class Broker:
    """One address of the list. Two of them are the same broker when host and port are."""

    host: str
    port: int
    tls: bool

    def __str__(self) -> str:
        scheme = "mqtts" if self.tls else "mqtt"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{self.port}"


def broker(url: str) -> Broker:
    """The address in ``url``. Raises BrokerUrlError; user and password never stand in a URL."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise BrokerUrlError(_WRITTEN) from None
    port = _DEFAULT_PORTS.get(parts.scheme)
    if port is None or not parts.hostname or parts.username or parts.path not in ("", "/"):
        raise BrokerUrlError(_WRITTEN)
    try:
        return Broker(parts.hostname, parts.port or port, parts.scheme == "mqtts")
    except ValueError:
        raise BrokerUrlError("The port of a broker is a number from 1 to 65535.") from None


def _one_consumer() -> Mapping[Route, str]:
    return MappingProxyType(dict.fromkeys(Route, _CONSUMER))


@dataclass(frozen=True, slots=True)
class MqttOptions:
    """The table [mqtt] of the configuration, and who we are."""

    urls: tuple[str, ...]
    site: str
    gateway: str
    ca_file: str = ""  # PEM; empty = the system's certificate authorities
    cert_file: str = ""
    key_file: str = ""
    username: str = ""
    password: str = field(default="", repr=False)
    prefix: str = "ivd/v1"
    confirm: Confirm = Confirm.APPLICATION
    consumers: Mapping[Route, str] = field(default_factory=_one_consumer)
    window: int = 16  # published, PUBACK not yet seen
    unfiled: int = 8  # published, not yet filed, per consumer
    ack_timeout_s: float = 60
    retry_max_s: float = 300
    keepalive_s: int = 30
    will_delay_s: int = 10
    version: Version = Version.V5
    require_digest: bool = False

    def __post_init__(self) -> None:
        """Raises ValueError (BrokerUrlError for an address): nothing is found out at the first connection only."""
        object.__setattr__(self, "confirm", Confirm(self.confirm))
        object.__setattr__(self, "version", Version(self.version))
        if not self.brokers:
            raise BrokerUrlError("At least one broker is needed.")

    @property
    def brokers(self) -> tuple[Broker, ...]:
        return tuple(broker(url) for url in self.urls)

    @property
    def consumer_names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self.consumers[route] for route in Route))

    def weakness(self) -> str:
        """Why delivery is not fully verifiable, or "" if it is."""
        reasons = []
        if self.confirm is Confirm.BROKER:
            reasons.append("the broker's word is taken for the management system's (confirm = broker)")
        if self.version is Version.V311:
            reasons.append("MQTT 3.1.1 cannot say that a message was refused (version = 3.1.1)")
        return "; ".join(reasons)
