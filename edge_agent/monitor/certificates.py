"""When our own certificate ends: an alarm a month before, and another sentence once it has.

Reads the one date it needs out of the DER encoding (RFC 5280 §4.1: Certificate, TBSCertificate, Validity), since the
standard library tells it only for a peer's certificate. Concludes nothing from a file it cannot read: TLS will say so.
"""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from edge_agent.clock import Clock
from edge_agent.monitor.alarms import Alarms

SOON = timedelta(days=30)
_VERSION, _UTC_TIME = 0xA0, 0x17


class UnreadableCertificateError(ValueError):
    """Not a PEM certificate with a validity."""


def watch(cert_file: str, clock: Clock, alarms: Alarms) -> None:
    """Raise or clear the alarm for ``cert_file``. Cheap: call it at the start and now and then."""
    try:
        end = not_after(Path(cert_file).read_text(encoding="ascii"))
    except (OSError, UnicodeError, UnreadableCertificateError):
        return
    left = end - clock.now()
    if left > SOON:
        alarms.clear("certificate")
    elif left > timedelta(0):
        alarms.raise_("certificate", file=cert_file, what=f"ends on {end:%Y-%m-%d}, in {left.days} days")
    else:
        alarms.raise_("certificate", file=cert_file, what=f"ended on {end:%Y-%m-%d}")


def not_after(pem: str) -> datetime:
    """The last moment of the first certificate in ``pem``. Raises UnreadableCertificateError."""
    start, end = pem.find(ssl.PEM_HEADER), pem.find(ssl.PEM_FOOTER)
    try:
        der = ssl.PEM_cert_to_DER_cert(pem[start : end + len(ssl.PEM_FOOTER)])
        fields = _parts(_parts(_parts(der)[0][1])[0][1])
        skipped = 1 if fields[0][0] == _VERSION else 0
        kind, text = _parts(fields[skipped + 3][1])[1]  # after serial number, signature and issuer
        return _time(kind, text.decode("ascii"))
    except (ValueError, IndexError):
        raise UnreadableCertificateError("This is not a PEM certificate.") from None


def _parts(der: bytes) -> list[tuple[int, bytes]]:
    """The (tag, content) pairs that follow one another in ``der`` (X.690 §8.1)."""
    found, at = [], 0
    while at < len(der):
        tag, size = der[at], der[at + 1]
        at += 2
        if size & 0x80:
            count = size & 0x7F
            size = int.from_bytes(der[at : at + count], "big")
            at += count
        if at + size > len(der):
            raise ValueError("cut short")
        found.append((tag, der[at : at + size]))
        at += size
    return found


def _time(kind: int, text: str) -> datetime:
    """UTCTime has two digits for the year: 50 to 99 are of the last century (RFC 5280 §4.1.2.5.1)."""
    if kind == _UTC_TIME:
        text = ("19" if text[:2] >= "50" else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
