"""What a harness needs of the machine. As root on Debian it is there, and its absence is a failure.

ALLOW_MISSING=name,name lets it be missing; what was missing is listed at the end of the run either way.
"""

import os
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

MISSING: dict[str, str] = {}  # name -> why, for the list at the end


def _program(*names: str) -> Callable[[], str]:
    def look() -> str:
        absent = [name for name in names if shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin") is None]
        return f"{', '.join(absent)} not installed" if absent else ""

    return look


def _library(name: str) -> Callable[[], str]:
    return lambda: "" if library(name) else f"{name} not installed"


def _as_root(*parts: Callable[[], str]) -> Callable[[], str]:
    def look() -> str:
        return "needs root" if os.geteuid() else next(filter(None, (part() for part in parts)), "")

    return look


def _loop_device() -> str:
    found = subprocess.run(["losetup", "-f"], capture_output=True, text=True, check=False)
    return "" if found.returncode == 0 else "no loop device"


def _namespace() -> str:
    made = subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False)
    return "" if made.returncode == 0 else "no network namespaces"


def _traced() -> str:
    done = subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True, check=False)
    return "" if done.returncode == 0 else "a process may not be traced here"


_ABILITIES: dict[str, Callable[[], str]] = {
    "loop": _as_root(_program("mkfs.ext4", "losetup", "mount"), _loop_device),
    "reflink": _as_root(_program("mkfs.ext4", "mkfs.xfs", "losetup", "mount"), _loop_device),
    "namespaces": _as_root(_program("ip", "unshare"), _namespace),
    "strace": lambda: _program("strace")() or _traced(),
    "faketime": _library("libfaketime.so.1"),
    "eatmydata": _library("libeatmydata.so"),
}


@cache
def library(name: str) -> Path | None:
    """Where Debian put a library that is loaded before others."""
    return next((path for path in Path("/usr/lib").rglob(f"{name}*") if path.is_file()), None)


@cache
def _why_not(name: str) -> str:
    return _ABILITIES[name]()


def need(*names: str) -> None:
    """Fail the test, or skip it where that is allowed, when something is missing."""
    allowed = os.environ.get("ALLOW_MISSING", "").split(",")
    for name in names:
        if why := _why_not(name):
            MISSING[name] = why
            if name in allowed or os.geteuid():
                pytest.skip(f"SKIPPED: {name}: {why}")
            pytest.fail(f"{name}: {why}. Install it, or set ALLOW_MISSING={name}")
