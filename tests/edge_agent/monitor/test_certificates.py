"""Our own certificate's end is seen before it comes, and in steps that are not overheard."""

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from support_broker import Authority

from edge_agent.certificate_file import UnreadableCertificateError, certificates
from edge_agent.monitor.alarms import Alarms
from edge_agent.monitor.certificates import Expiry


class At:
    """A clock that stands where it is put."""

    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return 0.0


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def cert_file(authority: Authority) -> Path:
    return authority.issue("gw-01")[0]


def _second_opinion(cert_file: Path) -> x509.Certificate:
    """The `cryptography` package."""
    return x509.load_pem_x509_certificate(cert_file.read_bytes())


def _end(cert_file: Path) -> datetime:
    return _second_opinion(cert_file).not_valid_after_utc


def test_what_is_read_is_what_another_reader_finds(authority: Authority, cert_file: Path) -> None:
    chain = certificates(cert_file.read_text() + authority.file.read_text())
    assert [c.not_after for c in chain] == [_end(cert_file), _end(authority.file)]
    assert [c.not_before for c in chain] == [
        _second_opinion(f).not_valid_before_utc for f in (cert_file, authority.file)
    ]
    assert [c.name for c in chain] == ["gw-01", "test authority ca"]


@pytest.mark.parametrize(
    ("use", "for_clients"),
    [
        (None, True),
        (ExtendedKeyUsageOID.CLIENT_AUTH, True),
        (ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE, True),
        (ExtendedKeyUsageOID.SERVER_AUTH, False),
    ],
)
def test_what_a_certificate_may_be_used_for_is_read(
    authority: Authority, use: x509.ObjectIdentifier | None, for_clients: bool
) -> None:
    [certificate] = certificates(authority.issue("gw-01", use=use)[0].read_text())
    assert certificate.for_clients is for_clients


@pytest.mark.parametrize("cut", [0, 30, 200, 400])
def test_what_is_no_certificate_is_said_to_be_none(cert_file: Path, cut: int) -> None:
    with pytest.raises(UnreadableCertificateError):
        certificates(cert_file.read_text()[:cut])


@pytest.mark.parametrize(
    ("before", "code", "what"),
    [
        (timedelta(days=31), None, ""),
        (timedelta(days=29, hours=1), "certificate-soon", "in 29 days"),
        (timedelta(days=7, hours=1), "certificate-soon", "in 7 days"),
        (timedelta(days=6, hours=1), "certificate", "in 6 days"),
        (timedelta(hours=1), "certificate", "in 0 days"),
        (timedelta(seconds=-1), "certificate", "ended on"),
    ],
)
def test_a_warning_comes_a_month_before_the_end_and_an_error_a_week_before(
    cert_file: Path, before: timedelta, code: str | None, what: str
) -> None:
    clock = At(_end(cert_file) - before)
    alarms = Alarms(clock)
    Expiry(clock, alarms).look(str(cert_file), "")
    assert [alarm.code for alarm in alarms.active()] == ([code] if code else [])
    for alarm in alarms.active():
        assert what in alarm.sentence
        assert str(cert_file) in alarm.sentence


def test_each_of_five_steps_is_one_line_in_the_log(cert_file: Path, caplog: pytest.LogCaptureFixture) -> None:
    """30, 14, 7 and 1 days before the end, and the end: looked at every hour for 40 days."""
    caplog.set_level(logging.WARNING)
    clock = At(_end(cert_file) - timedelta(days=35))
    alarms = Alarms(clock)
    expiry = Expiry(clock, alarms)
    said = []
    for _hour in range(40 * 24):
        expiry.look(str(cert_file), "")
        said += [(_end(cert_file) - clock.moment).days for _ in caplog.records]
        caplog.clear()
        clock.moment += timedelta(hours=1)
    assert said == [30, 14, 7, 1, 0]
    assert [alarm.code for alarm in alarms.active()] == ["certificate"]


def test_a_renewed_certificate_clears_it(cert_file: Path) -> None:
    clock = At(_end(cert_file))
    alarms = Alarms(clock)
    expiry = Expiry(clock, alarms)
    expiry.look(str(cert_file), "")
    assert alarms.is_up("certificate")
    clock.moment -= timedelta(days=10)
    expiry.look(str(cert_file), "")
    assert [alarm.code for alarm in alarms.active()] == ["certificate-soon"]
    clock.moment -= timedelta(days=50)
    expiry.look(str(cert_file), "")
    assert alarms.active() == []


def test_a_certificate_that_is_not_used_any_more_clears_it(cert_file: Path) -> None:
    clock = At(_end(cert_file))
    alarms = Alarms(clock)
    expiry = Expiry(clock, alarms)
    expiry.look(str(cert_file), "")
    expiry.look("", "")
    assert alarms.active() == []


def test_authorities_that_end_are_told_too_once_the_last_of_them_does(authority: Authority, cert_file: Path) -> None:
    """The test's authority ends 10 days after the certificate; in a file with a younger one it does not matter."""
    clock = At(_end(authority.file) - timedelta(days=5))
    alarms = Alarms(clock)
    Expiry(clock, alarms).look("", str(authority.file))
    [alarm] = alarms.active()
    assert alarm.sentence == f"The certificate {authority.file} ends on {_end(authority.file):%Y-%m-%d}, in 5 days."
    cert_file.write_text(cert_file.read_text() + authority.file.read_text())
    clock.moment = _end(cert_file) - timedelta(days=15)
    Expiry(clock, other := Alarms(clock)).look("", str(cert_file))
    assert [alarm.code for alarm in other.active()] == ["certificate-soon"]
    assert "in 25 days" in other.active()[0].sentence


def test_a_file_that_cannot_be_read_raises_nothing(tmp_path: Path) -> None:
    alarms = Alarms(At(datetime.now(UTC)))
    Expiry(At(datetime.now(UTC)), alarms).look(str(tmp_path / "nowhere.pem"), "")
    assert alarms.active() == []
