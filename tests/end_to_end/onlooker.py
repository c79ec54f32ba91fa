"""Central IT's view: a plain MQTT client that remembers the newest retained payload of every topic of a gateway."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion


class Onlooker:
    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._lock = threading.Lock()
        self._newest: dict[str, bytes] = {}
        self.subscribed = False
        self.say: Callable[[str], object] = lambda topic: None

    def heard(self, topic: str, payload: bytes) -> None:
        with self._lock:
            self._newest[topic.removeprefix(f"{self._prefix}/")] = payload

    def json(self, topic: str) -> Any:
        with self._lock:
            payload = self._newest.get(topic, b"")
        return json.loads(payload) if payload else None

    def topics(self) -> set[str]:
        """Those whose newest payload is not empty."""
        with self._lock:
            return {topic for topic, payload in self._newest.items() if payload}

    def alarms(self) -> dict[str, Any]:
        """id -> payload of the alarms that are up."""
        with self._lock:
            up = {t: p for t, p in self._newest.items() if t.startswith("alarm/") and p}
        return {t.removeprefix("alarm/"): json.loads(p) for t, p in up.items()}


@contextmanager
def onlooker(host: str, port: int, prefix: str, what: str = "#") -> Iterator[Onlooker]:
    seen = Onlooker(prefix)
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    client.on_connect = lambda c, *_: c.subscribe(f"{prefix}/{what}", 1)
    client.on_message = lambda _c, _u, m: seen.heard(m.topic, m.payload)
    client.on_subscribe = lambda *_: setattr(seen, "subscribed", True)
    seen.say = lambda topic: client.publish(f"{prefix}/{topic}", b"x", 1)
    client.connect(host, port)
    client.loop_start()
    try:
        yield seen
    finally:
        client.disconnect()
        client.loop_stop()
