"""What can be known to be wrong before anything is opened is said at once, with its line."""

import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID
from support_broker import Authority

from edge_agent.configuration.file import load
from edge_agent.configuration.preflight import devices, examine
from edge_agent.errors import ConfigurationError

GOOD = """\
[agent]
site = "seoul-01"
gateway = "gw-01"
data_dir = "data"

[mqtt]
urls = ["mqtt://127.0.0.1:1883"]

[[analyser]]
id = "xn1"
profile = "sysmex_xn"
transport = "tcp-server://127.0.0.1:5600"

[[analyser]]
id = "gx1"
profile = "cepheid_genexpert"
transport = "serial:///dev/ttyUSB0?baudrate=9600"
"""
Write = Callable[[str], Path]


@pytest.fixture
def written(tmp_path: Path) -> Write:
    def write(text: str) -> Path:
        path = tmp_path / "edge-agent.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def mistakes(path: Path) -> list[tuple[int, str, str]]:
    with pytest.raises(ConfigurationError) as caught:
        examine(path, load(path))
    return [(p.line, p.key, p.text) for p in caught.value.problems]


def with_mqtt(*lines: str) -> str:
    return GOOD.replace('1883"]\n', '1883"]\n' + "\n".join(lines) + "\n")


def test_a_correct_configuration_is_described(written: Write) -> None:
    path = written(GOOD)
    facts = examine(path, load(path))
    assert facts[0] == "site seoul-01, gateway gw-01, data in data"
    assert facts[1] == "broker mqtt://127.0.0.1:1883; filed when ivd confirms"
    assert facts[2].startswith("xn1: sysmex_xn revision ")
    assert facts[2].endswith("validation, tcp-server://127.0.0.1:5600")
    assert sorted(devices(path, load(path))) == ["gx1", "xn1"]


def test_all_mistakes_are_said_at_once_in_the_order_of_their_lines(written: Write) -> None:
    text = with_mqtt('ca_file = "nowhere.pem"').replace("sysmex_xn", "sysmex_xm").replace("serial:", "seriel:")
    path = written(text)
    ca, profile, port = mistakes(path)
    assert ca == (8, "mqtt.ca_file", f"{path.parent / 'nowhere.pem'} does not exist")
    assert profile == (12, "analyser.xn1.profile", 'no device is called "sysmex_xm"; did you mean "sysmex_xn"?')
    assert port[:2] == (18, "analyser.gx1.transport")
    assert "did you mean serial?" in port[2]


def test_a_taken_port_is_no_matter(written: Write) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        path = written(GOOD.replace("127.0.0.1:5600", f"127.0.0.1:{taken.getsockname()[1]}"))
        assert examine(path, load(path))


def test_no_file_and_no_directory_is_made(written: Write) -> None:
    path = written(GOOD)
    before = sorted(path.parent.iterdir())
    examine(path, load(path))
    assert sorted(path.parent.iterdir()) == before


def test_a_device_of_the_site_is_found_beside_the_file(written: Write) -> None:
    path = written(GOOD.replace("sysmex_xn", "my_device"))
    folder = path.parent / "devices.d" / "my_device"
    folder.mkdir(parents=True)
    (folder / "profile.toml").write_text("api_version = 1\nrevision = 4\n", encoding="utf-8")
    assert devices(path, load(path))["xn1"].profile.revision == 4


def test_a_mistake_in_a_sites_override_is_said(written: Write) -> None:
    path = written(GOOD)
    (path.parent / "devices.d").mkdir()
    (path.parent / "devices.d" / "sysmex_xn.toml").write_text('[link]\nchecksun = "none"\n', encoding="utf-8")
    [(line, key, text)] = mistakes(path)
    assert (line, key) == (11, "analyser.xn1.profile")
    assert "checksun" in text
    assert "checksum" in text


@pytest.mark.parametrize("url", ["mqtt://127.0.0.1:99999", "mqtt://127.0.0.1:port", "mqtt://user:pw@127.0.0.1"])
def test_a_broker_address_that_cannot_be_used_is_said(written: Write, url: str) -> None:
    [(line, key, text)] = mistakes(written(GOOD.replace("mqtt://127.0.0.1:1883", url)))
    assert (line, key) == (7, "mqtt.urls")
    assert text.startswith("address 1: ")
    assert "pw" not in text


def test_a_specimen_shape_that_is_no_expression_is_said(written: Write) -> None:
    [(line, key, text)] = mistakes(written(GOOD + '\n[site]\nspecimen_id = "[0-9"\n'))
    assert (line, key) == (20, "site.specimen_id")
    assert text.startswith("is not a regular expression: ")


def test_a_data_directory_too_long_for_its_socket_is_said(written: Write) -> None:
    [(line, key, text)] = mistakes(written(GOOD.replace('"data"', f'"{"d" * 120}"')))
    assert (line, key) == (4, "agent.data_dir")
    assert "107 bytes" in text


def test_a_password_that_is_no_text_is_said(written: Write) -> None:
    path = written(with_mqtt('username = "gw"', 'password_file = "pw"'))
    (path.parent / "pw").write_bytes(b"\xff\xfe")
    assert mistakes(path) == [(9, "mqtt.password_file", "is not UTF-8 text")]
    (path.parent / "pw").write_bytes("비밀\n".encode())
    assert examine(path, load(path))


# Certificates


FILES = ('ca_file = "ca.pem"', 'cert_file = "gw-01.pem"', 'key_file = "gw-01.key"')


@pytest.fixture
def secured(written: Write, tmp_path: Path) -> Path:
    """A configuration with a certificate and key that belong together."""
    certificate, key = Authority(tmp_path).issue("gw-01")
    certificate.rename(tmp_path / "gw-01.pem")
    key.rename(tmp_path / "gw-01.key")
    return written(with_mqtt(*FILES))


def test_a_certificate_with_its_key_is_right(secured: Path) -> None:
    assert examine(secured, load(secured))


def test_a_missing_key_is_said(secured: Path) -> None:
    (secured.parent / "gw-01.key").unlink()
    assert mistakes(secured) == [(10, "mqtt.key_file", f"{secured.parent / 'gw-01.key'} does not exist")]


def test_a_directory_is_no_certificate(secured: Path) -> None:
    (secured.parent / "ca.pem").unlink()
    (secured.parent / "ca.pem").mkdir()
    [(line, key, text)] = mistakes(secured)
    assert (line, key) == (8, "mqtt.ca_file")
    assert "cannot be read: Is a directory" in text


def test_a_key_of_another_certificate_is_said(secured: Path) -> None:
    _, other = Authority(secured.parent, "other").issue("gw-02")
    other.rename(secured.parent / "gw-01.key")
    [(line, key, text)] = mistakes(secured)
    assert (line, key) == (9, "mqtt.cert_file")
    assert "does not belong to its key_file" in text


def test_an_authority_that_is_no_certificate_is_said(secured: Path) -> None:
    (secured.parent / "ca.pem").write_text("not a certificate", encoding="utf-8")
    [(line, key, text)] = mistakes(secured)
    assert (line, key) == (8, "mqtt.ca_file")
    assert "is not a PEM certificate" in text


def test_a_key_with_a_pass_phrase_is_said_and_nobody_is_asked_for_it(secured: Path) -> None:
    file = secured.parent / "gw-01.key"
    key = serialization.load_pem_private_key(file.read_bytes(), None)
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    [(line, name, text)] = mistakes(secured)
    assert (line, name) == (10, "mqtt.key_file")
    assert "has a pass phrase" in text


def test_certificates_are_looked_at_although_an_analyser_is_wrong(secured: Path) -> None:
    """All mistakes at once: one must not hide the other."""
    secured.write_text(secured.read_text().replace("sysmex_xn", "sysmex_xm"), encoding="utf-8")
    (secured.parent / "ca.pem").write_text("not a certificate", encoding="utf-8")
    assert [key for _, key, _ in mistakes(secured)] == ["mqtt.ca_file", "analyser.xn1.profile"]


def renewed(secured: Path, name: str = "gw-01", **how: Any) -> list[str]:
    """What `check` says with another certificate, its own lines alone."""
    for new, place in zip(Authority(secured.parent, "new").issue(name, **how), ("gw-01.pem", "gw-01.key"), strict=True):
        new.rename(secured.parent / place)
    return [line for line in examine(secured, load(secured)) if "cert_file" in line]


def test_an_expired_certificate_is_a_mistake_for_check_and_no_reason_not_to_start(secured: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        renewed(secured, expired=True)
    [problem] = caught.value.problems
    assert (problem.line, problem.key) == (9, "mqtt.cert_file")
    assert problem.text.startswith("ended on ")
    assert problem.text.endswith(": the broker will refuse it. Renew it")
    assert devices(secured, load(secured)), "run starts: what analysers send must be stored"


def test_a_certificate_of_another_gateway_is_pointed_out(secured: Path) -> None:
    assert renewed(secured) == []
    assert renewed(secured, "gw-02") == [
        'warning: mqtt.cert_file is for "gw-02", the gateway is "gw-01": a broker that takes the user from the '
        "certificate refuses every topic of this gateway"
    ]


def test_a_certificate_of_a_server_and_one_of_tomorrow_are_pointed_out(secured: Path) -> None:
    assert renewed(secured, use=ExtendedKeyUsageOID.SERVER_AUTH) == [
        "warning: mqtt.cert_file is not one for a client (extended key usage); the broker will refuse it"
    ]
    [line] = renewed(secured, early=True)
    assert line.startswith("warning: mqtt.cert_file is not valid before ")


def test_a_certificate_that_ends_soon_is_pointed_out(secured: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test's certificates hold 90 days."""
    later = datetime.now(UTC) + timedelta(days=80, hours=1)
    monkeypatch.setattr("edge_agent.configuration.preflight.SystemClock.now", lambda _clock: later)
    [line] = [line for line in examine(secured, load(secured)) if "cert_file" in line]
    assert line.startswith("warning: mqtt.cert_file ends on ")
    assert line.endswith(", in 9 days")


def test_a_serial_port_with_a_number_is_shown_with_its_steady_name(
    written: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    steady = "/dev/serial/by-id/usb-FTDI_A1-if00-port0"
    place = "edge_agent.configuration.preflight.steady_name"
    monkeypatch.setattr(place, lambda device: steady if device == "/dev/ttyUSB0" else "")
    path = written(GOOD)
    hint = f"gx1: /dev/ttyUSB0 can change its number when it is plugged in again; {steady} does not"
    assert hint in examine(path, load(path))
