"""TLS to the broker, and what its failures mean in plain words.

TLS 1.3 and nothing older, the broker's certificate checked against the given authorities and its host name, and
against the revocation lists that lie in the same file. Nothing of MQTT is sent before that check has passed.
"""

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge_agent.publisher.options import MqttOptions

_CRL = b"-----BEGIN X509 CRL-----"
_NO_LIST = "ca_file has revocation lists, but none of the authority of the broker's certificate"

# OpenSSL's X509_V_ERR numbers (openssl/x509_vfy.h).
_VERIFY: Mapping[int, str] = {
    3: _NO_LIST,
    7: "the broker's certificate was altered: its signature is wrong",
    9: "the broker's certificate is not valid yet (check the clocks)",
    10: "the broker's certificate has expired",
    11: "the revocation list in ca_file is not valid yet (check the clocks)",
    12: "the revocation list in ca_file has expired: fetch a new one",
    18: "the broker's certificate is not from the certificate authority in ca_file",
    19: "the broker's certificate is not from the certificate authority in ca_file",
    20: "the broker's certificate is not from the certificate authority in ca_file",
    21: "the broker's certificate is not from the certificate authority in ca_file",
    23: "the broker's certificate was revoked",
    26: "the broker's certificate is not one for a server (key usage)",
    62: "the broker's certificate is for another host name",
    64: "the broker's certificate is for another address",
}

# Alerts the broker sends when it does not like our side (RFC 8446 §6.2), as OpenSSL names them.
_ALERTS: Mapping[str, str] = {
    "CERTIFICATE_REQUIRED": "the broker wants a client certificate (cert_file)",
    "CERTIFICATE_EXPIRED": "the broker says that our certificate has expired",
    "CERTIFICATE_REVOKED": "the broker says that our certificate was revoked",
    "UNKNOWN_CA": "the broker does not know the authority of our certificate",
    "UNSUPPORTED_CERTIFICATE": "the broker says that our certificate is not one for a client (key usage)",
    "CERTIFICATE_UNKNOWN": "the broker does not accept our certificate",
    "BAD_CERTIFICATE": "the broker does not accept our certificate",
    "PROTOCOL_VERSION": "the broker does not speak TLS 1.3",
    "HANDSHAKE_FAILURE": "the broker and this gateway found no common TLS settings",
    "UNSUPPORTED_PROTOCOL": "the broker does not speak TLS 1.3",
    "WRONG_VERSION_NUMBER": "this port of the broker does not speak TLS",
}


class CertificateFileError(Exception):
    """A certificate or key file of ours that cannot be used."""

    def __init__(self, file: str, what: str) -> None:
        super().__init__(f"{file} {what}")
        self.file = file
        self.what = what


class Context(ssl.SSLContext):
    """Remembers the socket it wrapped: paho leaves it open when the handshake fails."""

    wrapped: ssl.SSLSocket | None = None

    def wrap_socket(self, *args: Any, **kwargs: Any) -> ssl.SSLSocket:
        self.wrapped = super().wrap_socket(*args, **kwargs)
        return self.wrapped

    def close_wrapped(self) -> None:
        if self.wrapped is not None:
            self.wrapped.close()


def context(options: MqttOptions) -> Context:
    """The settings for one connection, files read anew. Raises CertificateFileError."""
    made = Context(ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    made.check_hostname = True
    made.verify_mode = ssl.CERT_REQUIRED
    _load_authorities(made, options.ca_file)
    if options.cert_file:
        _load_own(made, options.cert_file, options.key_file)
    return made


def _load_authorities(made: ssl.SSLContext, file: str) -> None:
    if not file:
        made.load_default_certs()
        return
    try:
        made.load_verify_locations(cafile=file)
        if _CRL in Path(file).read_bytes():
            made.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF
    except ssl.SSLError:
        raise CertificateFileError(file, "is not a PEM certificate") from None
    except OSError as error:
        raise CertificateFileError(file, f"cannot be read ({error.strerror})") from None


def _load_own(made: ssl.SSLContext, cert_file: str, key_file: str) -> None:
    try:
        made.load_cert_chain(cert_file, key_file or None, password="")  # a pass phrase is an error, never a question
    except ssl.SSLError as error:
        mismatch = error.reason == "KEY_VALUES_MISMATCH"
        what = "does not belong to its key_file" if mismatch else "is not a usable PEM certificate with its key"
        raise CertificateFileError(cert_file, what) from None
    except OSError as error:
        raise CertificateFileError(cert_file, f"or its key cannot be read ({error.strerror})") from None


def explain(error: ssl.SSLError) -> str:
    """A TLS failure as a clause."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _VERIFY.get(error.verify_code, f"the broker's certificate was refused: {error.verify_message}")
    return explain_text(error.reason or "") or f"TLS failed ({error.reason or 'the connection was closed'})"


def explain_text(text: str) -> str:
    """The same from OpenSSL's own words; "" when they name no alert we know."""
    words = text.upper().replace(" ", "_")
    return next((clause for name, clause in _ALERTS.items() if name in words), "")
