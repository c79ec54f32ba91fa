"""The shipped access list, as a real Mosquitto applies it: every topic of the contract against every kind of client.

The table is worked out by hand from the contract. What was really delivered is seen by a witness who may read and write
everything, since the broker answers "granted" to a subscription it will never serve.
"""

import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from support_broker import HOST, Authority, Broker, running, shipped_broker
from support_publisher import until

pytestmark = pytest.mark.broker

WITNESS = "\nuser witness\ntopic readwrite #\n"
NOT_AUTHORISED = 0x87

SELF, ALL_SYSTEMS = "gateway", "ivd qc-system noc"
# Under {prefix}/{site}/{gateway}/: who may write, who may read. "gateway" is the one whose topic it is.
TABLE = {
    "state": (SELF, f"{SELF} {ALL_SYSTEMS}"),
    "info": (SELF, ALL_SYSTEMS),
    "health": (SELF, ALL_SYSTEMS),
    "alarm/disk-low": (SELF, f"{SELF} {ALL_SYSTEMS}"),
    "analyser/xn1/state": (SELF, f"{SELF} {ALL_SYSTEMS}"),
    "up/xn1/result": (SELF, "ivd"),
    "up/xn1/qc": (SELF, "ivd qc-system"),
    "up/xn1/validation": (SELF, "ivd"),
    "up/xn1/query": (SELF, "ivd"),
    "up/xn1/order-reply": (SELF, "ivd"),
    "up/manifest": (SELF, "ivd qc-system"),
    "up/event": (SELF, "ivd"),
    "up/command-reply/reload": (SELF, "ivd"),
    "down/ack/ivd": ("ivd", SELF),
    "down/ack/qc-system": ("qc-system", SELF),
    "down/reconcile": ("ivd", SELF),
    "down/echo": (SELF, SELF),
    "down/order/xn1": ("ivd", SELF),
    "down/order/any": ("ivd", SELF),
    "down/reply/xn1": ("ivd", SELF),
    "down/command/reload": ("ivd", SELF),
    "somewhere/else": ("", ""),
}
GATEWAYS = ("gw-1", "gw-10")  # one name is the beginning of the other
PRINCIPALS = (*GATEWAYS, "ivd", "qc-system", "noc", "stranger")
EVERYBODY = " ".join(PRINCIPALS)
ROOT = "ivd/v1/seoul-01"
OTHERS = {
    "ivd/v1/_central/ivd/a/state": ("ivd", EVERYBODY),
    "ivd/v1/_central/qc-system/b/state": ("qc-system", EVERYBODY),
    "ivd/v1/busan-02/gw-1/up/xn1/result": (
        "gw-1",
        "ivd",
    ),  # a gateway's name is unique in the fleet, so no site is given
    # A system is no gateway: no results under a name of its own, though patterns hold for every user.
    f"{ROOT}/ivd/up/xn1/result": ("", ""),
    f"{ROOT}/qc-system/up/xn1/result": ("", "ivd"),
    f"{ROOT}/noc/up/xn1/result": ("", "ivd"),
    "ivd/v2/seoul-01/gw-1/state": ("", ""),
    "elsewhere": ("", ""),
    "$SYS/broker/uptime": ("", ""),
}


def rights() -> Iterator[tuple[str, set[str], set[str]]]:
    """(topic, who may write, who may read) for both gateways and for what is nobody's."""
    for gateway in GATEWAYS:
        for name, (writers, readers) in TABLE.items():
            yield f"{ROOT}/{gateway}/{name}", _named(writers, gateway), _named(readers, gateway)
    for topic, (writers, readers) in OTHERS.items():
        yield topic, set(writers.split()), set(readers.split())


def _named(who: str, gateway: str) -> set[str]:
    return {gateway if name == SELF else name for name in who.split()}


@dataclass
class Client:
    """One certificate's bearer: what it was answered, what it got."""

    name: str
    port: int
    authority: Authority
    answers: dict[int, int] = field(default_factory=dict)
    got: set[tuple[str, bytes]] = field(default_factory=set)

    def start(self, *, will: str = "") -> "Client":
        self.connected, self.subscribed = threading.Event(), threading.Event()
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="any", protocol=paho.MQTTv5)
        context = ssl.create_default_context(cafile=str(self.authority.file))
        context.load_cert_chain(*self.authority.issue(self.name))
        self.client.tls_set_context(context)
        self.client.on_connect = lambda *_: self.connected.set()
        self.client.on_subscribe = lambda *_: self.subscribed.set()
        self.client.on_publish = lambda _c, _u, mid, code, _p: self.answers.__setitem__(mid, code.value)
        self.client.on_message = lambda _c, _u, message: self.got.add((message.topic, bytes(message.payload)))
        self.client.max_inflight_messages_set(10)
        if will:
            self.client.will_set(will, f"will of {self.name}".encode(), qos=1)
        self.client.connect(HOST, self.port)
        self.client.loop_start()
        assert self.connected.wait(10), self.name
        return self

    def subscribe(self, *filters: str) -> None:
        self.subscribed.clear()
        self.client.subscribe([(f, paho.SubscribeOptions(qos=1)) for f in filters])
        assert self.subscribed.wait(10), self.name

    def publish(self, topic: str, payload: str) -> int:
        """The broker's answer."""
        mid = self.client.publish(topic, payload.encode(), qos=1).mid
        answer: int = until(lambda: self.answers.get(mid, -1) + 1, f"an answer to {self.name}") - 1
        return answer

    def stop(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Broker]:
    """mosquitto.conf as shipped but for its paths and port; the access list as shipped, and a witness."""
    folder = tmp_path_factory.mktemp("broker")
    with running(shipped_broker(folder, authority, WITNESS)) as one:
        yield one


@pytest.fixture
def make_client(broker: Broker, authority: Authority) -> Iterator["MakeClient"]:
    made = MakeClient(broker.port, authority)
    yield made
    for client in made.made:
        client.stop()


@dataclass
class MakeClient:
    port: int
    authority: Authority
    made: list[Client] = field(default_factory=list)

    def __call__(self, name: str, will: str = "") -> Client:
        self.made.append(Client(name, self.port, self.authority).start(will=will))
        return self.made[-1]


def heard(witness: Client, what: str) -> None:
    """The witness has everything that was published before."""
    witness.publish("witness/end", what)
    until(lambda: ("witness/end", what.encode()) in witness.got, "the witness heard its own last word")


@pytest.mark.parametrize("name", PRINCIPALS)
def test_who_may_write_what(make_client: MakeClient, name: str) -> None:
    witness = make_client("witness")
    witness.subscribe("#")
    client = make_client(name)
    answers = {topic: client.publish(topic, f"by {name}") for topic, _, _ in rights()}
    heard(witness, name)
    delivered = {topic for topic, payload in witness.got if payload == f"by {name}".encode()}
    assert delivered == {topic for topic, writers, _ in rights() if name in writers}
    refused = {topic for topic, answer in answers.items() if answer == NOT_AUTHORISED}
    assert refused == {topic for topic, writers, _ in rights() if name not in writers}


@pytest.mark.parametrize("name", PRINCIPALS)
def test_who_may_read_what(make_client: MakeClient, name: str) -> None:
    """Whatever filter it tries: the topic itself, everything, a share of everything."""
    witness, client = make_client("witness"), make_client(name)
    topics = [topic for topic, _, _ in rights() if not topic.startswith("$")]
    client.subscribe(*topics, "#", "+/+/+/+/#", f"$share/{name}/ivd/#", "$SYS/#")
    for topic in topics:
        witness.publish(topic, f"for {name}")
    end = "ivd/v1/_central/ivd/a/state"  # everybody may read it
    witness.publish(end, f"end for {name}")
    until(lambda: (end, f"end for {name}".encode()) in client.got, "the last message")
    assert {topic for topic, _ in client.got} == {topic for topic, _, readers in rights() if name in readers}


def test_where_the_list_allows_everything_the_same_witness_sees_it(tmp_path: Path, authority: Authority) -> None:
    """Negative control of the two above."""
    with running(shipped_broker(tmp_path / "broker", authority, f"{WITNESS}user gw-10\ntopic readwrite #\n")) as broker:
        make = MakeClient(broker.port, authority)
        witness, client = make("witness"), make("gw-10")
        for one in (witness, client):
            one.subscribe("#")
        forged, secret = f"{ROOT}/gw-1/up/xn1/result", f"{ROOT}/gw-1/down/order/any"
        assert client.publish(forged, "forged") != NOT_AUTHORISED
        witness.publish(secret, "secret")
        until(lambda: (forged, b"forged") in witness.got, "delivered")
        until(lambda: (secret, b"secret") in client.got, "read")
        for one in make.made:
            one.stop()


def test_a_will_reaches_no_topic_its_owner_may_not_write(make_client: MakeClient) -> None:
    witness = make_client("witness")
    witness.subscribe("#")
    for will in (f"{ROOT}/gw-1/state", f"{ROOT}/gw-10/state"):
        client = make_client("gw-10", will=will)
        client.client.socket().shutdown(2)  # type: ignore[union-attr]  # it is connected
        client.client.loop_stop()
    until(lambda: (f"{ROOT}/gw-10/state", b"will of gw-10") in witness.got, "its own will")
    heard(witness, "wills")
    assert (f"{ROOT}/gw-1/state", b"will of gw-10") not in witness.got


def test_nobody_gets_in_without_a_certificate(broker: Broker, authority: Authority) -> None:
    connected = threading.Event()
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="gw-1", protocol=paho.MQTTv5)
    client.tls_set_context(ssl.create_default_context(cafile=str(authority.file)))
    client.username_pw_set("ivd", "guess")
    client.on_connect = lambda *_: connected.set()
    before = broker.log.count("peer did not return a certificate")
    client.connect(HOST, broker.port)  # TLS 1.3: the client hears of it only when it reads
    client.loop_start()
    until(lambda: broker.log.count("peer did not return a certificate") > before, "refused")
    client.loop_stop()
    assert not connected.is_set()


@pytest.mark.parametrize("name", ["+", "#"])
def test_a_name_that_is_a_wildcard_may_do_nothing(make_client: MakeClient, name: str) -> None:
    witness, client = make_client("witness"), make_client(name)
    witness.subscribe("#")
    client.subscribe(f"{ROOT}/gw-1/#", "ivd/v1/#")
    topics = [topic for topic, _, _ in rights()]
    assert {client.publish(topic, f"by {name}") for topic in topics} == {NOT_AUTHORISED}
    for topic in (f"{ROOT}/gw-1/down/ack/ivd", f"{ROOT}/gw-1/state"):
        witness.publish(topic, "secret")
    heard(witness, name)
    client.publish("elsewhere", "the broker has answered everything before")
    assert client.got == set()
    assert {payload for _, payload in witness.got} <= {b"secret", name.encode()}


@pytest.mark.parametrize(
    ("name", "topic"),
    [("gw-1/analyser/xn1", f"{ROOT}/gw-1/analyser/xn1/state"), ("ivd/a", "ivd/v1/_central/ivd/a/state")],
)
def test_a_name_with_a_slash_would_be_somebody_else(make_client: MakeClient, name: str, topic: str) -> None:
    """Why docs/certificates.md has the authority refuse it: the broker does not (Mosquitto 2.0.11)."""
    witness, client = make_client("witness"), make_client(name)
    witness.subscribe("#")
    answer = client.publish(topic, "forged")
    heard(witness, name)
    assert ((topic, b"forged") in witness.got) == (answer != NOT_AUTHORISED)


@pytest.mark.parametrize(("joined", "arrives"), [("lab", False), ("guess", True)])
def test_who_knows_the_name_of_a_shared_group_can_keep_messages_from_it_but_not_read_them(
    make_client: MakeClient, joined: str, arrives: bool
) -> None:
    """Why docs/mqtt-contract.md has that name kept secret: the broker takes the subscription (Mosquitto 2.0.11)."""
    system, thief, gateway, witness = (make_client(name) for name in ("ivd", "gw-10", "gw-1", "witness"))
    end = ("ivd/v1/_central/ivd/a/state", f"end of {joined}".encode())
    system.subscribe("$share/lab/ivd/v1/+/+/up/+/result", end[0])
    thief.subscribe(f"$share/{joined}/ivd/v1/+/+/up/+/result", end[0])
    sent = {(f"{ROOT}/gw-1/up/xn1/result", f"{joined} {number}".encode()) for number in range(10)}
    for topic, payload in sorted(sent):
        gateway.publish(topic, payload.decode())
    witness.publish(end[0], end[1].decode())
    until(lambda: end in system.got and end in thief.got, "the last message")
    assert {topic for topic, _ in thief.got} == {end[0]}
    assert (sent <= system.got) == arrives
