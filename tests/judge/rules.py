"""Rules for the header, the patient, the specimen and the order: HL7 2.5.1, IHE LAW (LAB-29) and this project's design.

A rule is one short function that reports to the ``Reading``. Where LAW or the design is narrower than the base
standard the function says which. Results and notes are in ``results.py``.
"""

import re
from collections.abc import Callable

from judge import tables, values
from judge.reader import Reading, Segment
from judge.structure import Order

_NAME = re.compile(r"[a-z0-9-]{1,32}")
_CONTROL_ID = re.compile(r"[0-9A-Z]{8}-[0-9]{1,11}")
TYPES = {"OUL^R22^OUL_R22": "OUL_R22", "ORU^R01^ORU_R01": "ORU_R01"}


def need(reading: Reading, segment: Segment, n: int, what: str, c: int = 1) -> bool:
    if segment.component(n, c):
        return True
    reading.refuse("required", segment.at(n), f"{what} is missing")
    return False


def unused(reading: Reading, segment: Segment, *numbers: int) -> None:
    for n in numbers:
        if segment.raw(n):
            reading.refuse("unused-field", segment.at(n), "must be empty")


def in_table(reading: Reading, segment: Segment, n: int, allowed: frozenset[str], table: str, c: int = 1) -> None:
    value = segment.component(n, c)
    if value and value not in allowed:
        reading.refuse("table", segment.at(n), f"not in table {table}")


def last_field(reading: Reading, segment: Segment, last: int) -> None:
    if len(segment.fields) - 1 > last:
        reading.refuse("too-many-fields", segment.at(), f"more than {last} fields")


def is_time(reading: Reading, segment: Segment, n: int, c: int = 1, *, digits: int = 8) -> None:
    text = segment.component(n, c)
    problem = values.time(text, offset=True, digits=digits) if text and text != '""' else ""
    if problem:
        reading.refuse("time", segment.at(n), problem)


def set_ids(reading: Reading, segments: list[Segment], *, required: bool) -> None:
    for expected, segment in enumerate(segments, 1):
        found = segment.raw(1)
        if (found or required) and found != str(expected):
            reading.refuse("set-id", segment.at(1), f"expected {expected}")


def header(reading: Reading, msh: Segment) -> None:
    """MSH as design section 5 fixes it: every field exact or empty."""
    for n, exact in ((2, "^~\\&"), (12, "2.5.1"), (15, "NE"), (16, "AL"), (18, "UNICODE UTF-8")):
        if msh.raw(n) != exact:
            reading.refuse("msh-exact", msh.at(n), f"must be {exact}")
    for n, what in ((3, "analyser id"), (4, "site")):
        if not _NAME.fullmatch(msh.raw(n)):
            reading.refuse("msh-name", msh.at(n), f"{what} must be [a-z0-9-], 1 to 32 characters")
    need(reading, msh, 5, "receiving application")
    if need(reading, msh, 7, "time of the message"):
        is_time(reading, msh, 7, digits=14)
    control_id(reading, msh)
    in_table(reading, msh, 11, tables.PROCESSING, "0103 as used here")
    need(reading, msh, 11, "processing id")
    unused(reading, msh, 8, 13, 14, 20)
    last_field(reading, msh, 21)
    profile(reading, msh)


def control_id(reading: Reading, msh: Segment) -> None:
    if len(msh.raw(10)) > 20:
        reading.refuse("control-id", msh.at(10), "longer than 20 characters")
    elif not _CONTROL_ID.fullmatch(msh.raw(10)):
        reading.refuse("control-id", msh.at(10), "not eight of [0-9A-Z], a hyphen and a number")


def profile(reading: Reading, msh: Segment) -> None:
    """MSH-21 names LAB-29 exactly when the message is an OUL (LAW)."""
    is_law = msh.raw(9).startswith("OUL")
    if (msh.raw(21) == "LAB-29^IHE") != is_law:
        reading.refuse("msh-profile", msh.at(21), "LAB-29^IHE belongs to OUL^R22, and only to it")


def patient(reading: Reading, pid: Segment) -> None:
    """PID: 3 and 5 required by 2.5.1; LAW leaves out the fields kept for old versions."""
    need(reading, pid, 3, "patient identifier")
    if not any(pid.components(5)):
        reading.refuse("required", pid.at(5), "patient name is missing (unknown is ^^^^^^U)")
    in_table(reading, pid, 8, tables.SEX, "0001")
    if pid.raw(7):
        problem = values.time(pid.raw(7), offset=False, digits=4)
        if problem:
            reading.refuse("time", pid.at(7), problem)
    unused(reading, pid, 2, 4, 9, 12, 19, 20, 28)
    if pid.raw(1) not in ("", "1"):
        reading.refuse("set-id", pid.at(1), "expected 1")


def specimen(reading: Reading, spm: Segment) -> None:
    """SPM: 4 is required by 2.5.1, 11 by LAW; the id keeps no outer blanks (design invariant 10)."""
    if spm.raw(1) != "1":
        reading.refuse("set-id", spm.at(1), "expected 1")
    if need(reading, spm, 2, "specimen id"):
        identifier = spm.text(2)
        if identifier != identifier.strip() or identifier == '""':
            reading.refuse("specimen-id", spm.at(2), "outer blanks or an empty meaning")
    need(reading, spm, 4, "specimen type")
    need(reading, spm, 11, "specimen role")
    if len(spm.repeats(11)) > 1:
        reading.refuse("specimen-role", spm.at(11), "one role only")
    allowed = tables.PATIENT_ROLES | tables.CONTROL_ROLES
    in_table(reading, spm, 11, allowed, "0369 as used here")
    if spm.component(11, 1) and spm.component(11, 3) != "HL70369":
        reading.refuse("coding-system", spm.at(11), "role must name HL70369")
    for c in (1, 2):
        is_time(reading, spm, 17, c)
    is_time(reading, spm, 18)


def container(reading: Reading, sac: Segment, spm: Segment | None) -> None:
    if need(reading, sac, 3, "container id") and spm is not None and sac.text(3) != spm.text(2):
        reading.refuse("container-id", sac.at(3), "names another tube than SPM-2")
    unused(reading, sac, 1, 2, 5, 6)
    problem = values.structured_number(sac.components(29)) if sac.raw(29) else ""
    if problem:
        reading.refuse("value-type", sac.at(29), problem)


def substance(reading: Reading, inv: Segment, role: str) -> None:
    """INV under a container describes a control: 1 and 2 are required, type CO goes with a control's specimen."""
    need(reading, inv, 1, "substance id")
    need(reading, inv, 2, "substance status")
    in_table(reading, inv, 2, tables.SUBSTANCE_STATUS, "0383")
    in_table(reading, inv, 3, tables.SUBSTANCE_TYPE, "0384")
    problem = values.time(inv.raw(12), offset=False) if inv.raw(12) else ""
    if problem:
        reading.refuse("time", inv.at(12), problem)
    if inv.component(3, 1) == "CO" and role in tables.PATIENT_ROLES:
        reading.refuse("control-in-patient", inv.at(3), "control material under a patient's specimen")


def order(reading: Reading, item: Order, structure: str) -> None:
    obr = item.obr
    need(reading, obr, 2, 'placer order number (or "")')
    if need(reading, obr, 4, "service id"):
        coded(reading, obr, 4)
    in_table(reading, obr, 11, tables.SPECIMEN_ACTION, "0065")
    in_table(reading, obr, 25, tables.ORDER_RESULT_STATUS, "0123")
    for n in (7, 8, 22):
        is_time(reading, obr, n)
    if not item.results and obr.raw(25) != "X":
        reading.refuse("order-without-results", obr.at(), "no OBX under it, and it is not marked X")
    if item.orc is not None:
        _common_order(reading, item.orc, "SC" if structure == "OUL_R22" else "RE")


def _common_order(reading: Reading, orc: Segment, control: str) -> None:
    if orc.raw(1) != control:
        reading.refuse("order-control", orc.at(1), f"must be {control}")
    in_table(reading, orc, 5, tables.ORDER_STATUS, "0038")
    if control == "SC":
        need(reading, orc, 5, "order status (LAW)")
    is_time(reading, orc, 9)


def timing(reading: Reading, tq1: Segment) -> None:
    need(reading, tq1, 9, "priority")
    in_table(reading, tq1, 9, tables.PRIORITY, "0485")
    if tq1.component(9, 1) and tq1.component(9, 3) != "HL70485":
        reading.refuse("coding-system", tq1.at(9), "priority must name HL70485")


def coded(reading: Reading, segment: Segment, n: int, check_second: Callable[[list[str]], str] | None = None) -> None:
    """CE: one or two triplets, each a code with its system; LN only on LOINC codes."""
    parts = (segment.components(n) + [""] * 6)[:6]
    if len(segment.components(n)) > 6 or len(segment.repeats(n)) > 1:
        reading.refuse("triplet", segment.at(n), "more than two triplets")
    problem = _triplet(parts[:3])
    if not problem and any(parts[3:]):
        problem = (check_second or _triplet)(parts[3:])
    if problem:
        reading.refuse("triplet", segment.at(n), problem)


def _triplet(parts: list[str]) -> str:
    code, _, system = parts
    if not code or not system:
        return "a code without its coding system, or a system without code"
    if system == "LN":
        return values.loinc(code)
    return values.local_system(system)
