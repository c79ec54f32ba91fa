"""What a site can configure: the tables of ``edge-agent.toml``. ``config/edge-agent.toml`` explains every key."""

from ipaddress import ip_address, ip_network
from typing import Annotated, Literal
from unicodedata import category
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from edge_agent.opening_hours import OpeningHours

_LONGEST = 1024  # characters; a file's name also has at most 255 bytes
_DAY_S = 86_400
_YEAR_S = 366 * _DAY_S


def _plain_text(text: str) -> str:
    if len(text) > _LONGEST:
        raise ValueError(f"must have at most {_LONGEST} characters")
    if any(category(character) == "Cc" for character in text):
        raise ValueError("must not contain control characters")
    return text


def _file_name(name: str) -> str:
    if any(len(part.encode()) > 255 for part in name.split("/")):
        raise ValueError("must have at most 255 bytes between two /")
    return name


Name = Annotated[str, Field(pattern=r"^[a-z0-9-]{1,32}$")]
Text = Annotated[str, AfterValidator(_plain_text)]
FileName = Annotated[Text, AfterValidator(_file_name)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{name!r} is not a time zone such as Asia/Seoul") from None
    return name


class AgentTable(_Table):
    site: Name
    gateway: Name
    timezone: Text = "Asia/Seoul"
    data_dir: FileName = Field("/var/lib/edge-agent", min_length=1)

    _zone = field_validator("timezone")(_zone)

    @field_validator("gateway")
    @classmethod
    def _not_reserved(cls, value: str) -> str:
        if value == "any":
            raise ValueError("'any' is reserved")
        return value


class Consumers(_Table):
    """Who confirms which route."""

    result: Name = "ivd"
    qc: Name = "ivd"
    validation: Name = "ivd"


class MqttTable(_Table):
    urls: list[Text] = Field(min_length=1)
    ca_file: FileName = ""
    cert_file: FileName = ""
    key_file: FileName = ""
    username: Text = ""
    password_file: FileName = ""
    prefix: Text = "ivd/v1"
    confirm: Literal["application", "broker"] = "application"
    consumer: Name | Consumers = "ivd"
    window: int = Field(16, ge=1, le=1000)
    unfiled: int = Field(8, ge=1, le=10_000)
    ack_timeout_s: int = Field(60, ge=1, le=_DAY_S)
    retry_max_s: int = Field(300, ge=1, le=_DAY_S)
    keepalive_s: int = Field(30, ge=5, le=65_535)  # two bytes of CONNECT
    will_delay_s: int = Field(10, ge=0, le=_DAY_S)
    version: Literal["5", "3.1.1"] = "5"
    require_digest: bool = False

    @field_validator("urls")
    @classmethod
    def _broker_urls(cls, urls: list[str]) -> list[str]:
        for url in urls:
            parts = urlsplit(url)
            if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname:
                raise ValueError(f"{url!r} is not mqtt://host:port or mqtts://host:port")
        return urls

    @field_validator("prefix")
    @classmethod
    def _plain_prefix(cls, value: str) -> str:
        if not value or value.startswith("/") or value.endswith("/") or any(c in value for c in "+#$ "):
            raise ValueError("must be topic levels without +, #, $ or blanks and without / at the ends")
        return value

    @model_validator(mode="after")
    def _pairs(self) -> "MqttTable":
        if bool(self.cert_file) != bool(self.key_file):
            raise ValueError("cert_file and key_file belong together")
        if self.password_file and not self.username:
            raise ValueError("password_file needs username")
        return self

    def consumers(self) -> Consumers:
        if isinstance(self.consumer, Consumers):
            return self.consumer
        return Consumers(result=self.consumer, qc=self.consumer, validation=self.consumer)


class Hl7Table(_Table):
    message: Literal["OUL_R22", "ORU_R01"] = "OUL_R22"
    receiving_application: Text = "IVD"
    receiving_facility: Text = "CENTRAL"


class StoreTable(_Table):
    retention_days: int = Field(90, ge=1, le=36_500)
    reserve_mb: int = Field(8, ge=1, le=1_000_000)
    low_water_mb: int = Field(64, ge=1, le=1_000_000)


class DriversTable(_Table):
    allow: list[Text] = []
    devices_dir: FileName = "devices.d"


class WebTable(_Table):
    listen: Text = "127.0.0.1:8480"


class MetricsTable(_Table):
    """``listen``: address:port; empty: off."""

    listen: Text = ""

    @field_validator("listen")
    @classmethod
    def _address_and_port(cls, value: str) -> str:
        host, _, port = value.rpartition(":")
        try:
            fits = not value or (bool(ip_address(host.strip("[]"))) and 0 < int(port) < 65_536)
        except ValueError:
            fits = False
        if not fits:
            raise ValueError('must be an address and a port such as "127.0.0.1:9464"')
        return value

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)


class SiteTable(_Table):
    specimen_id: Text = ""


class LinkTable(_Table):
    role: Literal["results", "orders"]
    transport: Text


class AnalyserTable(_Table):
    id: Name
    profile: Text
    mode: Literal["production", "validation"] = "validation"
    transport: Text = ""
    links: list[LinkTable] = []
    peer: list[Text] = []
    timezone: Text = ""
    hours: Text = ""
    usual_gap_s: int | None = Field(None, ge=0, le=_YEAR_S)
    on_unknown_code: Literal["send-local", "hold"] = "send-local"

    @field_validator("hours")
    @classmethod
    def _opening_hours(cls, value: str) -> str:
        OpeningHours.parse(value, ZoneInfo("UTC"))
        return value

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        return _zone(value) if value else value

    @field_validator("id")
    @classmethod
    def _not_any(cls, value: str) -> str:
        if value == "any":
            raise ValueError("'any' is reserved")
        return value

    @field_validator("peer")
    @classmethod
    def _addresses(cls, peers: list[str]) -> list[str]:
        for peer in peers:
            if peer != "any":
                ip_network(peer)
        return peers

    @model_validator(mode="after")
    def _reachable(self) -> "AnalyserTable":
        if bool(self.transport) == bool(self.links):
            raise ValueError("needs either transport or links")
        for url in self.transports():
            if _beyond_loopback(url) and not self.peer:
                raise ValueError('a server beyond this machine needs peer = ["address"], or peer = ["any"]')
        return self

    def transports(self) -> list[str]:
        return [self.transport] if self.transport else [link.transport for link in self.links]

    def parts(self) -> list[tuple[str, str]]:
        """What each link is called, and its port; a single one needs no name."""
        if not self.links:
            return [("", self.transport)]
        roles = [link.role for link in self.links]
        return [
            (role if roles.count(role) == 1 else f"{role}-{roles[: number + 1].count(role)}", link.transport)
            for number, (role, link) in enumerate(zip(roles, self.links, strict=True))
        ]


def _beyond_loopback(url: str) -> bool:
    parts = urlsplit(url)
    if parts.scheme != "tcp-server":
        return False
    try:
        return not ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return parts.hostname != "localhost"


class Settings(_Table):
    agent: AgentTable
    mqtt: MqttTable
    hl7: Hl7Table = Hl7Table()
    store: StoreTable = StoreTable()
    drivers: DriversTable = DriversTable()
    web: WebTable = WebTable()
    site: SiteTable = SiteTable()
    metrics: MetricsTable = MetricsTable()
    analyser: list[AnalyserTable] = []

    def opening_hours(self, analyser: AnalyserTable) -> OpeningHours:
        return OpeningHours.parse(analyser.hours, self.zone(analyser))

    def zone(self, analyser: AnalyserTable) -> ZoneInfo:
        """The zone of the analyser's clock; the agent's where the analyser names none."""
        return ZoneInfo(analyser.timezone or self.agent.timezone)
