"""What the management system, or anybody on its broker, can send; what a person at the socket can ask."""

import asyncio
import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from support_conversion import bench
from support_gateway import ONE_GOOD_ONE_HELD, one_queued_one_held
from support_publisher import hl7_message, outbox_row

from edge_agent.clock import SystemClock
from edge_agent.control import ControlServer, socket_path
from edge_agent.hl7_check import judge as judge_hl7
from edge_agent.hl7_check import split
from edge_agent.monitor.alarms import Alarms
from edge_agent.monitor.payloads import Info
from edge_agent.monitor.presence import Presence
from edge_agent.publisher import answers
from edge_agent.publisher.events import Received
from edge_agent.publisher.gate import BadStateError, Gate
from edge_agent.publisher.namesake import is_namesake
from edge_agent.publisher.options import MqttOptions
from edge_agent.publisher.reconcile import Reconciler
from edge_agent.publisher.topics import Topics
from edge_agent.publisher.verdicts import Answer

OURS = "ABCD1234-00000000001"
ROW = outbox_row(OURS)
OPTIONS = MqttOptions(("mqtt://b",), "s", "g")
LATEST = b'{"online": true, "timestamp": ' + b"9" * 4300 + b"}"  # as long as a number may be
HL7_WORDS = (
    *(b"MSH|^~\\&|", b"\rMSA|AA|", b"\rMSA|AE|", b"MSA", b"\rERR|||207^x^HL70357|E", OURS.encode(), b"|", b"^", b"~"),
    *(
        b"\r",
        b"\n",
        b"\\",
        b"&",
        b"\\X0D\\",
        b"\\H\\",
        b"\xef\xbb\xbf",
        b"\xff",
        b'""',
        b"CA",
        b"2.5.1",
        b"ACK^R22^ACK",
    ),
)
JSON_WORDS = (
    *(b"{", b"}", b"[", b"]", b'"', b":", b",", b"true", b"null", b"NaN", b"-Infinity", b"1e999", b"1" * 30, b"-0"),
    *(b'"\\ud800"', b'"\\u0000"', b"[" * 2000, b'{"a":' * 2000, b"9" * 5000, b"\x00{\x00", b"\xff\xfe", b"1.5"),
)
STATE_WORDS = (b'"online"', b'"timestamp"', b'"state"', b'"session"', b"\x1e", b'"ready"', *JSON_WORDS)
RECONCILE_WORDS = (b'"store"', b'"analyser"', b'"last_filed"', b'"gaps"', b'"an1"', b"99999999999", *JSON_WORDS)
ASK_WORDS = (
    *(
        b'"ask"',
        b'"status"',
        b'"queue"',
        b'"show"',
        b'"trace"',
        b'"state"',
        b'"limit"',
        b'"analyser"',
        b'"id"',
        b'"t1"',
    ),
    *(b'"release"', b'"retry"', b'"set-aside"', b'"ids"', b'"note"', b'"held"', b'"S24-0028"', *JSON_WORDS),
)


def acks() -> list[bytes]:
    start = b"MSH|^~\\&|IVD|CENTRAL|||20240301||ACK^R22^ACK|1|P|2.5.1\r"
    said = [b"AA", b"AE", b"AR", b"CA", b"CR"]
    plain = [start + b"MSA|%s|%s|words\r" % (code, OURS.encode()) for code in said]
    return [*plain, plain[1] + b"ERR|||207^internal^HL70357|E||||patient unknown\r", hl7_message(OURS)]


def answer(data: bytes) -> None:
    """An acknowledgement: filed is only what says AA and our id, and it must say both."""
    user = (("digest", ROW.digest),)
    ack = answers.read(Received(1, 1, 1, "down/ack/ivd", data, False, OURS.encode(), user), "ivd")
    if ack is None:
        return
    outcome = answers.judge(ack, ROW if ack.control_id == OURS else None, OPTIONS)
    if outcome.answer is Answer.FILED:
        assert b"AA" in data, "closed by another answer"
        assert OURS.encode() in data, "closed by an answer to something else"


def states() -> list[bytes]:
    one = b'{"online": true, "timestamp": 1718161200250}'
    off = b'{"online": false, "timestamp": 1718161200251}'
    return [one, off, one + b"\x1e" + off, off + b"\x1e\x1e" + one, off.replace(b"1718161200251", b"1e99")]


def state(data: bytes) -> None:
    """STATE payloads of one instance; whatever it said, a later birth opens the gate again."""
    gate = Gate(("ivd",), SystemClock())
    for payload in data.split(b"\x1e"):
        with suppress(BadStateError):
            gate.heard("ivd", "a", payload)
    gate.heard("ivd", "a", LATEST)
    assert gate.is_open("ivd"), "closed for ever"


def retained(data: bytes) -> None:
    """A topic of somebody, and a birth under our own ``state``; both read in the thread that delivers."""
    topics = Topics("ivd/v1", "seoul-01", "gw-01")
    topic, _, payload = data.partition(b"\x1e")
    for name in (topic.decode("utf-8", "replace"), topics.root + topic.decode("utf-8", "replace")):
        topics.acking_consumer(name)
        topics.own_name(name)
        topics.central_instance(name)
        topics.is_down(name)
    assert is_namesake(payload, ("ours",)) in (True, False)


def births() -> list[bytes]:
    return [
        b'state\x1e{"state": "ready", "session": "theirs"}',
        b'_central/ivd/a/state\x1e{"online": true}',
        b"down/ack/ivd",
    ]


def requests() -> list[bytes]:
    base = {"store": "0A1B2C3D", "analyser": "an1", "last_filed": 3, "gaps": [[1, 1], [3, 900]]}
    more = [{}, {"last_filed": 0, "gaps": []}, {"gaps": [[2, 1]]}, {"analyser": "an9"}, {"last_filed": 99_999_999_999}]
    return [json.dumps(base | changes).encode() for changes in more]


def reconcile(folder: Path, stack: ExitStack) -> Callable[[bytes], None]:
    """A request for what is missing, through to a real store; only the storage may fail, and it does not here."""
    stored = stack.enter_context(bench(folder))
    stored.receive(ONE_GOOD_ONE_HELD)
    stored.convert()
    for row in stored.messages():
        stored.file(row.id)
    thread = stored.store
    identity = thread.later(lambda s: s.identity).result(20).encode()
    loop = asyncio.new_event_loop()
    stack.callback(loop.close)
    alarms = Alarms(SystemClock())
    info = Info(version="0", site="seoul-01", gateway="gw-01")
    presence = Presence("0", alarms, info)
    told: Any = SimpleNamespace()
    made = Reconciler(thread, told, alarms, presence, SystemClock(), lambda: None)

    def run(data: bytes) -> None:
        payload = data.replace(b"0A1B2C3D", identity)
        loop.run_until_complete(made.take(Received(1, 1, 1, "down/reconcile", payload, False, None, ())))
        assert thread.failed is None, "a request stopped the storage"

    return run


def questions() -> list[bytes]:
    asked: Sequence[dict[str, Any]] = (
        {"ask": "status"},
        {"ask": "queue", "state": "held", "analyser": "an1", "limit": 5},
        {"ask": "queue"},
        {"ask": "show", "id": "S24-0028"},
        {"ask": "trace", "id": "t1"},
        {"ask": "retry", "ids": ["t1"], "note": "again"},
        {"ask": "release", "note": "corrected"},
        {"ask": "set-aside", "ids": ["t1"], "note": "known"},
    )
    return [json.dumps(each).encode() + b"\n" for each in asked]


def control(folder: Path, stack: ExitStack) -> Callable[[bytes], None]:
    """A line at the socket: the real answers on a real store; none is a defect, and the storage goes on."""
    made = stack.enter_context(one_queued_one_held(folder))
    table = {**made.questions.answers(), **made.decisions.answers()}
    server = ControlServer(socket_path(folder), table)  # never started: asked directly

    async def replies(data: bytes) -> list[bytes]:
        reader = asyncio.StreamReader(limit=64 * 1024)
        reader.feed_data(data)
        reader.feed_eof()
        return [reply async for reply in server._replies(reader, 0)]

    def run(data: bytes) -> None:
        for reply in made.run(replies(data)):
            assert json.loads(reply).get("code") != "internal", "an answer raised what it does not declare"
        assert made.bench.store.failed is None, "a request stopped the storage"

    return run


def message(data: bytes) -> None:
    """`hl7 check` of any file."""
    for text in split(data):
        judge_hl7(text)
