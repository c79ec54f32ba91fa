"""What is asked of a broker's certificate, and what each failure is called; without a broker."""

import ssl
from pathlib import Path

import pytest
from support_broker import Authority

from edge_agent.publisher import tls
from edge_agent.publisher.options import MqttOptions


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (3, "none of the authority of the broker's certificate"),
        (7, "altered"),
        (9, "certificate is not valid yet"),
        (10, "certificate has expired"),
        (11, "revocation list in ca_file is not valid yet"),
        (12, "revocation list in ca_file has expired"),
        (18, "not from the certificate authority in ca_file"),
        (19, "not from the certificate authority in ca_file"),
        (20, "not from the certificate authority in ca_file"),
        (21, "not from the certificate authority in ca_file"),
        (23, "was revoked"),
        (26, "not one for a server"),
        (62, "another host name"),
        (64, "another address"),
        (24, "was refused: as OpenSSL says it"),
    ],
)
def test_why_a_brokers_certificate_was_refused(number: int, words: str) -> None:
    """The numbers are those of openssl/x509_vfy.h, X509_V_ERR_*."""
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = number, "as OpenSSL says it"
    assert words in tls.explain(error)


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "the broker wants a client certificate (cert_file)"),
        ("SSLV3_ALERT_CERTIFICATE_EXPIRED", "our certificate has expired"),
        ("SSLV3_ALERT_CERTIFICATE_REVOKED", "our certificate was revoked"),
        ("TLSV1_ALERT_UNKNOWN_CA", "does not know the authority of our certificate"),
        ("SSLV3_ALERT_UNSUPPORTED_CERTIFICATE", "not one for a client"),
        ("SSLV3_ALERT_CERTIFICATE_UNKNOWN", "does not accept our certificate"),
        ("SSLV3_ALERT_BAD_CERTIFICATE", "does not accept our certificate"),
        ("TLSV1_ALERT_PROTOCOL_VERSION", "does not speak TLS 1.3"),
        ("UNSUPPORTED_PROTOCOL", "does not speak TLS 1.3"),
        ("SSLV3_ALERT_HANDSHAKE_FAILURE", "no common TLS settings"),
        ("WRONG_VERSION_NUMBER", "this port of the broker does not speak TLS"),
        ("SOMETHING_NEW", "TLS failed (SOMETHING_NEW)"),
        (None, "TLS failed (the connection was closed)"),
    ],
)
def test_what_an_alert_means(reason: str | None, words: str) -> None:
    error = ssl.SSLError(1, "x")
    error.reason = reason  # type: ignore[assignment]  # None where OpenSSL names none
    assert words in tls.explain(error)


def test_an_alert_that_is_only_logged_is_known_by_its_words() -> None:
    line = "failed to receive on socket: [SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert certificate required"
    assert tls.explain_text(line) == "the broker wants a client certificate (cert_file)"
    assert tls.explain_text("tlsv1 alert unknown ca") == "the broker does not know the authority of our certificate"
    assert tls.explain_text("the socket was closed") == ""


def options(**files: str) -> MqttOptions:
    return MqttOptions(("mqtts://h",), "s", "g", **files)


def test_the_broker_has_to_show_a_certificate_for_its_name_over_tls_1_3(tmp_path: Path) -> None:
    made = tls.context(options(ca_file=str(Authority(tmp_path).file)))
    assert made.minimum_version is ssl.TLSVersion.TLSv1_3
    assert made.check_hostname
    assert made.verify_mode is ssl.CERT_REQUIRED
    assert not made.verify_flags & ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF
    assert len(made.get_ca_certs()) == 1, "the one given and no other"


def test_without_a_file_the_authorities_of_the_system_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(ssl.SSLContext, "load_default_certs", lambda *which: asked.append(which))
    tls.context(options())
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("content", "what"), [("no certificate", "is not a PEM certificate"), (None, "cannot be read (No such file")]
)
def test_a_file_of_authorities_that_cannot_be_used_is_named(tmp_path: Path, content: str | None, what: str) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    with pytest.raises(tls.CertificateFileError) as caught:
        tls.context(options(ca_file=str(file)))
    assert caught.value.file == str(file)
    assert caught.value.what.startswith(what)
    assert str(caught.value).startswith(f"{file} {what}")


def test_a_certificate_may_have_its_key_in_the_same_file(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    cert_file, key_file = authority.issue("gw-01")
    both = tmp_path / "both.pem"
    both.write_bytes(Path(cert_file).read_bytes() + Path(key_file).read_bytes())
    tls.context(options(ca_file=str(authority.file), cert_file=str(both)))
    with pytest.raises(tls.CertificateFileError, match="is not a usable PEM certificate with its key"):
        tls.context(options(ca_file=str(authority.file), cert_file=str(cert_file)))
