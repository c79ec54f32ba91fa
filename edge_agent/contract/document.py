"""The contract with the management system as an AsyncAPI 3.0 document, made from the tables the agent works with.

The application described is the gateway: it *sends* what is written by it and *receives* what the management system
writes. A topic of the design that nothing uses yet has a channel with ``x-not-yet`` and no operation. Sources: AsyncAPI
3.0.0; MQTT bindings 0.2.0, which know no user properties, so these are the messages' headers.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edge_agent.contract import messages
from edge_agent.contract.messages import BINDING, MESSAGES, Message, json_schemas
from edge_agent.publisher.client import SESSION_EXPIRY_S
from edge_agent.publisher.topics import CENTRAL_STATE, TOPICS, TopicRow, Writer
from edge_agent.settings import Settings
from edge_agent.version import __version__

_NAME = "[a-z0-9-]{1,32}"
_PARAMETERS = {
    "site": f"The site's name, {_NAME}.",
    "gateway": f"The gateway's name, {_NAME}; unique, and the common name of its certificate.",
    "analyser": f"The analyser's id, {_NAME}.",
    "consumer": f"The management system's name, {_NAME}.",
    "instance": "One process of the management system.",
    "id": "The alarm's code, then a full stop and the analyser where it is about one.",
    "name": "The command's name.",
}


@dataclass(frozen=True, slots=True)
class Channel:
    """What one line of the topic table is here. No message: nothing uses it yet."""

    name: str
    messages: Sequence[Message] = ()

    @property
    def not_yet(self) -> bool:
        return not self.messages


CHANNELS: Mapping[str, Channel] = {
    "state": Channel("state", (messages.STATE,)),
    "info": Channel("info", (messages.INFO,)),
    "health": Channel("health", (messages.HEALTH,)),
    "alarm/{id}": Channel("alarm", (messages.ALARM, messages.CLEARED)),
    "analyser/{analyser}/state": Channel("analyserState", (messages.ANALYSER_STATE, messages.CLEARED)),
    "up/{analyser}/result": Channel("result", (messages.RESULT,)),
    "up/{analyser}/qc": Channel("qc", (messages.RESULT,)),
    "up/{analyser}/validation": Channel("validation", (messages.RESULT,)),
    "up/{analyser}/query": Channel("query"),
    "up/{analyser}/order-reply": Channel("orderReply"),
    "up/manifest": Channel("manifest", (messages.MANIFEST,)),
    "up/event": Channel("event"),
    "up/command-reply/{name}": Channel("commandReply"),
    "down/ack/{consumer}": Channel("ack", (messages.ACKNOWLEDGEMENT,)),
    "down/reconcile": Channel("reconcile", (messages.RECONCILE,)),
    "down/echo": Channel("echo", (messages.NONCE,)),
    "down/order/{analyser}": Channel("order"),
    "down/reply/{analyser}": Channel("reply"),
    "down/command/{name}": Channel("command"),
}
_CENTRAL = TopicRow(CENTRAL_STATE, Writer.CENTRAL, "JSON", True, note="retained, and the will of each instance")
_CENTRAL_CHANNEL = Channel("centralState", (messages.CENTRAL_STATE_MESSAGE,))


@dataclass(frozen=True, slots=True)
class Place:
    """What a site's configuration says; without one, the general contract with the defaults."""

    prefix: str = "ivd/v1"
    site: str = "{site}"
    gateway: str = "{gateway}"
    url: str = "mqtts://broker.example:8883"
    consumers: tuple[str, ...] = ()
    analysers: tuple[str, ...] = ()
    keepalive_s: int = 30
    will_delay_s: int = 10

    @classmethod
    def of(cls, settings: Settings) -> "Place":
        mqtt, consumers = settings.mqtt, settings.mqtt.consumers()
        return cls(
            prefix=mqtt.prefix,
            site=settings.agent.site,
            gateway=settings.agent.gateway,
            url=mqtt.urls[0],
            consumers=tuple(dict.fromkeys((consumers.result, consumers.qc, consumers.validation))),
            analysers=tuple(analyser.id for analyser in settings.analyser),
            keepalive_s=mqtt.keepalive_s,
            will_delay_s=mqtt.will_delay_s,
        )

    @property
    def root(self) -> str:
        return f"{self.prefix}/{self.site}/{self.gateway}/"

    @property
    def response_topic(self) -> str:
        """A pattern for it."""
        levels = re.sub(r"\{[a-z]+\}", _NAME, self.root)
        names = "|".join(self.consumers)
        return f"^{levels}down/ack/{f'({names})' if names else _NAME}$"

    def leaves_open(self, parameter: str) -> bool:
        return {"site": self.site, "gateway": self.gateway}.get(parameter, "{").startswith("{")

    def enum(self, parameter: str) -> tuple[str, ...]:
        """The only values this site has; () = any."""
        return {"consumer": self.consumers, "analyser": self.analysers}.get(parameter, ())


GENERAL = Place()


def document(place: Place = GENERAL) -> dict[str, Any]:
    """The whole document as plain data, ready to be written as JSON or YAML."""
    rows = [(row, CHANNELS[row.pattern], place.root + row.pattern) for row in TOPICS]
    rows.append((_CENTRAL, _CENTRAL_CHANNEL, f"{place.prefix}/{CENTRAL_STATE}"))
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "IVD edge agent",
            "version": __version__,
            "description": "Results of laboratory analysers as HL7 over MQTT 5. The application described is the "
            "gateway: it sends, the management system receives; what it receives, the management system sends. "
            "User properties of MQTT are the headers of a message. QoS 1 everywhere. A later version may add JSON "
            "fields and user properties: skip what you do not know. Rules beyond this list: docs/mqtt-contract.md.",
            "license": {"name": "Apache-2.0"},
        },
        "servers": {"broker": _server(place)},
        "channels": {channel.name: _channel(place, row, channel, address) for row, channel, address in rows},
        "operations": {name: made for row, channel, _ in rows for name, made in _operations(row, channel)},
        "components": {
            "parameters": {name: _parameter(place, name) for name in _PARAMETERS if place.leaves_open(name)},
            "messages": {message.name: message.described(place.response_topic) for message in MESSAGES},
            "schemas": json_schemas(),
        },
    }


def _server(place: Place) -> dict[str, Any]:
    scheme, _, host = place.url.partition("://")
    will = {"topic": f"{place.root}state", "qos": 1, "retain": True, "message": "state lost, with its birth's session"}
    binding = {
        "clientId": place.gateway,
        "cleanSession": False,
        "lastWill": will,
        "keepAlive": place.keepalive_s,
        "sessionExpiryInterval": SESSION_EXPIRY_S,
        "x-will-delay-interval": place.will_delay_s,
        "bindingVersion": BINDING,
    }
    return {
        "host": host,
        "protocol": "secure-mqtt" if scheme == "mqtts" else "mqtt",
        "protocolVersion": "5.0",
        "description": "The broker between gateways and management system.",
        "bindings": {"mqtt": binding},
    }


def _channel(place: Place, row: TopicRow, channel: Channel, address: str) -> dict[str, Any]:
    made: dict[str, Any] = {"address": address, "title": row.payload}
    if row.note:
        made["description"] = row.note
    if names := re.findall(r"\{([a-z]+)\}", address):
        made["parameters"] = {name: {"$ref": f"#/components/parameters/{name}"} for name in names}
    if channel.not_yet:
        return {**made, "x-not-yet": True, "x-written-by": str(row.writer)}
    made["messages"] = {m.name: {"$ref": f"#/components/messages/{m.name}"} for m in channel.messages}
    return {**made, "x-written-by": str(row.writer)}


def _parameter(place: Place, name: str) -> dict[str, Any]:
    known = place.enum(name)
    return {"description": _PARAMETERS[name], **({"enum": list(known)} if known else {})}


def _operations(row: TopicRow, channel: Channel) -> Iterator[tuple[str, dict[str, Any]]]:
    if channel.not_yet:
        return
    name = channel.name[0].upper() + channel.name[1:]
    if row.writer is not Writer.CENTRAL:
        yield f"send{name}", _operation("send", row, channel)
    if row.writer is not Writer.GATEWAY:
        yield f"receive{name}", _operation("receive", row, channel)
    elif row.reads_back:
        yield f"readBack{name}", _operation("receive", row, channel)


def _operation(action: str, row: TopicRow, channel: Channel) -> dict[str, Any]:
    binding: dict[str, Any] = {"qos": 1, "retain": row.retained}
    if row.expiry_s:
        binding["messageExpiryInterval"] = row.expiry_s
    made: dict[str, Any] = {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel.name}"},
        "messages": [{"$ref": f"#/channels/{channel.name}/messages/{m.name}"} for m in channel.messages],
        "bindings": {"mqtt": {**binding, "bindingVersion": BINDING}},
    }
    if messages.RESULT in channel.messages:
        answer = f"#/channels/ack/messages/{messages.ACKNOWLEDGEMENT.name}"
        made["reply"] = {"channel": {"$ref": "#/channels/ack"}, "messages": [{"$ref": answer}]}
    return made
