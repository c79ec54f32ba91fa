"""The JSON payloads of our retained topics. Times are RFC 3339 in UTC. Nothing of a patient has a field here."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, PlainSerializer, WithJsonSchema

from edge_agent.monitor.alarms import Alarm
from edge_agent.times import rfc3339

Utc = Annotated[
    datetime,
    PlainSerializer(rfc3339, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time", "pattern": "Z$"}, mode="serialization"),
]


class Payload(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_serialization_defaults_required=True)

    def encode(self) -> bytes:
        return self.model_dump_json().encode("utf-8")


class State(Payload):
    """Topic ``state``. The will carries ``lost`` and the session of the birth it belongs to."""

    state: Literal["starting", "ready", "degraded", "stopping", "offline", "lost"]
    session: str
    ts: Utc
    version: str
    reason: str = ""


class ProfileInfo(Payload):
    analyser: str
    profile: str
    revision: int
    hash: str
    mode: str


class Info(Payload):
    """Topic ``info``: what runs here."""

    version: str
    site: str
    gateway: str
    store: str = ""  # identity of the store: the first eight characters of its message ids
    config_hash: str = ""
    profiles: tuple[ProfileInfo, ...] = ()


class ClockInfo(Payload):
    now: Utc
    jumped_s: int = 0  # how far the wall clock last moved against the steady one, since the last report
    trusted: bool = True  # false: it shows a time that cannot be
    synchronised: bool | None = None  # null: nobody here can tell


class AuditHead(Payload):
    entry: int
    hash: str


class Health(Payload):
    """Topic ``health``, every 60 s, expiring after 180 s: a stale heartbeat vanishes instead of lying."""

    ts: Utc
    store: str
    backlog: int  # queued, at the broker, rejected or blocked
    queued: int
    at_broker: int
    filed: int
    rejected: int
    blocked: int
    oldest_unfiled_s: int | None
    held: int
    failed: int
    disk_free_mb: int
    clock: ClockInfo
    audit: AuditHead
    alarms: int


class AlarmState(Payload):
    """Topic ``alarm/{id}`` while it is up. ``text_key`` is the code: the centre may translate it."""

    id: str
    severity: str
    since: Utc
    analyser: str
    text_key: str
    params: dict[str, str]

    @classmethod
    def of(cls, alarm: Alarm) -> "AlarmState":
        return cls(
            id=alarm.id,
            severity=alarm.severity,
            since=alarm.since,
            analyser=alarm.analyser,
            text_key=alarm.code,
            params=dict(alarm.params),
        )


class AnalyserState(Payload):
    """Topic ``analyser/{analyser}/state``; meaningful only while ``state`` is not ``lost`` or ``offline``."""

    link: Literal["up", "down"]
    protocol: Literal["idle", "receiving", "sending", "error"]
    since: Utc
    last_byte: Utc | None = None
    last_result: Utc | None = None
    usual_gap_s: int | None = None
    held: int = 0
    failed: int = 0
    clock_ahead_s: int | None = None  # its clock against ours, negative: behind; null: it does not say
