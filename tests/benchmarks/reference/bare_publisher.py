"""Messages to a broker and answers back, with paho alone: no store, no order, no retries. One window of messages."""

import hashlib
import threading
import time

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

GATEWAY = "ivd/v1/seoul-01/bare"


class BarePublisher:
    """``deliver`` returns messages a second, from the first publication to the last answer."""

    def __init__(self, port: int, window: int) -> None:
        self._window = threading.Semaphore(window)
        self._left = 0
        self._all = threading.Event()
        self._ready = threading.Event()
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        self._client.max_inflight_messages_set(0)
        self._client.on_message = self._answered
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self._client.subscribe(f"{GATEWAY}/down/#", qos=1)
        assert self._ready.wait(10)

    def deliver(self, messages: list[tuple[str, bytes]]) -> float:
        self._left = len(messages)
        began = time.perf_counter()
        for message_id, payload in messages:
            self._window.acquire()
            self._client.publish(
                f"{GATEWAY}/up/xn1/result", payload, qos=1, properties=_properties(message_id, payload)
            )
        assert self._all.wait(120)
        return len(messages) / (time.perf_counter() - began)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _answered(self, *_: object) -> None:
        self._window.release()
        self._left -= 1
        if not self._left:
            self._all.set()


def _properties(message_id: str, payload: bytes) -> Properties:
    made = Properties(PacketTypes.PUBLISH)
    made.CorrelationData = message_id.encode()
    made.ResponseTopic = f"{GATEWAY}/down/ack/ivd"
    made.UserProperty = [("digest", hashlib.sha256(payload).hexdigest())]
    return made
