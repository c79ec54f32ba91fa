"""What the configuration file says of one analyser at this moment, whatever the running agent was started with."""

from dataclasses import dataclass
from pathlib import Path

from drivers.errors import ProfileError
from drivers.sdk import Device, load
from edge_agent.configuration.file import load as load_settings
from edge_agent.configuration.file import resolve
from edge_agent.converter import Reader
from edge_agent.errors import AgentError, ConfigurationError
from edge_agent.pins import pin_of
from edge_agent.policy import unusable_pattern
from edge_agent.settings import AnalyserTable, Settings


@dataclass(frozen=True, slots=True)
class Configured:
    """One analyser as configured, and the profile that is installed for it, site changes included."""

    settings: Settings
    analyser: AnalyserTable
    installed: Device

    def reader(self, device: Device) -> Reader:
        """Reads this analyser's transmissions by ``device``."""
        return Reader.of(self.settings, self.analyser, device)

    def pin(self, folder: Path) -> Device:
        """The profile in use. Raises AgentError: ``pin``, ``reload-needed``."""
        found = pin_of(folder, self.analyser.id, self.installed.name)
        if found is None:
            raise AgentError(
                f"The configuration names another profile for {self.analyser.id} than the agent runs with.",
                code="reload-needed",
                action="Run `edge-agent reload`: the profile that is named is pinned then.",
            )
        return found


def configured(path: Path, analyser: str) -> Configured:
    """Reads the file and the profile anew. Raises AgentError: ``configuration``, ``unknown-analyser``, ``device``."""
    try:
        settings = load_settings(path)
    except ConfigurationError as error:
        raise _unusable(str(error.problems[0])) from error
    if why := unusable_pattern(settings.site.specimen_id):
        raise _unusable(f"site.specimen_id is not a regular expression: {why}")
    table = next((a for a in settings.analyser if a.id == analyser), None)
    if table is None:
        raise AgentError(
            "No analyser of this name is configured.",
            code="unknown-analyser",
            action="Use a name that `edge-agent status` shows.",
        )
    try:
        installed = load(table.profile, resolve(path, settings.drivers.devices_dir))
    except ProfileError as error:
        raise AgentError(
            f"The profile {table.profile} that is installed for {analyser} cannot be used: {error.problems[0]}",
            code="device",
            action="See every mistake with `edge-agent device list`, and correct them.",
        ) from error
    return Configured(settings, table, installed)


def _unusable(mistake: str) -> AgentError:
    return AgentError(
        f"The configuration cannot be used as it stands: {mistake}",
        code="configuration",
        action="See every mistake with `edge-agent check`, and correct them.",
    )
