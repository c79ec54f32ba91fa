"""The tables of a profile about bytes: link, MLLP, layout, text, records."""

import codecs
from collections.abc import Callable
from functools import cached_property
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, field_validator

from drivers.paths import parse_columns
from drivers.profile_types import SourcedTable, Table
from drivers.protocols import lis02
from drivers.protocols.lis01_dialect import Dialect

Attach = Annotated[str, StringConstraints(pattern="^(previous|record|[A-Z])$")]
Resync = Literal["enq_again", "eot_first", "nul", "vt_padding"]


class Link(SourcedTable):
    """``[link]``: how the device departs from LIS01-A2. The defaults are the standard."""

    framing: Literal["lis01", "bare", "auto"] = "lis01"
    checksum: Literal["standard", "none", "xor1", "incl_stx", "no_etx", "gs_hex"] = "standard"
    frame_number: Literal["strict", "continues", "any", "none"] = "strict"
    trailer: Literal["crlf", "any", "none"] = "crlf"
    etb: Literal["split", "record"] = "split"
    max_frame: int = Field(default=64_000, ge=8)
    max_message: int = Field(default=16 * 1024 * 1024, ge=1024)
    ack_unit: Literal["frame", "record", "message", "session"] = "frame"
    end_of_message: Literal["L", "EOT", "idle"] = "L"
    idle_s: float = Field(default=3.0, gt=0)
    receive_s: float = Field(default=30.0, gt=0)
    reply_s: float = Field(default=15.0, gt=0)
    busy_s: float = Field(default=10.0, gt=0)
    contention_s: float = Field(default=20.0, gt=0)
    settle_s: float = Field(default=0.5, gt=0)
    nak_limit: int = Field(default=6, ge=1)
    poll: str = ""  # what to send to make the device talk; "" = it talks by itself
    half_duplex: bool = False
    resync: tuple[Resync, ...] = ()

    def dialect(self) -> Dialect:
        facts = self.model_dump(exclude={"source", "poll", "half_duplex", "resync"})
        return Dialect(**facts, resync=frozenset(self.resync))


class MllpAck(Table):
    """``[mllp] ack``: how the device wants its acknowledgement."""

    mode: Literal["original", "enhanced"] = "original"
    msh18: str = ""
    esu: Literal["ack", "none"] = "ack"
    echo: tuple[str, ...] = ()


class Mllp(SourcedTable):
    """``[mllp]``: block characters as two hexadecimal digits, and how strictly the end is asked for."""

    start: str = Field(default="0B", pattern="^[0-9A-F]{2}$")
    end: Literal["strict", "lenient"] = "strict"
    ack: MllpAck = MllpAck()


class LayoutField(Table):
    """One field of a vendor layout: ``at`` is ``@from-to`` in columns, or ``nth`` between separators, from 1."""

    name: str = Field(min_length=1)
    at: str = ""
    nth: int = Field(default=0, ge=0)

    @field_validator("at")
    @classmethod
    def _columns(cls, value: str) -> str:
        if value:
            parse_columns(value)
        return value


class LayoutRepeat(Table):
    """A group of fields that comes again every ``width`` characters (or ``width`` fields)."""

    start: int = Field(ge=1)
    width: int = Field(ge=1)
    count: int = Field(default=0, ge=0)  # 0 = to the end
    fields: tuple[LayoutField, ...] = ()


class Layout(SourcedTable):
    """``[layout]``: a vendor dialect that is neither LIS02 nor HL7."""

    frame_start: str = ""
    frame_end: str = ""
    check: Literal["none", "sum8", "xor1", "gs_hex"] = "none"
    separator: str = ""
    fields: tuple[LayoutField, ...] = ()
    repeat: tuple[LayoutRepeat, ...] = ()


class Text(SourcedTable):
    """``[text]``: character set, escapes, blanks, decimal mark."""

    charset: str = "utf-8"
    undecodable: Literal["hold"] = "hold"
    escapes: Literal["lis02", "none", "lenient"] = "lenient"
    record_sep: Literal["any", "cr", "lf", "crlf"] = "any"
    strip: Literal["none", "outer"] = "none"  # outer: blanks around a field or component are padding
    decimal: Literal[".", ","] = "."
    group: Literal["", ",", ".", " ", "'"] = ""

    @field_validator("charset")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            codecs.lookup(value)
        except LookupError as error:
            raise ValueError(f'no character set is called "{value}"') from error
        return value

    @cached_property
    def clean(self) -> Callable[[str], str]:
        """The rule for blanks around a text, as a function."""
        return _without_outer_blanks if self.strip == "outer" else str


def _without_outer_blanks(text: str) -> str:
    return text.strip(" ")


class Records(SourcedTable):
    """``[records]``: unknown record types are always kept; where C and M hang; which records may be empty."""

    unknown: Literal["keep"] = "keep"
    levels: dict[str, int] = Field(default_factory=dict)
    attach: dict[str, Attach] = Field(default_factory=dict)
    empty_ok: tuple[str, ...] = ("H", "L")


def record_options(text: Text, records: Records) -> lis02.RecordOptions:
    """What the record reader needs of both tables."""
    return lis02.RecordOptions(
        charset=text.charset,
        unknown=records.unknown,
        levels=dict(records.levels),
        attach=dict(records.attach),
        escapes=text.escapes,
        record_sep=text.record_sep,
    )
