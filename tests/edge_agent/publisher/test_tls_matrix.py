"""Every bad peer: refused, nothing of a result sent, said in plain words, tried again, and delivered once it is mended.

What the peer heard is counted at the peer, decrypted. Its counter counts: with the check switched off the same peer
hears the whole result.
"""

import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID
from support_broker import HOST, Authority, Broker, running
from support_publisher import Agent, MakeAgent, MakeCentral, until
from support_tls_peer import Peer, speaks, without_tls_1_3

from edge_agent.publisher import tls
from edge_agent.states import MessageState

pytestmark = pytest.mark.broker

PASSWORD = "a-password-nobody-else-may-hear"
BROKER_OF_ANOTHER_AUTHORITY = "the broker's certificate is not from the certificate authority in ca_file"
Certificate = tuple[Path, Path]


@dataclass(frozen=True)
class Bad:
    """A peer, and what a person reads about it."""

    name: str
    why: str
    issue: Callable[[Authority], Certificate] = field(default=lambda authority: authority.issue("broker"))
    newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
    plain: bool = False
    meddle: Callable[[bytes], bytes] = field(default=lambda data: data)
    host: str = HOST


BAD = [
    Bad("expired", "the broker's certificate has expired", lambda a: a.issue("broker", expired=True)),
    Bad(
        "not yet valid",
        "the broker's certificate is not valid yet (check the clocks)",
        lambda a: a.issue("broker", early=True),
    ),
    Bad(
        "another host name",
        "the broker's certificate is for another host name",
        lambda a: a.issue("broker", host="broker.example"),
        host="localhost",
    ),
    Bad(
        "another address",
        "the broker's certificate is for another address",
        lambda a: a.issue("broker", host="127.0.0.2"),
    ),
    Bad(
        "a host name for an address",
        "the broker's certificate is for another address",
        lambda a: a.issue("broker", host="broker.example"),
    ),
    Bad("another authority", BROKER_OF_ANOTHER_AUTHORITY, lambda a: Authority(a.folder, "other").issue("broker")),
    Bad("signed by itself", BROKER_OF_ANOTHER_AUTHORITY, lambda a: a.issue("broker", self_signed=True)),
    Bad(
        "a client's certificate",
        "the broker's certificate is not one for a server (key usage)",
        lambda a: a.issue("broker", use=ExtendedKeyUsageOID.CLIENT_AUTH),
    ),
    Bad("TLS 1.2", "the broker does not speak TLS 1.3", newest=ssl.TLSVersion.TLSv1_2),
    Bad("downgraded on the way", "the broker and this gateway found no common TLS settings", meddle=without_tls_1_3),
    Bad("no TLS", "TLS handshake", plain=True),
]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def make_peer(broker: Broker) -> Iterator[Callable[..., Peer]]:
    made: list[Peer] = []

    def make(context: ssl.SSLContext | None, **how: Any) -> Peer:
        made.append(Peer(broker.port, context, **how).start())
        return made[-1]

    yield make
    for peer in made:
        peer.stop()


def going_to(peer: Peer, authority: Authority, host: str = HOST) -> dict[str, Any]:
    return {
        "urls": (f"mqtts://{host}:{peer.port}",),
        "ca_file": str(authority.file),
        "username": "gw-01",
        "password": PASSWORD,
        "retry_max_s": 0.2,
    }


def heard_no_mqtt(peer: Peer) -> None:
    """Neither decrypted nor in the clear: no result, no password, not even the protocol's name."""
    assert bytes(peer.clear) == b"" or peer.context is None
    for secret in (b"OBX|1|NM|GLU", PASSWORD.encode(), b"MQTT"):
        assert secret not in peer.raw
        assert secret not in peer.clear


def refused(agent: Agent, message: str, why: str, tries: Callable[[], int]) -> None:
    """Said in plain words by alarm and status, tried again, the message where it was."""
    until(lambda: tries() >= 3, "tried again and again")
    alarm = until(lambda: agent.alarm("broker-down"), "an alarm")
    assert why in alarm.sentence
    assert alarm.sentence.startswith(f"The broker cannot be reached: {agent.options.urls[0]}: ")
    until(lambda: why in agent.publisher.status().reason, "the reason in the status")
    assert agent.state(message) is MessageState.QUEUED
    assert agent.attempts(message) == []


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)
def test_a_bad_peer_hears_nothing_until_it_is_mended(
    broker: Broker,
    authority: Authority,
    make_peer: Callable[..., Peer],
    make_agent: MakeAgent,
    make_central: MakeCentral,
    monkeypatch: pytest.MonkeyPatch,
    bad: Bad,
) -> None:
    if bad.plain:  # such a broker waits for more of what it cannot read, and the agent for its answer
        monkeypatch.setattr("edge_agent.publisher.client.OPEN_TIMEOUT_S", 1.0)
    peer = make_peer(None if bad.plain else speaks(bad.issue(authority), bad.newest), meddle=bad.meddle)
    agent = make_agent(broker, **going_to(peer, authority, bad.host))
    message = agent.queue()
    refused(agent, message, bad.why, lambda: peer.connections)
    heard_no_mqtt(peer)
    assert len(peer.raw) > 0

    make_central(broker)
    peer.meddle = lambda data: data
    peer.context = speaks(authority.issue("broker", host=bad.host))
    until(lambda: agent.filed(message), "filed")
    assert b"OBX|1|NM|GLU" in peer.clear
    assert b"OBX|1|NM|GLU" not in peer.raw
    until(lambda: agent.alarm("broker-down") is None, "the alarm is over")


def test_with_the_check_switched_off_the_same_peer_hears_the_result(
    broker: Broker,
    authority: Authority,
    make_peer: Callable[..., Peer],
    make_agent: MakeAgent,
    make_central: MakeCentral,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Negative control: the counter counts."""

    def unchecked(_options: object) -> tls.Context:
        made = tls.Context(ssl.PROTOCOL_TLS_CLIENT)
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
        return made

    monkeypatch.setattr("edge_agent.publisher.tls.context", unchecked)
    make_central(broker)
    peer = make_peer(speaks(authority.issue("broker", expired=True), ssl.TLSVersion.TLSv1_2))
    agent = make_agent(broker, **going_to(peer, authority))
    message = agent.queue()
    until(lambda: agent.filed(message), "filed by a peer nobody should trust")
    for secret in (b"OBX|1|NM|GLU", PASSWORD.encode(), b"MQTT"):
        assert secret in peer.clear


# Revocation lists in ca_file


def test_a_broker_whose_certificate_was_revoked_hears_nothing(
    broker: Broker,
    authority: Authority,
    make_peer: Callable[..., Peer],
    make_agent: MakeAgent,
    make_central: MakeCentral,
) -> None:
    stolen = authority.issue("broker")
    peer = make_peer(speaks(stolen))
    options = going_to(peer, authority)
    with authority.file.open("ab") as file:
        file.write(authority.revoke(stolen[0]))
    agent = make_agent(broker, **options)
    message = agent.queue()
    refused(agent, message, "the broker's certificate was revoked", lambda: peer.connections)
    heard_no_mqtt(peer)

    make_central(broker)
    peer.context = speaks(authority.issue("broker"))
    until(lambda: agent.filed(message), "filed: this one is not on the list")


def test_a_revocation_list_that_ended_is_said_to_be_it(
    broker: Broker, authority: Authority, make_peer: Callable[..., Peer], make_agent: MakeAgent
) -> None:
    peer = make_peer(speaks(authority.issue("broker")))
    with authority.file.open("ab") as file:
        file.write(authority.revoke(expired=True))
    agent = make_agent(broker, **going_to(peer, authority))
    refused(agent, agent.queue(), "the revocation list in ca_file has expired", lambda: peer.connections)
    heard_no_mqtt(peer)


# What the broker does not accept of us: Mosquitto itself


@dataclass(frozen=True)
class Unwelcome:
    name: str
    why: str
    ours: Callable[[Authority], Certificate] | None
    revoked: bool = False


UNWELCOME = [
    Unwelcome("none", "the broker wants a client certificate (cert_file)", None),
    Unwelcome("expired", "the broker says that our certificate has expired", lambda a: a.issue("gw-01", expired=True)),
    Unwelcome(
        "another authority's",
        "the broker does not know the authority of our certificate",
        lambda a: Authority(a.folder, "other").issue("gw-01"),
    ),
    Unwelcome("revoked", "the broker says that our certificate was revoked", lambda a: a.issue("gw-01"), revoked=True),
    Unwelcome(
        "a server's",
        "the broker says that our certificate is not one for a client (key usage)",
        lambda a: a.issue("gw-01", use=ExtendedKeyUsageOID.SERVER_AUTH),
    ),
]


@pytest.mark.parametrize("ours", UNWELCOME, ids=lambda ours: ours.name)
def test_a_certificate_of_ours_the_broker_refuses_is_replaced_while_the_agent_runs(
    tmp_path: Path, authority: Authority, make_agent: MakeAgent, make_central: MakeCentral, ours: Unwelcome
) -> None:
    cert_file, key_file = ours.ours(authority) if ours.ours else (None, None)
    listed = tmp_path / "crl.pem"
    listed.write_bytes(authority.revoke(*([cert_file] if ours.revoked and cert_file else [])))
    given = tmp_path / "given.pem", tmp_path / "given.key"
    options: dict[str, Any] = {"ca_file": str(authority.file), "retry_max_s": 0.2}
    if cert_file and key_file:
        cert_file.rename(given[0])
        key_file.rename(given[1])
        options |= {"cert_file": str(given[0]), "key_file": str(given[1])}
    broker = Broker(
        tmp_path / "broker",
        tls=(authority.file, authority.issue("broker")),
        client_certificates=True,
        extra=[f"crlfile {listed}"],
    )
    with running(broker):
        agent = make_agent(broker, **options)
        message = agent.queue()
        refused(agent, message, ours.why, lambda: broker.log.count("OpenSSL Error"))
        assert "New client connected" not in broker.log
        assert "Received PUBLISH" not in broker.log
        if ours.ours is None:
            return  # a certificate in the configuration needs a reload
        for new, place in zip(authority.issue("gw-01"), given, strict=True):
            new.replace(place)
        until(lambda: agent.state(message) is MessageState.AT_BROKER, "at the broker, with the new certificate")
        until(lambda: agent.alarm("broker-down") is None, "the alarm is over")
