"""Real traffic of real analysers, where it is at hand (environment variable FIELD_CAPTURES)."""

import os
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
_HEADER = re.compile(rb"(?:^|[\r\n\x02])\d?H[^\w\s]")


def folder() -> Path:
    return Path(os.environ.get("FIELD_CAPTURES") or ROOT.parent / "shared" / "captures")


def lis02_files() -> list[Path]:
    """Every file that has an LIS02 header record somewhere, or LIS01 frames with anything in them."""
    found = sorted(p for p in folder().glob("*/*") if p.is_file()) if folder().is_dir() else []
    return [p for p in found if p.suffix == ".astm" or _HEADER.search(p.read_bytes())]
