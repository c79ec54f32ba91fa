"""What licence each package of requirements/run.txt has, by its own metadata, in SPDX's words."""

import re
from importlib.metadata import PackageMetadata, metadata
from pathlib import Path

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "requirements" / "run.txt"
ALLOWED = frozenset(
    {"Apache-2.0", "Apache-2.0 AND BSD-2-Clause", "BSD-3-Clause", "EPL-2.0 OR BSD-3-Clause", "MIT", "PSF-2.0"}
)
# Metadata that names no SPDX licence: what the licence file in the package is, read by a person.
READ = {"click-default-group": "BSD-3-Clause", "mqtt5": "BSD-3-Clause", "pyserial": "BSD-3-Clause"}
_WORDS = {
    "License :: OSI Approved :: MIT License": "MIT",
    "License :: OSI Approved :: Apache Software License": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0",
}


def pinned(lock: Path = LOCK) -> dict[str, str]:
    """Name -> version."""
    return dict(re.findall(r"(?m)^([A-Za-z0-9._-]+)==([^\s;\\]+)", lock.read_text(encoding="utf-8")))


def licence(name: str) -> str:
    """As SPDX writes it; the package's own words where they mean nothing there."""
    said: PackageMetadata = metadata(name)
    classifiers = [c for c in said.get_all("Classifier") or () if c.startswith("License ::")]
    words = said.get("License-Expression") or READ.get(name) or next(iter(classifiers), None) or said.get("License")
    return _WORDS.get(words or "", words or "unknown")


def page() -> str:
    rows = [f"| `{name}` | {version} | {licence(name)} |" for name, version in pinned().items()]
    head = [
        "# Licences",
        "",
        "What the agent installs beside Python itself, and under which licence; a test allows no others than these.",
        "The agent itself: Apache-2.0. Python and OpenSSL come from the system. Made from `requirements/run.txt` and",
        "the packages' own metadata. `make sbom` writes the same with hashes, as CycloneDX 1.6, to `dist/`.",
        "",
        "| package | version | licence |",
        "| --- | --- | --- |",
    ]
    return "\n".join([*head, *rows]) + "\n"
