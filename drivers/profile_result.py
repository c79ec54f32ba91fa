"""The tables of a profile about what a record means: selection, specimen, result, tests, quality control, comments."""

import re
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from drivers.coding import ANY_CODE, CodeRow
from drivers.profile_times import fault
from drivers.profile_types import MappedField, Paths, Patterns, PatternText, Predicate, SourcedTable, Table, paths

RoleLetter = Literal["P", "Q", "C", "V", "E", "B", "F", "O"]
SelectAs = Literal["result", "raw", "other", "graphic", "interpretation", "comment", "status", "ignore"]
# control_name: the text names the control material (of a patient's specimen it stays a note)
CommentAs = Literal["note", "flag", "no_result_reason", "lot", "control_name", "ignore"]
Volatile = Literal["unit", "range", "flags", "status", "run", "time", "comments"]
SPLIT_NAMES = frozenset({"value", "unit", "second", "second_unit"})

_NORMALISE = re.compile(r"blanks|upper|suffix:.+|before:.+")
_LOINC = re.compile(r"[0-9]{1,7}-[0-9]")


class Select(SourcedTable):
    """``[[select]]``: what a record is. The first whose ``when`` holds decides; none: every R is a result."""

    record: str = Field(default="R", pattern="^[A-Z][A-Z0-9]{0,2}$")
    when: tuple[Predicate, ...] = ()
    sort: SelectAs = Field(alias="as")
    attach_to: Literal["previous", "order", "specimen"] = "previous"


class SpecimenType(MappedField):
    path: Paths = paths("O.16.1")


class Specimen(SourcedTable):
    """``[specimen]``: whose result it is. Each list is read in order; the first text that is not empty counts."""

    id: Paths = paths("O.3.1")
    capture: PatternText | None = None  # with a group "id": the part of the text that is the specimen id
    multiple: Literal["hold", "pool", "each"] = "hold"
    doubt: Literal["take", "hold"] = "take"  # hold: where another part of O.3 or O.4 looks more like the id
    max_length: int = Field(default=0, ge=0)  # 0 = the device has no limit
    identity: tuple[Literal["specimen", "patient"], ...] = ("specimen",)
    type: SpecimenType = SpecimenType()
    instrument_id: Paths = paths("O.4")
    rack: Paths = ()
    position: Paths = ()
    patient_id: Paths = paths("P.4", "P.3", "P.5")
    patient_name: Paths = ()  # each path one component, in HL7's order: family, given, middle, suffix, prefix
    priority: Paths = paths("O.6")

    @model_validator(mode="after")
    def _captures_id(self) -> Self:
        if self.capture is not None and "id" not in self.capture.names:
            raise ValueError('capture needs a group "(?P<id>...)"')
        return self


class Flags(Table):
    """``split``: "repeat" at the repeat delimiter, "chars" one letter each, or the separating text itself."""

    path: Paths = paths("R.7")
    split: str = "repeat"
    map: dict[str, str] = Field(default_factory=dict)


class NoResult(Table):
    """Which value texts say that there is no value, and where the reason stands ("" = the text is the reason)."""

    texts: tuple[str, ...] = ()
    reason: Paths = ()


class ResultStatus(MappedField):
    path: Paths = paths("R.9")


class Replicate(Table):
    """Which of several results of one code in an order is the main one; the others become supplemental."""

    rule: Literal["all", "mean_main", "last_main"] = "all"


class Result(SourcedTable):
    """``[result]``: where the parts of one result stand."""

    code: Paths = paths("R.3.4")
    no_code: tuple[str, ...] = ()  # texts that are never a code, wherever they stand
    name: Paths = ()
    component: Paths = ()
    normalise: tuple[str, ...] = ()
    value: Paths = paths("R.4")
    unit: Paths = paths("R.5")
    range: Paths = paths("R.6")
    flags: Flags = Flags()
    value_split: Patterns = ()
    no_result: NoResult = NoResult()
    status: ResultStatus = ResultStatus()
    status_default: Literal["", "F", "C", "P", "X", "I", "S", "R"] = ""
    time: Paths = paths("R.13")
    time_formats: tuple[str, ...] = ()
    implausible: Patterns = ()
    run: Paths = ()
    replicate: Replicate = Replicate()
    dilution: Paths = ()
    operator: Paths = paths("R.11.1", "R.11.2")
    volatile: tuple[Volatile, ...] = ()
    doubt: Literal["take", "hold"] = "take"  # hold: different results under one code, a value in an odd place
    resend_marker: Predicate | None = None
    resend_horizon_s: int = Field(default=300, ge=0)

    @field_validator("normalise")
    @classmethod
    def _steps(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        wrong = [step for step in value if not _NORMALISE.fullmatch(step)]
        if wrong:
            raise ValueError(f'"{wrong[0]}" is no step; write "blanks", "upper", "suffix:/" or "before:*"')
        return value

    @field_validator("time_formats")
    @classmethod
    def _formats(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            if fault(text):
                raise ValueError(fault(text))
        return value

    @field_validator("value_split")
    @classmethod
    def _names(cls, value: Patterns) -> Patterns:
        for pattern in value:
            if "value" not in pattern.names or pattern.names - SPLIT_NAMES:
                raise ValueError(f"groups are {', '.join(sorted(SPLIT_NAMES))}; value is needed")
        return value


class CodeWhen(Table):
    """What must be equal besides the code for the row to apply."""

    specimen: str = ""
    unit: str = ""
    component: str = ""


class CodeEntry(Table):
    """``[[test]]``: one code of the analyser. ``source`` is needed: codes are never invented.

    ``code = "*"`` stands for every code without a row of its own and gives units only.
    """

    code: str = Field(min_length=1)
    when: CodeWhen = CodeWhen()
    name: str = ""
    loinc: str = ""
    loinc_name: str = ""
    units: dict[str, str] = Field(default_factory=dict)
    unit_when_absent: str = ""
    kind: Literal["", "quantitative", "ordinal", "nominal", "titre", "text", "curve"] = ""
    values: dict[str, str] = Field(default_factory=dict)
    source: str = Field(min_length=1)
    orderable: bool = False

    @field_validator("loinc")
    @classmethod
    def _check_digit(cls, value: str) -> str:
        if value and not (_LOINC.fullmatch(value) and loinc_check_digit(value[:-2]) == value[-1]):
            raise ValueError(f'"{value}" is no LOINC code: its check digit is wrong')
        return value

    @model_validator(mode="after")
    def _wildcard_is_units_only(self) -> Self:
        if self.code == ANY_CODE and (self.loinc or self.name or self.values):
            raise ValueError('code "*" gives units only')
        return self

    def row(self) -> CodeRow:
        return CodeRow(
            code=self.code,
            specimen=self.when.specimen,
            unit=self.when.unit,
            component=self.when.component,
            name=self.name,
            loinc=self.loinc,
            loinc_name=self.loinc_name,
            kind=self.kind,
            units=self.units,
            unit_when_absent=self.unit_when_absent,
            values=self.values,
        )


class QcRule(Predicate):
    """A marker. ``match`` is a pattern and yields to patient identification; the others compare the whole field."""

    role: RoleLetter


class Qc(SourcedTable):
    """``[qc]``: how controls are told from patients, and what they say of themselves."""

    rules: tuple[QcRule, ...] = ()
    role_default: Literal["patient", "hold"] = "patient"
    lot: Paths = ()
    level: Paths = ()
    name: Paths = ()
    expiry: Paths = ()
    conflict: Literal["hold"] = "hold"


class CommentRule(SourcedTable):
    """``[[comment]]``: what a comment record is for. The first whose ``when`` holds decides; none: a note."""

    when: tuple[Predicate, ...] = ()
    sort: CommentAs = Field(alias="as")


class Graphics(SourcedTable):
    """``[graphics]``: where images and curves stand; each path gives one graphic."""

    path: Paths = ()
    part: tuple[str, ...] = ()  # what each path gives, where several share one code: "axis", "curve"
    form: Paths = ()  # where the device says how each path's data was made; kept as a comment
    code: Paths = ()
    encoding: Literal["Base64", "Hex", "A"] = "Base64"
    media_type: Literal["IM", "AP"] = "AP"
    subtype: str = "Octet-stream"
    max_bytes: int = Field(default=1_000_000, ge=0)

    @model_validator(mode="after")
    def _one_for_each_path(self) -> Self:
        if any(len(listed) not in (0, len(self.path)) for listed in (self.part, self.form)):
            raise ValueError("part and form, where given, have one entry for each path")
        return self


def loinc_check_digit(number: str) -> str:
    """The modulus-10 check digit of a LOINC number (LOINC Users' Guide, appendix on check digits)."""
    odd = str(int(number[::-1][0::2]) * 2)
    total = sum(int(digit) for digit in number[::-1][1::2] + odd)
    return str(-total % 10)
