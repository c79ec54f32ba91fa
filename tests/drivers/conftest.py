"""Devices made from the generic profile with a few tables changed, and messages written by hand."""

import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from drivers.canonical import Report
from drivers.profile import merge, parse_profile
from drivers.sdk import FOLDERS, Device

Reader = Callable[..., Report]


def content() -> dict[str, object]:
    return tomllib.loads((FOLDERS / "lis02_generic" / "profile.toml").read_text(encoding="utf-8"))


@pytest.fixture
def device_with() -> Callable[[str], Device]:
    """A device: the generic profile with a TOML text laid over it."""

    def make(text: str = "") -> Device:
        return Device("test", parse_profile(merge(content(), tomllib.loads(text))))

    return make


@pytest.fixture
def read(device_with: Callable[[str], Device]) -> Reader:
    """The report of one message given as record lines; the header and terminator are added when missing."""

    def make(*records: str, profile: str = "", raw: bytes | None = None) -> Report:
        lines = list(records)
        if raw is None:
            lines = lines if lines[0].startswith("H") else [r"H|\^&|||BENCH", *lines]
            lines = lines if lines[-1].startswith("L") else [*lines, "L|1|N"]
        text = raw if raw is not None else "".join(line + "\r" for line in lines).encode()
        found, strays = device_with(profile).read(text)
        assert strays == ()
        assert len(found) == 1
        return found[0][1]

    return make


@pytest.fixture(scope="session")
def captures(request: pytest.FixtureRequest) -> Path | None:
    """Where real traffic lies; None, said aloud, where it is absent."""
    import os

    folder = Path(os.environ.get("FIELD_CAPTURES", Path(request.config.rootpath).parent / "shared" / "captures"))
    if folder.is_dir():
        return folder
    print("FIELD_CAPTURES: the captures of real analysers are absent; nothing was read")
    return None
