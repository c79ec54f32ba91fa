"""The contract held against what was really published, in both directions.

It knows the document and JSON Schema, nothing of the agent. ``differences`` says what of a publication the document
does not describe; ``unseen`` says what it promises and nobody published, and what it calls not yet and somebody did.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from jsonschema import Draft7Validator, FormatChecker


@dataclass(frozen=True)
class Publication:
    """One PUBLISH as a witness gets it; None where a property is absent."""

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False
    content_type: str | None = None
    format: int | None = None
    expiry: int | None = None
    correlation: bytes | None = None
    response_topic: str | None = None
    user: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return f"{self.topic} ({len(self.payload)} bytes)"


class Contract:
    def __init__(self, document: dict[str, Any]) -> None:
        self._doc = document
        self._channels = {name: (_filter(c["address"]), c) for name, c in document["channels"].items()}
        self._bindings: dict[str, dict[str, Any]] = {}
        for operation in document["operations"].values():
            self._bindings[self._name(operation["channel"])] = operation["bindings"]["mqtt"]

    # What was published, by the document

    def differences(self, publications: Iterable[Publication]) -> list[str]:
        return [f"{p}: {fault}" for p in publications for fault in self._faults(p)]

    def _faults(self, p: Publication) -> Iterator[str]:
        channel = self._channel(p.topic)
        if channel is None:
            yield "no channel has this topic"
            return
        if channel not in self._bindings:
            yield f"published, but channel {channel} is marked not yet"
            return
        yield from self._wrong_packet(p, self._bindings[channel])
        message = self._message(channel, p)
        if message is None:
            yield "no message of the channel has this payload"
            return
        yield from self._wrong_properties(p, message)
        yield from self._wrong_user_properties(p, message)
        yield from (f"payload: {e.json_path}: {e.message[:80]}" for e in self._errors(message["payload"], _read(p)))

    def _wrong_packet(self, p: Publication, binding: dict[str, Any]) -> Iterator[str]:
        if p.qos != binding["qos"]:
            yield f"QoS {p.qos}"
        if p.retain != binding["retain"]:
            yield f"retain {p.retain}"
        longest = binding.get("messageExpiryInterval")
        if (p.expiry is None) != (longest is None) or (p.expiry or 0) > (longest or 0):
            yield f"expiry {p.expiry}"

    def _wrong_properties(self, p: Publication, message: dict[str, Any]) -> Iterator[str]:
        binding = message["bindings"]["mqtt"]
        if p.content_type != binding["contentType"] or p.content_type != message["contentType"]:
            yield f"content type {p.content_type}"
        if p.format != binding["payloadFormatIndicator"]:
            yield f"payload format {p.format}"
        correlation = None if p.correlation is None else p.correlation.decode("ascii", "replace")
        for name, value in (("correlationData", correlation), ("responseTopic", p.response_topic)):
            if (value is None) != (name not in binding):
                yield f"{name} is {'missing' if value is None else 'undeclared'}"
            elif value is not None and self._errors(binding[name], value):
                yield f"{name} is not as described"

    def _wrong_user_properties(self, p: Publication, message: dict[str, Any]) -> Iterator[str]:
        if len(dict(p.user)) != len(p.user):
            yield "a user property twice"
        declared = message.get("headers", {"type": "object", "additionalProperties": False})
        yield from (f"user property: {e.message[:80]}" for e in self._errors(declared, dict(p.user)))
        marked = [n for n, s in declared.get("properties", {}).items() if s.get("x-not-yet") and n in dict(p.user)]
        yield from (f"user property {name} is marked not yet" for name in marked)

    def _errors(self, schema: dict[str, Any], value: Any) -> list[Any]:
        whole = {**schema, "components": self._doc["components"]}
        return list(Draft7Validator(whole, format_checker=FormatChecker()).iter_errors(value))

    # What the document promises, by what was published

    def unseen(self, publications: Iterable[Publication]) -> list[str]:
        seen = {fact for p in publications for fact in self._facts(p)}
        marked = set(self._marked())
        return [*(f"never seen: {fact}" for fact in sorted(set(self._promised()) - seen - marked))] + [
            f"seen though marked not yet: {fact}" for fact in sorted(seen & marked)
        ]

    def _promised(self) -> Iterator[str]:
        for name in self._bindings:
            yield f"channel {name}"
            for message in self._doc["channels"][name]["messages"]:
                yield f"channel {name}: message {message}"
                made = self._doc["components"]["messages"][message]
                yield from (f"message {message}: property {p}" for p in made.get("headers", {}).get("properties", ()))
                for header, schema in made.get("headers", {}).get("properties", {}).items():
                    yield from (f"message {message}: property {header} = {word}" for word in schema.get("enum", ()))
                yield from (f"message {message}: {path}" for path in self._paths(made["payload"]))

    def _paths(self, schema: dict[str, Any], above: str = "$") -> Iterator[str]:
        """Every field of a schema and every word of an enumeration, by its JSON path."""
        schema = self._resolved(schema)
        for name, inner in schema.get("properties", {}).items():
            yield f"{above}.{name}"
            yield from self._paths(inner, f"{above}.{name}")
        if "items" in schema:
            yield from self._paths(schema["items"], f"{above}[]")
        yield from (f"{above} = {word}" for word in schema.get("enum", ()))

    def _marked(self) -> Iterator[str]:
        for name, message in self._doc["components"]["messages"].items():
            for header, schema in message.get("headers", {}).get("properties", {}).items():
                if schema.get("x-not-yet"):
                    yield f"message {name}: property {header}"
            for field, schema in self._resolved(message["payload"]).get("properties", {}).items():
                yield from (f"message {name}: $.{field} = {word}" for word in schema.get("x-not-yet", ()))

    def _facts(self, p: Publication) -> Iterator[str]:
        channel = self._channel(p.topic)
        message = None if channel is None else self._message(channel, p)
        if channel is None or message is None:
            return
        yield f"channel {channel}"
        yield f"channel {channel}: message {message['name']}"
        for name, value in p.user:
            yield f"message {message['name']}: property {name}"
            yield f"message {message['name']}: property {name} = {value}"
        if message["contentType"] == "application/json" and p.payload:
            yield from (f"message {message['name']}: {fact}" for fact in _filled(json.loads(p.payload)))

    # Ways in the document

    def _channel(self, topic: str) -> str | None:
        return next((name for name, (pattern, _) in self._channels.items() if pattern.fullmatch(topic)), None)

    def _message(self, channel: str, p: Publication) -> dict[str, Any] | None:
        """The message meant: one that is empty for an empty payload, else the other."""
        for reference in self._doc["channels"][channel].get("messages", {}).values():
            message: dict[str, Any] = self._resolved(reference)
            if (message["payload"].get("maxLength") == 0) == (not p.payload):
                return message
        return None

    def _resolved(self, value: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in value:
            found: Any = self._doc
            for key in value["$ref"].removeprefix("#/").split("/"):
                found = found[key]
            value = found
        return value

    @staticmethod
    def _name(reference: dict[str, str]) -> str:
        return reference["$ref"].rpartition("/")[2]

    def subscriptions(self) -> set[str]:
        """Filters of everything the gateway receives."""
        names = {self._name(o["channel"]) for o in self._doc["operations"].values() if o["action"] == "receive"}
        return {re.sub(r"\{[^}]+\}", "+", self._doc["channels"][name]["address"]) for name in names}


def _filter(address: str) -> re.Pattern[str]:
    return re.compile("/".join("[^/]+" if level.startswith("{") else re.escape(level) for level in address.split("/")))


def _read(p: Publication) -> Any:
    if p.content_type != "application/json" or not p.payload:
        return p.payload.decode("utf-8", "replace")
    try:
        return json.loads(p.payload)
    except ValueError:
        return p.payload.decode("utf-8", "replace")


def _filled(value: Any, above: str = "$") -> Iterator[str]:
    """Every field that says something: null, an empty text and an empty list do not."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if inner not in (None, "", [], {}):
                yield f"{above}.{name}"
                yield from _filled(inner, f"{above}.{name}")
    elif isinstance(value, list):
        for inner in value:
            yield from _filled(inner, f"{above}[]")
    else:
        yield f"{above} = {value}"
