"""Run from a copy outside the checkout, with nothing but the installed wheel: the program is whole.

Every command answers, the shipped configuration and every shipped profile load, and one message goes its way as far as
the outbox of a real store.
"""

import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from drivers import sdk
from edge_agent.cli.main import main as agent_command
from edge_agent.configuration.file import load
from edge_agent.integrity import examine


def installed(package: str) -> Path:
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def commands_answer() -> None:
    for name in ("", *agent_command.commands):
        words = [sys.executable, "-I", "-m", "edge_agent", *([name] if name else []), "--help"]
        subprocess.run(words, check=True, capture_output=True)
    simulator = Path(sys.executable).parent / "analyser-sim"
    subprocess.run([simulator, "--help"], check=True, capture_output=True)


def shipped_files_are_there() -> None:
    package = installed("edge_agent")
    assert "site-packages" in package.parts, "this is not the installed wheel"
    assert load(package / "_config" / "edge-agent.toml").agent.gateway == "gw-01"
    assert (package / "_config" / "asyncapi.yaml").read_text(encoding="utf-8").count("x-not-yet: true") > 1
    for name in sdk.SHIPPED:
        device = sdk.load(name)
        assert device.profile.revision >= 1
        assert list((installed("drivers") / "devices" / name / "samples").glob("*/wire.bin"))


def configuration_is_checked() -> None:
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "edge-agent.toml"
        config.write_text('[agent]\nsite = "s"\ngateway = "g"\n[mqtt]\nurls = ["mqtt://127.0.0.1:1"]\n')
        words = [sys.executable, "-I", "-m", "edge_agent", "check", "--config", str(config)]
        assert subprocess.run(words, check=False, capture_output=True).returncode == 0
        config.write_text('[agent]\nsite = "s"\ngateway = "g"\n[mqtt]\nurl = ["mqtt://127.0.0.1:1"]\n')
        wrong = subprocess.run(words, check=False, capture_output=True, text=True)
        assert wrong.returncode == 78
        assert "did you mean 'urls'?" in wrong.stderr


def service_can_be_installed() -> None:
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, "-I", "-m", "edge_agent", "service", "install", "--root", folder]
        subprocess.run([*words, "--python", "/opt/edge-agent/bin/python"], check=True, capture_output=True)
        assert {p.name for p in Path(folder).rglob("edge-agent.*")} >= {"edge-agent.service", "edge-agent.conf"}
        assert load(Path(folder) / "etc/edge-agent/edge-agent.toml").agent.gateway == "gw-01"


def files_are_as_released() -> None:
    found = examine()
    assert found.files > 200
    assert not found.differences, found.text


if __name__ == "__main__":
    commands_answer()
    files_are_as_released()
    shipped_files_are_there()
    configuration_is_checked()
    service_can_be_installed()
    sys.stdout.write("The wheel installs and runs outside the checkout.\n")
