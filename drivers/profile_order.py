"""The tables of a profile about the way to the analyser (queries and orders), and about its clock."""

from typing import Literal

from pydantic import Field

from drivers.profile_types import Paths, SourcedTable, paths


class Query(SourcedTable):
    """``[query]``: where a host query names its specimens, and how long the device waits for the answer."""

    forms: Paths = paths("Q.3.2")
    patience_s: int = Field(default=0, ge=0)  # 0 = not known
    negative: str = ""  # how "nothing to do" is told to this device
    on_unknown: Literal["silent", "negative"] = "silent"


class Order(SourcedTable):
    """``[order]``: the shape in which the device takes orders."""

    shape: Literal["one_O_per_test", "all_in_one_O", "grammar"] = "all_in_one_O"
    template: str = ""
    action_codes: dict[str, str] = Field(default_factory=dict)
    cancel: bool = False
    push: bool = False


class Times(SourcedTable):
    """``[times]``: the order of a date's parts, and where the zone comes from."""

    order: Literal["YMD", "DMY", "MDY"] = "YMD"
    zone: Literal["field", "config"] = "config"
