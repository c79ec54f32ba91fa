"""What a profile knows about a test code: name, LOINC, UCUM unit, kind. Looked up, never guessed.

A row applies when code, and every one of specimen type, unit and component the row names, equal what was sent. Zero or
several such rows give no LOINC: the analyser's own code travels alone. Nothing here converts a value or a unit; a UCUM
unit is another name for the unit as sent, of the same magnitude.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

ANY_CODE = "*"  # the row of every code that has none of its own; it gives units and nothing else

NO_VALUES: Mapping[str, str] = MappingProxyType({})


def _nothing() -> Mapping[str, str]:
    return NO_VALUES


@dataclass(frozen=True, slots=True)
class CodeRow:
    """One ``[[test]]`` of a profile. Empty ``specimen``, ``unit`` or ``component``: the row does not ask for it."""

    code: str
    specimen: str = ""
    unit: str = ""
    component: str = ""
    name: str = ""
    loinc: str = ""
    loinc_name: str = ""
    kind: str = ""  # quantitative, ordinal, nominal, titre, text, curve
    units: Mapping[str, str] = field(
        default_factory=_nothing
    )  # unit as sent -> UCUM; not empty: any other unit contradicts the row
    unit_when_absent: str = ""  # UCUM, only where a source says what an absent unit means
    values: Mapping[str, str] = field(default_factory=_nothing)  # value as sent -> code of the value

    def applies(self, specimen_type: str, unit: str, component: str) -> bool:
        asked = ((self.specimen, specimen_type), (self.unit, unit), (self.component, component))
        return all(wanted in ("", sent) for wanted, sent in asked)


@dataclass(frozen=True, slots=True)
class Coded:
    """The answer for one observation. ``known`` is False when no row at all names the code."""

    name: str = ""
    loinc: str = ""
    loinc_name: str = ""
    kind: str = ""
    ucum: str = ""  # of the same magnitude as the unit as sent; "" when no table says
    values: Mapping[str, str] = field(default_factory=_nothing)
    unit_contradicts: bool = False  # a unit was sent that the row's unit table does not list
    known: bool = False


@dataclass(frozen=True, slots=True)
class Coding:
    """A profile's code table and what the HL7 policy needs to know besides.

    ``system`` is the local coding system of HL7 table 0396 (``99`` and three letters). ``status_default`` is the OBX-11
    the profile gives for a result without a status ("" when it gives none). ``decimal`` and ``group`` are the decimal
    mark and thousands mark the analyser writes; only a declared mark may be interpreted.
    """

    system: str = "99LOC"
    manufacturer: str = ""
    model: str = ""
    decimal: str = "."
    group: str = ""
    status_default: str = ""
    rows: Mapping[str, tuple[CodeRow, ...]] = field(default_factory=lambda: MappingProxyType({}))

    def test(self, code: str, *, specimen_type: str = "", unit: str = "", component: str = "") -> Coded:
        """The single row for the code, or as much as may be said without one."""
        rows = self.rows.get(code, ())
        fitting = [row for row in rows or self.rows.get(ANY_CODE, ()) if row.applies(specimen_type, unit, component)]
        if len(fitting) != 1:
            return Coded(known=bool(rows))
        if not rows:
            return Coded(ucum=fitting[0].units.get(unit, ""))
        return _coded(fitting[0], unit)


def rows_by_code(rows: Iterable[CodeRow]) -> Mapping[str, tuple[CodeRow, ...]]:
    """The table ``Coding.rows`` wants."""
    table: dict[str, tuple[CodeRow, ...]] = {}
    for row in rows:
        table[row.code] = (*table.get(row.code, ()), row)
    return MappingProxyType(table)


def local_system(vendor: str) -> str:
    """The vendor's local coding system, as "99SYS": HL7 table 0396 asks for 99 and three alphanumeric characters."""
    letters = "".join(c for c in vendor.upper() if c.isascii() and c.isalnum())[:3]
    return f"99{letters}" if len(letters) == 3 else "99LOC"


def _coded(row: CodeRow, unit: str) -> Coded:
    return Coded(
        name=row.name,
        loinc=row.loinc,
        loinc_name=row.loinc_name,
        kind=row.kind,
        ucum=row.units.get(unit, "") if unit else row.unit_when_absent,
        values=row.values,
        unit_contradicts=bool(unit and row.units and unit not in row.units),
        known=True,
    )
