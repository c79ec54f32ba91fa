"""What can be known to be wrong before anything is opened: profiles, ports, certificates, all mistakes at once.

`check` prints it, `run` starts with it. Touches no port and not the store. What a broker will say about our certificate
is for `check` alone: the agent starts with an expired one, since storing must go on.
"""

import os
import random
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from drivers.errors import ProfileError
from drivers.sdk import Device, load
from edge_agent.certificate_file import Certificate, UnreadableCertificateError, certificates
from edge_agent.clock import SystemClock
from edge_agent.configuration.file import read, resolve
from edge_agent.configuration.lines import LineIndex
from edge_agent.configuration.mqtt import mqtt_options
from edge_agent.control import socket_path
from edge_agent.errors import ConfigurationError, Problem
from edge_agent.monitor.certificates import SOON, what
from edge_agent.policy import unusable_pattern
from edge_agent.publisher.options import BrokerUrlError, broker
from edge_agent.publisher.tls import CertificateFileError, context
from edge_agent.settings import AnalyserTable, Settings
from edge_agent.transport.errors import PortUrlError
from edge_agent.transport.open import transport_for
from edge_agent.transport.serial_port import steady_name

_LONGEST_SOCKET_PATH = 107  # bytes, unix(7): sun_path without its final NUL


class Preflight:
    """Collects mistakes; ``devices`` is complete when there were none."""

    def __init__(self, path: Path, settings: Settings) -> None:
        self._path = path
        self._settings = settings
        self._lines = LineIndex(path.read_text(encoding="utf-8"))
        self.problems: list[Problem] = []
        self.devices: dict[str, Device] = {}

    def run(self) -> None:
        """Raises ConfigurationError naming every mistake."""
        self.look()
        self.refuse()

    def refuse(self) -> None:
        """Raises ConfigurationError if there is a mistake."""
        if self.problems:
            raise ConfigurationError(sorted(self.problems, key=lambda p: p.line))

    def look(self) -> None:
        for index, analyser in enumerate(self._settings.analyser):
            self._profile(index, analyser)
            self._ports(index, analyser)
        self._specimen_id()
        self._metrics()
        self._data_dir()
        self._broker()

    def _profile(self, index: int, analyser: AnalyserTable) -> None:
        folder = resolve(self._path, self._settings.drivers.devices_dir)
        try:
            self.devices[analyser.id] = load(analyser.profile, folder)
        except ProfileError as error:
            for problem in error.problems:
                self._note(f"analyser.{index}.profile", f"analyser.{analyser.id}.profile", problem)
        except OSError as error:
            text = f"profiles there cannot be read: {error.strerror}"
            self._note("drivers.devices_dir", "drivers.devices_dir", text)

    def _ports(self, index: int, analyser: AnalyserTable) -> None:
        for url in analyser.transports():
            try:
                transport_for(url, peer=analyser.peer, clock=SystemClock(), rng=random.Random(0))  # noqa: S311 jitter
            except PortUrlError as error:
                text = f"{error.sentence} {error.action}"
                self._note(f"analyser.{index}.transport", f"analyser.{analyser.id}.transport", text)

    def _specimen_id(self) -> None:
        if why := unusable_pattern(self._settings.site.specimen_id):
            self._note("site.specimen_id", "site.specimen_id", f"is not a regular expression: {why}")

    def _metrics(self) -> None:
        if self._settings.metrics.listen and find_spec("prometheus_client") is None:
            text = "needs a package that is not installed: see docs/metrics.md, or leave it out"
            self._note("metrics.listen", "metrics.listen", text)

    def _data_dir(self) -> None:
        path = socket_path(resolve(self._path, self._settings.agent.data_dir))
        if len(os.fsencode(path)) > _LONGEST_SOCKET_PATH:
            text = f"is too long: the name of the socket in it may have {_LONGEST_SOCKET_PATH} bytes"
            self._note("agent.data_dir", "agent.data_dir", text)

    def _broker(self) -> None:
        usable = [self._is_broker(number, url) for number, url in enumerate(self._settings.mqtt.urls, 1)]
        usable += [self._readable(key) for key in ("ca_file", "cert_file", "key_file", "password_file")]
        if all(usable):
            self._usable()

    def _is_broker(self, number: int, url: str) -> bool:
        try:
            broker(url)
        except BrokerUrlError as error:
            self._note("mqtt.urls", "mqtt.urls", f"address {number}: {error}")  # it may name a password
            return False
        return True

    def _readable(self, key: str) -> bool:
        name = getattr(self._settings.mqtt, key)
        reason = _unreadable(resolve(self._path, name), key) if name else ""
        if reason:
            self._note(f"mqtt.{key}", f"mqtt.{key}", reason)
        return not reason

    def _usable(self) -> None:
        """What the publisher makes of the files, made here once to see that it can."""
        try:
            context(mqtt_options(self._path, self._settings))
        except UnicodeDecodeError:
            self._note("mqtt.password_file", "mqtt.password_file", "is not UTF-8 text")
        except CertificateFileError as error:
            mqtt = self._settings.mqtt
            key = "ca_file" if mqtt.ca_file and error.file == str(resolve(self._path, mqtt.ca_file)) else "cert_file"
            self._note(f"mqtt.{key}", f"mqtt.{key}", str(error))

    def ended_certificate(self) -> None:
        """Not part of `look`: see above."""
        own, now = own_certificate(self._path, self._settings), SystemClock().now()
        if own is not None and own.not_after <= now:
            text = f"{what(own.not_after, own.not_after - now)}: the broker will refuse it. Renew it"
            self._note("mqtt.cert_file", "mqtt.cert_file", text)

    def _note(self, dotted: str, key: str, text: str) -> None:
        self.problems.append(Problem(self._path, self._lines.line(dotted), key, text))


def _unreadable(path: Path, key: str) -> str:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return f"{path} does not exist"
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}"
    if key == "key_file" and b"ENCRYPTED" in content:  # OpenSSL would ask for the pass phrase on the terminal and wait
        return f"{path} has a pass phrase, and nobody is there to type it when the agent starts"
    return ""


def loaded(path: Path) -> Settings:
    """The settings. If the file has a mistake, raises ConfigurationError naming also those that ``devices`` finds."""
    reading = read(path)
    if reading.settings is not None and not reading.problems:
        return reading.settings
    further: list[Problem] = []
    if reading.settings is not None:
        preflight = Preflight(path, reading.settings)
        preflight.look()
        further = preflight.problems
    raise ConfigurationError(sorted([*reading.problems, *further], key=lambda p: p.line))


def devices(path: Path, settings: Settings) -> dict[str, Device]:
    """Every analyser's device. Raises ConfigurationError naming every mistake of the configuration."""
    preflight = Preflight(path, settings)
    preflight.run()
    return preflight.devices


def examine(path: Path, settings: Settings) -> list[str]:
    """Facts and warnings about a correct configuration, a line each. Raises ConfigurationError.

    Also where our certificate has ended, with which `run` does start.
    """
    preflight = Preflight(path, settings)
    preflight.look()
    preflight.ended_certificate()
    preflight.refuse()
    return [*_facts(settings, preflight.devices), *_warnings(path, settings)]


def own_certificate(path: Path, settings: Settings) -> Certificate | None:
    """What is in ``cert_file``; None without one, or where it cannot be read, which `Preflight` has said."""
    name = settings.mqtt.cert_file
    try:
        return certificates(resolve(path, name).read_text(encoding="ascii"))[0] if name else None
    except (OSError, UnicodeError, UnreadableCertificateError):
        return None


def _warnings(path: Path, settings: Settings) -> Iterator[str]:
    """What may be meant so, and most often is not."""
    own, now, gateway = own_certificate(path, settings), SystemClock().now(), settings.agent.gateway
    if own is None:
        return
    if own.name != gateway:
        yield (
            f'warning: mqtt.cert_file is for "{own.name}", the gateway is "{gateway}": a broker that takes the user '
            "from the certificate refuses every topic of this gateway"
        )
    if not own.for_clients:
        yield "warning: mqtt.cert_file is not one for a client (extended key usage); the broker will refuse it"
    if own.not_before > now:
        yield f"warning: mqtt.cert_file is not valid before {own.not_before:%Y-%m-%d} (check the clock)"
    if own.not_after - now <= SOON:
        yield f"warning: mqtt.cert_file {what(own.not_after, own.not_after - now)}"


def _facts(settings: Settings, found: dict[str, Device]) -> Iterator[str]:
    agent, mqtt = settings.agent, settings.mqtt
    yield f"site {agent.site}, gateway {agent.gateway}, data in {agent.data_dir}"
    yield f"broker {', '.join(mqtt.urls)}; filed when {mqtt.consumers().result} confirms"
    if settings.metrics.listen:
        yield f"metrics at http://{settings.metrics.listen}/metrics, for whoever can reach it"
    for analyser in settings.analyser:
        device = found[analyser.id]
        where = ", ".join(analyser.transports())
        yield f"{analyser.id}: {device.name} revision {device.profile.revision}, {analyser.mode}, {where}"
        for url in analyser.transports():
            path = urlsplit(url).path
            if url.startswith("serial:") and (steady := steady_name(path)):
                yield f"{analyser.id}: {path} can change its number when it is plugged in again; {steady} does not"
