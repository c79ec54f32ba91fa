"""Whether the program on the disk is the one that was released.

Promised: a file of the installed package that was changed, removed or added, and a library of another version than the
package was tested with, is said; compiled files that Python makes by itself do not count. Not promised: protection
against somebody who may write the package's own list (RECORD) as well, which root may, nor that the libraries' files
are whole. It finds damage, a hand-made correction and an update that went half way.
"""

import base64
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution, version
from pathlib import Path

DISTRIBUTION = "ivd-edge-agent"
PACKAGES = ("edge_agent", "drivers", "hl7", "simulators")
LOCK = "edge_agent/_config/run.txt"
_LOADED = frozenset({".py", ".toml", ".json", ".so", ".pyc"})  # what would be read where it lies in a package's folder
_NAMED = 3
_PINNED = re.compile(r"(?m)^([A-Za-z0-9._-]+)==([^\s;\\]+)")
_INSTALLER = "pip"  # installs the others, and none imports it


@dataclass(frozen=True, slots=True)
class Verdict:
    """``files`` is 0 and ``differences`` empty where nothing could be compared."""

    version: str = ""
    files: int = 0
    differences: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        if not self.files:
            return "runs from a checkout, files are not compared"
        if not self.differences:
            return f"{self.version}, {self.files} files as released"
        count = len(self.differences)
        differ = "1 thing differs" if count == 1 else f"{count} things differ"
        return f"{differ} from the release {self.version}: {self.named}"

    @property
    def named(self) -> str:
        """The first differences, and how many more."""
        more = len(self.differences) - _NAMED
        return ", ".join(self.differences[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def examine() -> Verdict:
    """Reads every file of the installed package once, some megabytes; raises nothing."""
    try:
        released = distribution(DISTRIBUTION)
    except PackageNotFoundError:
        return Verdict()
    if not _is_running(released):
        return Verdict()
    listed = {str(file): file.hash.value for file in released.files or () if file.hash and file.parts[0] != ".."}
    differences = [*_changed(released, listed), *_added(released, listed), *_other_libraries(released)]
    return Verdict(released.version, len(listed), tuple(differences))


def _is_running(released: Distribution) -> bool:
    """Not where the package is installed for editing, or beside the checkout that runs."""
    return Path(str(released.locate_file("edge_agent/integrity.py"))).resolve() == Path(__file__).resolve()


def _changed(released: Distribution, listed: dict[str, str]) -> Iterator[str]:
    for name, digest in listed.items():
        path = Path(str(released.locate_file(name)))
        try:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").digest()
        except OSError:
            yield f"{name} is missing"
            continue
        if base64.urlsafe_b64encode(found).rstrip(b"=").decode() != digest:  # the form of RECORD
            yield f"{name} is changed"


def _added(released: Distribution, listed: dict[str, str]) -> Iterator[str]:
    base = Path(str(released.locate_file("")))
    for package in PACKAGES:
        for path in sorted((base / package).rglob("*")):
            name = path.relative_to(base).as_posix()
            if path.suffix in _LOADED and "__pycache__" not in path.parts and name not in listed:
                yield f"{name} is added"


def _other_libraries(released: Distribution) -> Iterator[str]:
    try:
        lock = Path(str(released.locate_file(LOCK))).read_text(encoding="utf-8")
    except OSError:
        return  # named as missing already
    for name, wanted in _PINNED.findall(lock):
        try:
            found = version(name)
        except PackageNotFoundError:
            continue  # an extra nobody wants here; without one that is needed no agent would be running
        if found != wanted and name != _INSTALLER:
            yield f"{name} is {found} instead of {wanted}"
