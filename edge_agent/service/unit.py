"""The files of the service: what they say, and where on the system they go."""

import re
from dataclasses import dataclass
from pathlib import Path

NAME = "edge-agent"
UNIT = "systemd/edge-agent.service"
_PACKAGE = Path(__file__).parents[1]
_SHIPPED = _PACKAGE / "_config"  # in an installed package
_CHECKOUT = _PACKAGE.parent / "config"
_PYTHON = re.compile(r"(?m)^(ExecStart=|ExecReload=)\S+")


def _shipped(name: str) -> str:
    folder = _SHIPPED if _SHIPPED.is_dir() else _CHECKOUT
    return (folder / name).read_text(encoding="utf-8")


def unit_text(python: Path) -> str:
    """The unit as shipped, started by ``python``: an absolute path of an interpreter that has this package."""
    # A % would be a specifier and a blank the end of the name (systemd.service(5), "COMMAND LINES").
    return _PYTHON.sub(lambda found: found[1] + str(python).replace("%", "%%").replace(" ", r"\x20"), _shipped(UNIT))


def modules_text() -> str:
    return _shipped("systemd/edge-agent.conf")


def config_text() -> str:
    return _shipped("edge-agent.toml")


@dataclass(frozen=True, slots=True)
class Places:
    """Where the files go; under ``root`` when a package or an image is made."""

    root: Path = Path("/")

    @property
    def unit(self) -> Path:
        return self.root / "etc/systemd/system/edge-agent.service"

    @property
    def packaged(self) -> Path:
        """The unit where a package of the system has made the service."""
        return self.root / "usr/lib/systemd/system/edge-agent.service"

    @property
    def modules(self) -> Path:
        return self.root / "etc/modules-load.d/edge-agent.conf"

    @property
    def config(self) -> Path:
        return self.root / "etc/edge-agent/edge-agent.toml"

    @property
    def data(self) -> Path:
        return self.root / "var/lib/edge-agent"
