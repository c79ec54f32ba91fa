"""TLS to the broker: what is accepted, and that everything else ends before a byte of a result leaves."""

import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from support_broker import HOST, Authority, Broker, running
from support_publisher import Agent, MakeAgent, until

from edge_agent.publisher import tls
from edge_agent.publisher.options import MqttOptions
from edge_agent.states import MessageState

pytestmark = pytest.mark.broker


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def server(tmp_path: Path, authority: Authority, how: dict[str, Any] | None = None, **options: Any) -> Broker:
    return Broker(tmp_path / "broker", tls=(authority.file, authority.issue("broker", **(how or {}))), **options)


def ours(authority: Authority, name: str = "gw-01", **how: Any) -> dict[str, str]:
    cert_file, key_file = authority.issue(name, **how)
    return {"ca_file": str(authority.file), "cert_file": str(cert_file), "key_file": str(key_file)}


def test_a_client_certificate_opens_the_way(tmp_path: Path, authority: Authority, make_agent: MakeAgent) -> None:
    with running(server(tmp_path, authority, client_certificates=True)) as broker:
        agent = make_agent(broker, **ours(authority))
        message = agent.queue()
        until(lambda: agent.state(message) is MessageState.AT_BROKER, "at the broker")
        assert "as gw-01 (p5, c0, k30, u'gw-01')" in broker.log, "the broker takes the certificate's name for the user"


def test_user_name_and_password_open_the_way(tmp_path: Path, authority: Authority, make_agent: MakeAgent) -> None:
    with running(server(tmp_path, authority, users={"gw-01": "s3cret"})) as broker:
        options = {"ca_file": str(authority.file), "username": "gw-01"}
        agent = make_agent(broker, password="s3cret", **options)
        message = agent.queue()
        until(lambda: agent.state(message) is MessageState.AT_BROKER, "at the broker")
        assert "s3cret" not in repr(agent.options)


def test_a_wrong_password_is_said_to_be_one(tmp_path: Path, authority: Authority, make_agent: MakeAgent) -> None:
    with running(server(tmp_path, authority, users={"gw-01": "s3cret"})) as broker:
        agent = make_agent(broker, ca_file=str(authority.file), username="gw-01", password="wrong")
        refused(agent, broker, "the access list does not allow it")


def refused(agent: Agent, broker: Broker, why: str) -> None:
    """The alarm says ``why``, and nothing of ours reached the broker's MQTT side."""
    message = agent.queue()
    alarm = until(lambda: agent.alarm("broker-down"), "an alarm")
    assert why in alarm.sentence
    assert agent.state(message) is MessageState.QUEUED
    assert agent.attempts(message) == []
    assert "Received PUBLISH" not in broker.log


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"expired": True}, "the broker's certificate has expired"),
        ({"host": "127.0.0.2"}, "the broker's certificate is for another address"),
        ({"host": "broker.example"}, "the broker's certificate is for another address"),
    ],
)
def test_a_bad_certificate_of_the_broker_is_refused(
    tmp_path: Path, authority: Authority, make_agent: MakeAgent, how: dict[str, Any], why: str
) -> None:
    with running(server(tmp_path, authority, how)) as broker:
        refused(make_agent(broker, ca_file=str(authority.file), username="gw-01", password="s3cret"), broker, why)
        assert "New client connected" not in broker.log, "not even user name and password were sent"


def test_a_broker_of_another_authority_is_refused(tmp_path: Path, authority: Authority, make_agent: MakeAgent) -> None:
    other = Authority(tmp_path, "other")
    with running(server(tmp_path, authority)) as broker:
        agent = make_agent(broker, ca_file=str(other.file))
        refused(agent, broker, "not from the certificate authority in ca_file")


def test_a_host_name_is_checked(tmp_path: Path, authority: Authority, make_agent: MakeAgent) -> None:
    with running(server(tmp_path, authority, {"host": "broker.example"})) as broker:
        agent = make_agent(broker, urls=(f"mqtts://localhost:{broker.port}",), ca_file=str(authority.file))
        refused(agent, broker, "the broker's certificate is for another host name")


def test_the_right_host_name_passes(tmp_path: Path, authority: Authority, make_agent: MakeAgent) -> None:
    """Negative control of the one above."""
    with running(server(tmp_path, authority, {"host": "localhost"})) as broker:
        agent = make_agent(broker, urls=(f"mqtts://localhost:{broker.port}",), ca_file=str(authority.file))
        until(lambda: agent.publisher.status().connected, "connected")


def test_our_own_expired_certificate_is_said_to_be_it(
    tmp_path: Path, authority: Authority, make_agent: MakeAgent
) -> None:
    with running(server(tmp_path, authority, client_certificates=True)) as broker:
        agent = make_agent(broker, **ours(authority, expired=True))
        refused(agent, broker, "our certificate has expired")
        assert "ended on" in agent.alarm("certificate").sentence


def test_a_missing_client_certificate_is_said_to_be_missing(
    tmp_path: Path, authority: Authority, make_agent: MakeAgent
) -> None:
    with running(server(tmp_path, authority, client_certificates=True)) as broker:
        agent = make_agent(broker, ca_file=str(authority.file))
        refused(agent, broker, "the broker wants a client certificate")


def test_a_port_without_tls_is_said_to_have_none(broker: Broker, authority: Authority, make_agent: MakeAgent) -> None:
    agent = make_agent(broker, urls=(f"mqtts://{HOST}:{broker.port}",), ca_file=str(authority.file))
    refused(agent, broker, "TLS")


@pytest.fixture
def old_server(authority: Authority) -> Iterator[int]:
    """A server that speaks TLS 1.2 at most."""
    import socket

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("old"))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    listener = socket.create_server((HOST, 0))

    def serve() -> None:
        while True:
            try:
                raw, _ = listener.accept()
                context.wrap_socket(raw, server_side=True)
            except ssl.SSLError:
                continue
            except OSError:
                return

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()[1]
    listener.close()


def test_tls_1_2_is_refused(old_server: int, authority: Authority, broker: Broker, make_agent: MakeAgent) -> None:
    agent = make_agent(broker, urls=(f"mqtts://{HOST}:{old_server}",), ca_file=str(authority.file))
    refused(agent, broker, "the broker does not speak TLS 1.3")


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        ("missing", "or its key cannot be read (No such file or directory)"),
        ("garbage", "is not a usable PEM certificate with its key"),
        ("other key", "does not belong to its key_file"),
    ],
)
def test_a_certificate_file_of_ours_that_cannot_be_used_is_named(
    tmp_path: Path, authority: Authority, spoil: str, what: str
) -> None:
    files = ours(authority)
    if spoil == "missing":
        files["cert_file"] = str(tmp_path / "nowhere.pem")
    elif spoil == "garbage":
        Path(files["cert_file"]).write_text("no certificate", encoding="utf-8")
    else:
        files["key_file"] = ours(authority, "another")["key_file"]
    options = MqttOptions(("mqtts://h",), "s", "g", **files)
    with pytest.raises(tls.CertificateFileError) as caught:
        tls.context(options)
    assert caught.value.what == what
    assert caught.value.file == files["cert_file"]


def test_a_key_behind_a_pass_phrase_is_an_error_and_never_a_question(authority: Authority) -> None:
    files = ours(authority)
    key = serialization.load_pem_private_key(Path(files["key_file"]).read_bytes(), None)
    locked = serialization.BestAvailableEncryption(b"secret")
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked)
    Path(files["key_file"]).write_bytes(key.private_bytes(*form))
    with pytest.raises(tls.CertificateFileError):
        tls.context(MqttOptions(urls=("mqtts://127.0.0.1",), site="s", gateway="g", **files))
