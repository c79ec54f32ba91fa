"""Our own certificate's end is seen before it comes."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from support_broker import Authority

from edge_agent.monitor.alarms import Alarms
from edge_agent.monitor.certificates import UnreadableCertificateError, not_after, watch


class At:
    """A clock that stands where it is put."""

    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return 0.0


@pytest.fixture
def cert_file(tmp_path: Path) -> Path:
    return Authority(tmp_path).issue("gw-01")[0]


def _end(cert_file: Path) -> datetime:
    """The second opinion: the `cryptography` package."""
    return x509.load_pem_x509_certificate(cert_file.read_bytes()).not_valid_after_utc


def test_the_end_is_the_one_another_reader_finds(cert_file: Path, tmp_path: Path) -> None:
    assert not_after(cert_file.read_text()) == _end(cert_file)
    chain = cert_file.read_text() + Authority(tmp_path, "other").file.read_text()
    assert not_after(chain) == _end(cert_file), "of a chain the first one counts"


@pytest.mark.parametrize(
    ("before", "what"),
    [
        (timedelta(days=31), None),
        (timedelta(days=29, hours=1), "in 29 days"),
        (timedelta(hours=1), "in 0 days"),
        (timedelta(seconds=-1), "ended on"),
    ],
)
def test_an_alarm_comes_a_month_before_the_end(cert_file: Path, before: timedelta, what: str | None) -> None:
    clock = At(_end(cert_file) - before)
    alarms = Alarms(clock)
    watch(str(cert_file), clock, alarms)
    said = [alarm.sentence for alarm in alarms.active()]
    if what is None:
        assert said == []
    else:
        assert what in said[0]
        assert str(cert_file) in said[0]


def test_a_renewed_certificate_clears_it(cert_file: Path) -> None:
    clock = At(_end(cert_file))
    alarms = Alarms(clock)
    watch(str(cert_file), clock, alarms)
    assert alarms.is_up("certificate")
    clock.moment -= timedelta(days=60)
    watch(str(cert_file), clock, alarms)
    assert not alarms.is_up("certificate")


@pytest.mark.parametrize("cut", [0, 30, 200, 400])
def test_a_file_that_cannot_be_read_says_so_and_raises_nothing_else(cert_file: Path, cut: int) -> None:
    with pytest.raises(UnreadableCertificateError):
        not_after(cert_file.read_text()[:cut])
    alarms = Alarms(At(datetime.now(UTC)))
    watch(str(cert_file.parent / "nowhere.pem"), At(datetime.now(UTC)), alarms)
    assert alarms.active() == []
