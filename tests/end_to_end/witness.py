"""A witness at the broker: every publication under `#`, as it was published, with its properties."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import paho.mqtt.client as paho
from end_to_end.contract import Publication
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.subscribeoptions import SubscribeOptions


class Witness:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._heard: list[Publication] = []
        self.ready = threading.Event()

    def heard(self) -> list[Publication]:
        with self._lock:
            return list(self._heard)

    def saw(self, topic_end: str, part: bytes = b"") -> bool:
        return any(p.topic.endswith(topic_end) and part in p.payload for p in self.heard())

    def cleared(self, topic_end: str) -> bool:
        return any(p.topic.endswith(topic_end) and not p.payload for p in self.heard())

    def take(self, message: paho.MQTTMessage) -> None:
        props = message.properties
        publication = Publication(
            message.topic,
            bytes(message.payload),
            message.qos,
            message.retain,
            getattr(props, "ContentType", None),
            getattr(props, "PayloadFormatIndicator", None),
            getattr(props, "MessageExpiryInterval", None),
            getattr(props, "CorrelationData", None),
            getattr(props, "ResponseTopic", None),
            tuple(getattr(props, "UserProperty", ())),
        )
        with self._lock:
            self._heard.append(publication)


@contextmanager
def witness(host: str, port: int) -> Iterator[Witness]:
    """QoS 2 and Retain As Published: the publisher's own QoS and retain flag come through."""
    seen = Witness()
    options = SubscribeOptions(qos=2, retainAsPublished=True)
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    client.on_connect = lambda c, *_: c.subscribe("#", options=options)
    client.on_subscribe = lambda *_: seen.ready.set()

    def take(_client: Any, _userdata: Any, message: paho.MQTTMessage) -> None:
        seen.take(message)

    client.on_message = take
    client.connect(host, port)
    client.loop_start()
    try:
        assert seen.ready.wait(10)
        yield seen
    finally:
        client.disconnect()
        client.loop_stop()
