"""A real Mosquitto on a free loopback port, with the configuration a test asks for, that can be killed and come back.

Only the process started here is ever ended. Certificates are made for the test and live in its temporary directory.
"""

import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from support_free_port import free_port

MOSQUITTO = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
HOST = "127.0.0.1"
SHIPPED = Path(__file__).parents[1] / "config" / "mosquitto"


@dataclass
class Authority:
    """A certificate authority for one test."""

    folder: Path
    name: str = "ca"
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def __post_init__(self) -> None:
        subject = _name(f"test authority {self.name}")
        self.certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(_ago(days=2))
            .not_valid_after(_ago(days=-100))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_ca_usage(), critical=True)
            .sign(self.key, hashes.SHA256())
        )
        self.file = self.folder / f"{self.name}.pem"
        self.file.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def issue(
        self,
        name: str,
        *,
        host: str = HOST,
        expired: bool = False,
        early: bool = False,
        use: x509.ObjectIdentifier | None = None,
        self_signed: bool = False,
        lasts: timedelta | None = None,
    ) -> tuple[Path, Path]:
        """(certificate, key) files with CN ``name``, valid for ``host``.

        ``early``: valid from tomorrow; ``use``: its only extended key usage; ``lasts``: until so long from now.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        start, end = (_ago(days=2), _ago(days=1)) if expired else (_ago(days=-1 if early else 1), _ago(days=-90))
        end = end if lasts is None else datetime.now(UTC) + lasts
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(name))
            .issuer_name(_name(name) if self_signed else self.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(end)
            .add_extension(x509.SubjectAlternativeName([_alternative(host)]), critical=False)
        )
        if use is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage([use]), critical=False)
        certificate = builder.sign(key if self_signed else self.key, hashes.SHA256())
        stem = f"{name.replace('/', '%')}-{self.name}"
        cert_file, key_file = self.folder / f"{stem}.pem", self.folder / f"{stem}.key"
        cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return cert_file, key_file

    def revoke(self, *cert_files: Path, expired: bool = False) -> bytes:
        """A revocation list, PEM."""
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(_ago(days=2))
            .next_update(_ago(days=1 if expired else -30))
        )
        for file in cert_files:
            serial = x509.load_pem_x509_certificate(file.read_bytes()).serial_number
            revoked = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(_ago(days=1)).build()
            builder = builder.add_revoked_certificate(revoked)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


class Broker:
    """One Mosquitto. ``extra`` are lines of its configuration; `restart` keeps port and configuration."""

    def __init__(
        self,
        folder: Path,
        *,
        extra: Sequence[str] = (),
        acl: str = "",
        users: dict[str, str] | None = None,
        tls: tuple[Path, tuple[Path, Path]] | None = None,
        client_certificates: bool = False,
        port: int | None = None,
        config: str = "",
    ) -> None:
        """``config``: a whole configuration instead; ``{port}`` in it becomes the port."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = port or free_port()
        self.tls = tls
        self._log = folder / "mosquitto.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._acl = folder / "acl"
        self._config = folder / "mosquitto.conf"
        if acl:
            self.set_acl(acl)
        lines = "\n".join(self._lines(extra, users, client_certificates)) + "\n"
        self._config.write_text(config.replace("{port}", str(self.port)) or lines, encoding="utf-8")

    @property
    def url(self) -> str:
        return f"{'mqtts' if self.tls else 'mqtt'}://{HOST}:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        return self._log.read_text(encoding="utf-8") if self._log.exists() else ""

    def start(self) -> "Broker":
        with self._log.open("ab") as log:
            self._process = subprocess.Popen([MOSQUITTO, "-c", str(self._config)], stdout=log, stderr=log)
        self._await_listening()
        return self

    def kill(self) -> None:
        """kill -9."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def restart(self) -> None:
        self.stop()
        self.start()

    def forget(self) -> None:
        """Everything it kept, while it does not run: sessions, what waits in them, retained messages."""
        (self.folder / "mosquitto.db").unlink(missing_ok=True)

    def setting(self, name: str, value: str) -> None:
        """A line of its configuration, from the next start or reload on; "" leaves it out."""
        lines = self._config.read_text(encoding="utf-8").splitlines()
        lines = [line for line in lines if line.split(" ")[0] != name] + ([f"{name} {value}"] if value else [])
        self._config.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def set_acl(self, acl: str) -> None:
        self._acl.write_text(acl, encoding="utf-8")
        self._acl.chmod(0o644)

    def reload(self) -> None:
        """SIGHUP: the access list is read again."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def _lines(self, extra: Sequence[str], users: dict[str, str] | None, client_certificates: bool) -> Iterator[str]:
        yield from ("log_dest stderr", "log_type all", "log_timestamp false", "set_tcp_nodelay true", "user root")
        yield f"listener {self.port} {HOST}"
        if self.tls is not None:
            authority, (cert_file, key_file) = self.tls
            yield from (f"cafile {authority}", f"certfile {cert_file}", f"keyfile {key_file}", "tls_version tlsv1.3")
        if client_certificates:
            yield from ("require_certificate true", "use_identity_as_username true")
        if users:
            yield from ("allow_anonymous false", f"password_file {self._passwords(users)}")
        else:
            yield "allow_anonymous true"
        if self._acl.exists():
            yield f"acl_file {self._acl}"
        yield from extra

    def _passwords(self, users: dict[str, str]) -> Path:
        file = self.folder / "passwords"
        file.touch(mode=0o600)
        for user, password in users.items():
            subprocess.run(["mosquitto_passwd", "-b", str(file), user, password], check=True, capture_output=True)
        return file

    def _await_listening(self) -> None:
        until = time.monotonic() + 10
        while time.monotonic() < until:
            assert self._process is not None
            assert self._process.poll() is None, f"mosquitto ended: {self.log[-800:]}"
            with socket.socket() as probe:
                if probe.connect_ex((HOST, self.port)) == 0:
                    return
            time.sleep(0.01)
        raise AssertionError("mosquitto does not listen")

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(how)
            self._process.wait(10)
        self._process = None


@contextmanager
def running(broker: Broker) -> Iterator[Broker]:
    broker.start()
    try:
        yield broker
    finally:
        broker.kill()


def shipped_broker(folder: Path, authority: Authority, more: str = "") -> Broker:
    """The configuration and access list of config/mosquitto but for port and paths, and ``more`` rules."""
    folder.mkdir(parents=True, exist_ok=True)
    files = authority.issue("broker")
    acl = folder / "shipped-acl"
    acl.write_text((SHIPPED / "acl").read_text(encoding="utf-8") + more, encoding="utf-8")
    text = (SHIPPED / "mosquitto.conf").read_text(encoding="utf-8")
    for shipped, here in {
        "listener 8883": f"user root\nlog_dest stderr\nlog_type all\nlistener {{port}} {HOST}",
        "/etc/mosquitto/edge/ca.pem": str(authority.file),
        "/etc/mosquitto/edge/broker.pem": str(files[0]),
        "/etc/mosquitto/edge/broker.key": str(files[1]),
        "/etc/mosquitto/edge/acl": str(acl),
    }.items():
        assert text.count(shipped) == 1, shipped
        text = text.replace(shipped, here)
    return Broker(folder, config=text, tls=(authority.file, files))


def client_context(authority: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(authority))


def _ago(*, days: int) -> datetime:
    return datetime.now(UTC) - timedelta(days=days)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _ca_usage() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
