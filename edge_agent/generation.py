"""One reading of the configuration, and all that follows from it.

Promised: a ``Configuration`` is whole and was checked as ``edge-agent check`` checks it, or there is none; nothing is
opened or changed by reading one. A file that is written to meanwhile is refused rather than read as half of two.
A ``Generation`` adds what lies in the data directory: the pinned profiles; it is made only by who holds that directory.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from drivers.sdk import Device
from edge_agent.configuration.file import resolve
from edge_agent.configuration.mqtt import mqtt_options
from edge_agent.configuration.preflight import devices, loaded
from edge_agent.converter import Reader
from edge_agent.errors import ConfigurationError, Problem
from edge_agent.links import Line
from edge_agent.monitor.payloads import Info, ProfileInfo
from edge_agent.opening_hours import OpeningHours
from edge_agent.pins import Pinned, pinned
from edge_agent.publisher.options import MqttOptions
from edge_agent.settings import AnalyserTable, Settings
from edge_agent.store.rows import Source
from edge_agent.version import __version__


@dataclass(frozen=True, slots=True)
class Configuration:
    path: Path
    settings: Settings
    shipped: Mapping[str, Device]  # each analyser's device as it is installed now
    options: MqttOptions
    credentials: str  # hash over the contents of certificates and key: a renewed one has the same name
    hash: str  # SHA-256 of the file, hexadecimal

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises ConfigurationError naming every mistake."""
        before = _hash(path)
        try:
            settings = loaded(path)
            shipped = devices(path, settings)
            options = mqtt_options(path, settings)
            credentials = _credentials(options)
        except (OSError, UnicodeDecodeError):  # each file is read more than once, and was there a moment ago
            raise _changing(path) from None
        if _hash(path) != before:
            raise _changing(path)
        return cls(path, settings, shipped, options, credentials, before)

    @property
    def data_dir(self) -> Path:
        return resolve(self.path, self.settings.agent.data_dir)


@dataclass(frozen=True, slots=True)
class Generation:
    """What every part of the agent works by until the next one."""

    configuration: Configuration
    pins: Mapping[str, Pinned]

    @classmethod
    def of(cls, configuration: Configuration) -> Self:
        """Pins the profile of an analyser that has none. Raises AgentError for a pin that cannot be read."""
        folder = configuration.data_dir / "profiles"
        shipped = configuration.shipped
        return cls(configuration, {a.id: pinned(folder, a.id, shipped[a.id]) for a in configuration.settings.analyser})

    @property
    def settings(self) -> Settings:
        return self.configuration.settings

    def readers(self) -> dict[str, Reader]:
        """How each analyser's transmissions are read from now on."""
        return {a.id: Reader.of(self.settings, a, self.pins[a.id].device) for a in self.settings.analyser}

    def lines(self) -> list[Line]:
        return [
            Line(url, tuple(a.peer), self._source(a), self.pins[a.id].device.dialect(), part)
            for a in self.settings.analyser
            for part, url in a.parts()
        ]

    def usual_gaps(self) -> dict[str, int]:
        """Seconds, by analyser: the site's word, else the profile's."""
        site = {a.id: a.usual_gap_s for a in self.settings.analyser if a.usual_gap_s is not None}
        return {name: site.get(name, pin.device.profile.usual_gap_s) for name, pin in self.pins.items()}

    def hours(self) -> dict[str, OpeningHours]:
        """When each analyser is at work."""
        return {a.id: self.settings.opening_hours(a) for a in self.settings.analyser}

    @property
    def cert_file(self) -> Path | None:
        """Our own certificate, where there is one."""
        name = self.settings.mqtt.cert_file
        return resolve(self.configuration.path, name) if name else None

    def info(self, identity: str) -> Info:
        """What is told about it; ``identity`` is the store's."""
        agent = self.settings.agent
        return Info(
            version=__version__,
            site=agent.site,
            gateway=agent.gateway,
            store=identity,
            config_hash=self.configuration.hash,
            profiles=tuple(self._profile(a) for a in self.settings.analyser),
        )

    def _source(self, analyser: AnalyserTable) -> Source:
        device = self.pins[analyser.id].device
        return Source(
            analyser=analyser.id,
            peer="",
            profile=device.name,
            revision=device.profile.revision,
            profile_hash=device.hash,
            mode=analyser.mode,
        )

    def _profile(self, analyser: AnalyserTable) -> ProfileInfo:
        device = self.pins[analyser.id].device
        return ProfileInfo(
            analyser=analyser.id,
            profile=device.name,
            revision=device.profile.revision,
            hash=device.hash,
            mode=analyser.mode,
        )


def _hash(path: Path) -> str:
    """ "" for a file that cannot be read: reading it says why."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def _credentials(options: MqttOptions) -> str:
    digest = hashlib.sha256()
    for name in (options.ca_file, options.cert_file, options.key_file):
        content = Path(name).read_bytes() if name else b""
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()


def _changing(path: Path) -> ConfigurationError:
    text = "it, or a file it names, was written to while it was read; try again when that is done"
    return ConfigurationError([Problem(path, 0, "", text)])
