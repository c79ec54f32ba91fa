"""Devices by name: the shipped ones in one literal table, others from installed packages or from the site.

A device is a folder with a ``profile.toml``. An outside package registers its folder in the entry-point group
``edge_agent.drivers``: the entry's name is the device's, its value the package that is the folder. Nothing of such a
package is run to find it. A shipped name is taken: claiming it is an error, for nobody could tell which one was meant.
The only place with dynamic look-up of packages is this file.
"""

import difflib
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

from drivers import interpret
from drivers.canonical import Hold, Report
from drivers.coding import Coding
from drivers.errors import InterpretationError, ProfileError, UnknownDeviceError
from drivers.profile import Profile, load_profile
from drivers.profile_link import record_options
from drivers.protocols import lis02
from drivers.protocols.lis01_dialect import Dialect

GROUP = "edge_agent.drivers"
FOLDERS = Path(__file__).parent / "devices"

SHIPPED: Mapping[str, str] = MappingProxyType(
    {
        "cepheid_genexpert": "cepheid_genexpert",
        "horiba_yumizen": "horiba_yumizen",
        "lis02_generic": "lis02_generic",
        "sysmex_xn": "sysmex_xn",
    }
)

_RECORD_LETTERS = frozenset(b"POQRCMSL")


class Device:
    """A profile ready for use. Reading is pure: the same bytes give the same reports."""

    def __init__(self, name: str, profile: Profile) -> None:
        self.name = name
        self.profile = profile
        self._options = record_options(profile.text, profile.records)

    @property
    def hash(self) -> str:
        """SHA-256 of the profile's content, site changes included."""
        return self.profile.hash

    def dialect(self) -> Dialect:
        """How the device departs from LIS01-A2."""
        return self.profile.link.dialect()

    def record_options(self) -> lis02.RecordOptions:
        return self._options

    def coding(self) -> Coding:
        """The code table and coding facts for the HL7 policy."""
        return self.profile.coding

    def read(
        self, text: bytes, *, saved_only: bool = False
    ) -> tuple[list[tuple[lis02.Message, Report]], tuple[Hold, ...]]:
        """Joined frame texts -> a report per message, and holds for what belongs to none.

        ``saved_only`` reads of each message just what its sender may presume saved (LIS02-A2 §4.2.1). Raises
        ``InterpretationError`` only for a defect of ours; its text names no content.
        """
        reading = lis02.read(text, self._options)
        messages = [_saved(m) if saved_only else m for m in reading.messages]
        return [(m, self._report(n, m)) for n, m in enumerate(messages, 1)], _strays(reading)

    def _report(self, number: int, message: lis02.Message) -> Report:
        try:
            return interpret.report(message, self.profile)
        except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
            # "from None", and a place instead of the text: the error's own words may quote a patient's data
            raise InterpretationError(
                f"The {self.name} driver failed on message {number}: {type(error).__name__} at {_place(error)}."
            ) from None


def load(name: str, devices_dir: Path | None = None) -> Device:
    """The device of that name, with the site's ``devices_dir/name.toml`` laid over its profile.

    Raises ``UnknownDeviceError`` with a suggestion, or ``ProfileError`` with every mistake.
    """
    folder = _folder(name, devices_dir)
    override = None if devices_dir is None else devices_dir / f"{name}.toml"
    profile = load_profile(folder, override if override is not None and override.is_file() else None)
    if profile.protocol != "lis02":
        raise ProfileError(name, (f'protocol "{profile.protocol}" has no reader in this version; "lis02" has',))
    return Device(name, profile)


def names(devices_dir: Path | None = None) -> tuple[str, ...]:
    """Every device that can be loaded, sorted."""
    return tuple(sorted({*SHIPPED, *_installed(), *_of_site(devices_dir)}))


def _folder(name: str, devices_dir: Path | None) -> Path:
    installed, site = _installed(), _of_site(devices_dir)
    if name in SHIPPED:
        return FOLDERS / SHIPPED[name]
    if name in installed:
        return _package_folder(installed[name])
    if name in site:
        return site[name]
    known = sorted({*SHIPPED, *installed, *site})
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    hint = f'did you mean "{close[0]}"?' if close else f"there are {', '.join(known)}"
    raise UnknownDeviceError("profile", (f'no device is called "{name}"; {hint}',))


def _installed() -> Mapping[str, EntryPoint]:
    found = {entry.name: entry for entry in entry_points(group=GROUP)}
    _refuse_claims(found, "an installed package")
    return found


def _of_site(devices_dir: Path | None) -> Mapping[str, Path]:
    """Whole device folders of the site, beside its overrides."""
    if devices_dir is None or not devices_dir.is_dir():
        return {}
    found = {path.parent.name: path.parent for path in sorted(devices_dir.glob("*/profile.toml"))}
    _refuse_claims(found, "a folder of the site")
    return found


def _refuse_claims(found: Mapping[str, object], who: str) -> None:
    claimed = sorted(set(found) & set(SHIPPED))
    if claimed:
        raise ProfileError(
            claimed[0], (f"{who} claims the name of a shipped device; rename it, or override the shipped profile",)
        )


def _package_folder(entry: EntryPoint) -> Path:
    spec = find_spec(entry.module)
    places = [] if spec is None else list(spec.submodule_search_locations or ())
    if not places:
        raise ProfileError(entry.name, (f'its package "{entry.module}" cannot be found or is not a folder',))
    return Path(places[0])


def _saved(message: lis02.Message) -> lis02.Message:
    return replace(message, records=message.records[: message.saved])


def _strays(reading: lis02.Reading) -> tuple[Hold, ...]:
    """What to say of records that stand before any header, one hold of each kind."""
    found = tuple(dict.fromkeys(_stray(record) for record in reading.stray))
    foreign = tuple(hold for hold in found if hold.code == "foreign-protocol")
    return foreign or found  # the segments of a foreign message are not several complaints


def _stray(record: lis02.Record) -> Hold:
    body = record.raw.lstrip(b" \t\x0b")
    if body[:3] in (b"MSH", b"FHS", b"BHS") and not body[3:4].isalnum():
        return Hold("foreign-protocol", "HL7")
    letter, mark = body[:1].upper(), body[1:2]
    like_a_record = bool(letter) and letter[0] in _RECORD_LETTERS and not mark.isalnum() and mark != b" "
    return Hold("no-header" if like_a_record else "not-lis02")


def _place(error: BaseException) -> str:
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    return "?" if at is None else f"{Path(at.tb_frame.f_code.co_filename).name}:{at.tb_lineno}"
