"""The shipped unit: how little of the machine the service can reach, judged by systemd's own examination."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SHIPPED = ROOT / "config" / "systemd"
UNIT = SHIPPED / "edge-agent.service"
ALLOWED = 15  # tenths: an exposure of 1.5
_ANALYZE = shutil.which("systemd-analyze")


def settings(text: str) -> dict[str, list[str]]:
    """Key to its values, in their order."""
    found: dict[str, list[str]] = {}
    for key, value in re.findall(r"(?m)^(\w+)=(.*)$", text):
        found.setdefault(key, []).append(value)
    return found


def examined(unit: Path) -> subprocess.CompletedProcess[str]:
    if _ANALYZE is None:
        here = os.geteuid() == 0 and Path("/etc/debian_version").exists()
        (pytest.fail if here else pytest.skip)("systemd-analyze is missing: run `make install-tools` as root")
    words = [_ANALYZE, "security", "--offline=true", f"--threshold={ALLOWED}", "--no-pager", str(unit)]
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)


def exposure(judged: subprocess.CompletedProcess[str]) -> int:
    """In tenths, as the threshold."""
    found = re.search(r"Overall exposure level for \S+: (\d+)\.(\d)", judged.stdout)
    assert found, judged.stdout + judged.stderr
    return int(found[1] + found[2])


def test_the_service_is_exposed_by_at_most_1_5() -> None:
    judged = examined(UNIT)
    assert judged.returncode == 0, judged.stdout
    assert exposure(judged) <= ALLOWED


@pytest.mark.parametrize("off", ["SystemCallFilter", "CapabilityBoundingSet", "User"])
def test_without_a_protection_the_examination_fails(off: str, tmp_path: Path) -> None:
    weak = tmp_path / UNIT.name
    weak.write_text(re.sub(rf"(?m)^{off}=.*\n", "", UNIT.read_text(encoding="utf-8")), encoding="utf-8")
    judged = examined(weak)
    assert judged.returncode != 0
    assert exposure(judged) > ALLOWED


def test_the_service_manager_waits_for_the_agent_and_restarts_it() -> None:
    unit = settings(UNIT.read_text(encoding="utf-8"))
    wanted = {
        "Type": "notify",
        "NotifyAccess": "main",
        "WatchdogSec": "30",
        "Restart": "always",
        "StartLimitIntervalSec": "0",
        "User": "edge-agent",
        "StateDirectory": "edge-agent",
        "SupplementaryGroups": "dialout",
        "SystemCallErrorNumber": "EPERM",
        "TasksMax": "256",
        "UMask": "0077",
    }
    assert {key: unit[key] for key in wanted} == {key: [value] for key, value in wanted.items()}


def test_serial_ports_are_the_only_devices_and_the_group_may_pass_to_the_socket() -> None:
    unit = settings(UNIT.read_text(encoding="utf-8"))
    assert unit["DeviceAllow"] == ["char-ttyS rw", "char-ttyUSB rw", "char-ttyACM rw"]
    assert unit["DevicePolicy"] == ["closed"]
    assert "PrivateDevices" not in unit  # it would hide them
    assert unit["StateDirectoryMode"] == ["0710"]


def test_the_drivers_of_usb_serial_adapters_are_loaded_at_boot() -> None:
    lines = (SHIPPED / "edge-agent.conf").read_text(encoding="utf-8").splitlines()
    modules = [line for line in lines if line and not line.startswith("#")]
    assert modules == ["usbserial", "ftdi_sio", "cp210x", "pl2303", "ch341", "cdc_acm"]


def test_every_setting_of_the_unit_is_one_systemd_knows(tmp_path: Path) -> None:
    """It warns of an unknown one and goes on without it."""
    assert "ignoring" not in examined(UNIT).stderr
    misspelt = tmp_path / UNIT.name
    misspelt.write_text(UNIT.read_text(encoding="utf-8").replace("ProtectHome=", "ProtectHomes="), encoding="utf-8")
    assert re.search("ProtectHomes.* ignoring", examined(misspelt).stderr)
