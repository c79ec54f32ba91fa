"""What can be known to be wrong before anything is opened: profiles, ports, certificates, all mistakes at once.

`check` prints it, `run` starts with it. Touches no port and not the store.
"""

import random
import ssl
from collections.abc import Iterator
from pathlib import Path

from drivers.errors import ProfileError
from drivers.sdk import Device, load
from edge_agent.clock import SystemClock
from edge_agent.errors import ConfigurationError, Problem
from edge_agent.settings import AnalyserTable, Settings
from edge_agent.settings_file import resolve
from edge_agent.settings_lines import LineIndex
from edge_agent.transport.errors import PortUrlError
from edge_agent.transport.open import transport_for


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
        for index, analyser in enumerate(self._settings.analyser):
            self._profile(index, analyser)
            self._ports(index, analyser)
        self._files()
        if self.problems:
            raise ConfigurationError(sorted(self.problems, key=lambda p: p.line))

    def _profile(self, index: int, analyser: AnalyserTable) -> None:
        folder = resolve(self._path, self._settings.drivers.devices_dir)
        try:
            self.devices[analyser.id] = load(analyser.profile, folder)
        except ProfileError as error:
            for problem in error.problems:
                self._note(f"analyser.{index}.profile", f"analyser.{analyser.id}.profile", problem)

    def _ports(self, index: int, analyser: AnalyserTable) -> None:
        for url in analyser.transports():
            try:
                transport_for(url, peer=analyser.peer, clock=SystemClock(), rng=random.Random(0))  # noqa: S311 jitter
            except PortUrlError as error:
                text = f"{error.sentence} {error.action}"
                self._note(f"analyser.{index}.transport", f"analyser.{analyser.id}.transport", text)

    def _files(self) -> None:
        mqtt = self._settings.mqtt
        for key in ("ca_file", "cert_file", "key_file", "password_file"):
            name = getattr(mqtt, key)
            if name and (reason := _unreadable(resolve(self._path, name))):
                self._note(f"mqtt.{key}", f"mqtt.{key}", reason)
        if mqtt.cert_file and not self.problems:
            self._pair(resolve(self._path, mqtt.cert_file), resolve(self._path, mqtt.key_file))

    def _pair(self, certificate: Path, key: Path) -> None:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key)
        except ssl.SSLError as error:
            reason = (error.reason or "unreadable").replace("_", " ").lower()
            self._note("mqtt.cert_file", "mqtt.cert_file", f"certificate and key do not work together: {reason}")

    def _note(self, dotted: str, key: str, text: str) -> None:
        self.problems.append(Problem(self._path, self._lines.line(dotted), key, text))


def _unreadable(path: Path) -> str:
    try:
        path.read_bytes()
    except FileNotFoundError:
        return f"{path} does not exist"
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}"
    return ""


def devices(path: Path, settings: Settings) -> dict[str, Device]:
    """Every analyser's device. Raises ConfigurationError naming every mistake of the configuration."""
    preflight = Preflight(path, settings)
    preflight.run()
    return preflight.devices


def examine(path: Path, settings: Settings) -> list[str]:
    """Facts about a correct configuration, a line each. Raises ConfigurationError."""
    found = devices(path, settings)
    return list(_facts(settings, found))


def _facts(settings: Settings, found: dict[str, Device]) -> Iterator[str]:
    agent, mqtt = settings.agent, settings.mqtt
    yield f"site {agent.site}, gateway {agent.gateway}, data in {agent.data_dir}"
    yield f"broker {', '.join(mqtt.urls)}; filed when {mqtt.consumers().result} confirms"
    for analyser in settings.analyser:
        device = found[analyser.id]
        where = ", ".join(analyser.transports())
        yield f"{analyser.id}: {device.name} revision {device.profile.revision}, {analyser.mode}, {where}"
