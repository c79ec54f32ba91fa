"""What is in a certificate file of ours: whose it is, from when to when it holds, what it may be used for.

Reads the few fields it needs out of the DER encoding (RFC 5280 §4.1), since the standard library tells them only for
a peer's certificate. Checks no signature: that is for TLS.
"""

import re
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime

_PEM = re.compile(f"{ssl.PEM_HEADER}.*?{ssl.PEM_FOOTER}", re.DOTALL)
_VERSION, _EXTENSIONS, _UTC_TIME = 0xA0, 0xA3, 0x17
_COMMON_NAME = bytes.fromhex("550403")  # 2.5.4.3
_EXTENDED_KEY_USAGE = bytes.fromhex("551d25")  # 2.5.29.37
_FOR_CLIENTS = {bytes.fromhex("2b06010505070302"), bytes.fromhex("551d2500")}  # id-kp-clientAuth, anyExtendedKeyUsage


class UnreadableCertificateError(ValueError):
    """Not a PEM certificate with a validity."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """``name``: the last CN of the subject, "" without one. ``for_clients``: TLS lets a client show it."""

    name: str
    not_before: datetime
    not_after: datetime
    for_clients: bool


def certificates(pem: str) -> list[Certificate]:
    """Every certificate in ``pem``, one at least. Raises UnreadableCertificateError."""
    blocks = _PEM.findall(pem)
    try:
        found = [_certificate(ssl.PEM_cert_to_DER_cert(block)) for block in blocks]
    except (ValueError, IndexError):
        found = []
    if not found:
        raise UnreadableCertificateError("This is not a PEM certificate.")
    return found


def _certificate(der: bytes) -> Certificate:
    fields = _parts(_parts(_parts(der)[0][1])[0][1])
    skipped = 1 if fields[0][0] == _VERSION else 0
    start, end = _parts(fields[skipped + 3][1])  # after serial number, signature and issuer
    uses = _uses(next((content for tag, content in fields if tag == _EXTENSIONS), b""))
    return Certificate(
        name=_common_name(fields[skipped + 4][1]),
        not_before=_time(*start),
        not_after=_time(*end),
        for_clients=uses is None or bool(uses & _FOR_CLIENTS),
    )


def _common_name(subject: bytes) -> str:
    """Of several the last, as OpenSSL has it."""
    pairs = [_parts(pair) for _, relative in _parts(subject) for _, pair in _parts(relative)]
    names = [value for (_, kind), (_, value) in pairs if kind == _COMMON_NAME]
    return names[-1].decode("utf-8") if names else ""


def _uses(extensions: bytes) -> set[bytes] | None:
    """The extended key usages; None without that extension: every use is allowed (RFC 5280 §4.2.1.12)."""
    for _, extension in _parts(_parts(extensions)[0][1]) if extensions else ():
        parts = _parts(extension)
        if parts[0][1] == _EXTENDED_KEY_USAGE:
            return {use for _, use in _parts(_parts(parts[-1][1])[0][1])}
    return None


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


def _time(kind: int, content: bytes) -> datetime:
    """UTCTime has two digits for the year: 50 to 99 are of the last century (RFC 5280 §4.1.2.5.1)."""
    text = content.decode("ascii")
    if kind == _UTC_TIME:
        text = ("19" if text[:2] >= "50" else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
