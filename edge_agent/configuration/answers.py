"""One answer at a time, judged by the rules that judge the whole file. Touches no port."""

import random
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, ValidationError

from edge_agent.clock import SystemClock
from edge_agent.configuration.file import sentence
from edge_agent.publisher.options import BrokerUrlError, broker
from edge_agent.settings import AgentTable, AnalyserTable, MqttTable
from edge_agent.transport.errors import PortUrlError
from edge_agent.transport.open import transport_for

# Each table with what it needs to be a table at all, so that only the answer can be wrong.
_TABLES: Mapping[str, tuple[type[BaseModel], Mapping[str, Any]]] = MappingProxyType(
    {
        "agent": (AgentTable, {"site": "site", "gateway": "gateway"}),
        "mqtt": (MqttTable, {"urls": ["mqtt://localhost"]}),
        "analyser": (
            AnalyserTable,
            {"id": "id", "profile": "lis02_generic", "transport": "tcp-server://127.0.0.1:1"},
        ),
    }
)


def objection(table: str, key: str, value: object) -> str:
    """Why ``value`` cannot stand under ``key``; "" when it can."""
    model, needed = _TABLES[table]
    try:
        model.model_validate({**needed, key: value})
    except ValidationError as error:
        return next((sentence(dict(e)) for e in error.errors() if e["loc"][:1] == (key,)), "")
    return ""


def broker_objection(url: str) -> str:
    if wrong := objection("mqtt", "urls", [url]):
        return wrong
    try:
        broker(url)
    except BrokerUrlError as error:
        return str(error)
    return ""


def port_objection(url: str, peer: list[str]) -> str:
    """Why an analyser cannot have this port with these peers; "" when it can."""
    if wrong := objection("analyser", "peer", peer):
        return wrong
    try:
        transport_for(url, peer=peer, clock=SystemClock(), rng=random.Random(0))  # noqa: S311 jitter
    except PortUrlError as error:
        return error.sentence if error.action.startswith("Correct transport") else f"{error.sentence} {error.action}"
    return ""


def file_objection(config: Path, name: str) -> str:
    """Why the file ``name``, beside ``config`` if relative, cannot be read."""
    path = config.parent / name
    try:
        path.read_bytes()
    except FileNotFoundError:
        return f"{path} does not exist"
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}"
    return ""
