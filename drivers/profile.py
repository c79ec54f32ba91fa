"""The device profile: schema version 1 of ``profile.toml``, and how one is loaded.

A site may override any part: a TOML file of its own is laid over the shipped one, tables merged key by key, lists and
plain values replaced. What counts is the merged content: its SHA-256 is the profile's hash, pinned per analyser.

Loading promises: every mistake of the file at once, each as a sentence with its place; a profile that loads can be
used without further checks. It does not promise that the profile is true: the kit and a site's samples tell that.
"""

import hashlib
import json
import tomllib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path as FilePath
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator

from drivers.coding import Coding, local_system, rows_by_code
from drivers.errors import ProfileError
from drivers.paths import parse
from drivers.profile_complaints import complaints
from drivers.profile_coverage import Coverage
from drivers.profile_link import Layout, Link, Mllp, Records, Text
from drivers.profile_order import Order, Query, Times
from drivers.profile_result import CodeEntry, CommentRule, Graphics, Qc, Result, Select, Specimen
from drivers.profile_types import Predicate, Table


class Profile(Table):
    """A device profile. Every list may be empty; an empty table means the standard."""

    api_version: Literal[1]
    revision: int = Field(ge=1)
    vendor: str = ""
    model: str = ""
    aliases: tuple[str, ...] = ()
    protocol: Literal["lis02", "hl7", "dialect", "file", "poct1"] = "lis02"
    sources: tuple[str, ...] = ()
    grade: Literal["drafted", "captured", "confirmed"] = "drafted"
    usual_gap_s: int = Field(default=0, ge=0)
    timezone_default: str = ""
    recognise: tuple[Predicate, ...] = ()
    unused: tuple[str, ...] = ()
    link: Link = Link()
    mllp: Mllp = Mllp()
    layout: Layout = Layout()
    text: Text = Text()
    records: Records = Records()
    select: tuple[Select, ...] = ()
    specimen: Specimen = Specimen()
    result: Result = Result()
    test: tuple[CodeEntry, ...] = ()
    qc: Qc = Qc()
    comment: tuple[CommentRule, ...] = ()
    graphics: Graphics = Graphics()
    query: Query = Query()
    order: Order = Order()
    times: Times = Times()

    @field_validator("unused")
    @classmethod
    def _unused_paths(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            if not (len(text) == 1 and text.isascii() and text.isupper()):
                parse(text)
        return value

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the content, the same however the files were laid out."""
        content = self.model_dump(mode="json", by_alias=True)
        text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @cached_property
    def coverage(self) -> Coverage:
        return Coverage(self, self.unused)

    @cached_property
    def coding(self) -> Coding:
        return Coding(
            system=local_system(self.vendor),
            manufacturer=self.vendor,
            model=self.model,
            decimal=self.text.decimal,
            group=self.text.group,
            status_default=self.result.status_default,
            rows=rows_by_code(entry.row() for entry in self.test),
        )


def load_profile(folder: FilePath, override: FilePath | None = None) -> Profile:
    """The profile of a device folder, with a site's file laid over it. Raises ``ProfileError``."""
    content = _read_toml(folder / "profile.toml")
    where = f"{folder.name}/profile.toml"
    if override is not None:
        content = merge(content, _read_toml(override))
        where += f" with {override.name}"
    return parse_profile(content, where)


def parse_profile(content: Mapping[str, Any], where: str = "profile.toml") -> Profile:
    """Check content that was already read. Raises ``ProfileError`` with every mistake."""
    try:
        # through JSON, because there an array is the strict form of a tuple
        return Profile.model_validate_json(json.dumps(content, default=str))
    except ValidationError as error:
        raise ProfileError(where, complaints(Profile, error)) from error


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Tables merged key by key; lists and plain values replaced."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            merged[key] = merge(below, value)
        else:
            merged[key] = value
    return merged


def json_schema() -> dict[str, Any]:
    """The JSON Schema of ``profile.toml``, as shipped in ``config/device-profile.schema.json``."""
    return Profile.model_json_schema(by_alias=True, mode="validation")


def _read_toml(path: FilePath) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ProfileError(path.name, (f"it cannot be read: {error.strerror}",)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ProfileError(path.name, (f"it is not TOML: {error}",)) from error
    except (RecursionError, ValueError) as error:  # what tomllib lets through of Python's own limits
        what = "a list or a number in it is longer or deeper than anything that can be meant"
        raise ProfileError(path.name, (f"it cannot be read: {what}",)) from error
