"""TLS to the broker: what opens the way, and files of ours that cannot be used. Bad peers: test_tls_matrix.py."""

import ssl
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from cryptography.hazmat.primitives import serialization
from support_broker import Authority, Broker, running
from support_publisher import MakeAgent, MakeCentral, until

from edge_agent.publisher import tls
from edge_agent.publisher.options import MqttOptions
from edge_agent.states import MessageState

pytestmark = pytest.mark.broker


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def server(tmp_path: Path, authority: Authority, **options: Any) -> Broker:
    return Broker(tmp_path / "broker", tls=(authority.file, authority.issue("broker")), **options)


def ours(authority: Authority, name: str = "gw-01") -> dict[str, str]:
    cert_file, key_file = authority.issue(name)
    return {"ca_file": str(authority.file), "cert_file": str(cert_file), "key_file": str(key_file)}


def test_a_client_certificate_opens_the_way(
    tmp_path: Path, authority: Authority, make_agent: MakeAgent, make_central: MakeCentral
) -> None:
    with running(server(tmp_path, authority, client_certificates=True)) as broker:
        theirs = ssl.create_default_context(cafile=str(authority.file))
        theirs.load_cert_chain(*authority.issue("ivd"))
        make_central(broker, client_setup=lambda client: client.tls_set_context(theirs))
        agent = make_agent(broker, **ours(authority))
        message = agent.queue()
        until(lambda: agent.filed(message), "filed")
        assert "as gw-01 (p5, c0, k30, u'gw-01')" in broker.log, "the broker takes the certificate's name for the user"


def test_user_name_and_password_open_the_way(
    tmp_path: Path, authority: Authority, make_agent: MakeAgent, make_central: MakeCentral
) -> None:
    def enter(client: paho.Client) -> None:
        client.tls_set_context(ssl.create_default_context(cafile=str(authority.file)))
        client.username_pw_set("ivd", "pass")

    with running(server(tmp_path, authority, users={"gw-01": "s3cret", "ivd": "pass"})) as broker:
        make_central(broker, client_setup=enter)
        options = {"ca_file": str(authority.file), "username": "gw-01"}
        agent = make_agent(broker, password="s3cret", **options)
        message = agent.queue()
        until(lambda: agent.filed(message), "filed")
        assert "s3cret" not in repr(agent.options)


def test_a_wrong_password_is_said_to_be_one(tmp_path: Path, authority: Authority, make_agent: MakeAgent) -> None:
    with running(server(tmp_path, authority, users={"gw-01": "s3cret"})) as broker:
        agent = make_agent(broker, ca_file=str(authority.file), username="gw-01", password="wrong")
        message = agent.queue()
        alarm = until(lambda: agent.alarm("broker-down"), "an alarm")
        assert "the access list does not allow it" in alarm.sentence
        assert agent.state(message) is MessageState.QUEUED
        assert "Received PUBLISH" not in broker.log


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
