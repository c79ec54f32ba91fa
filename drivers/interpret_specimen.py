"""An O record -> whose result it is: specimen id, role, patient, control. Where that cannot be told, a hold; no guess.

A wrong answer here puts a result on another person, so every rule errs towards the hold (design invariants 5, 9, 10).
"""

from dataclasses import dataclass

from drivers.canonical import Control, Hold, Patient, Role
from drivers.interpret_context import Chain, OrderDraft, Reader
from drivers.paths import Path
from drivers.paths import read as read_path
from drivers.protocols.lis02 import Record

_BIRTH, _SEX = Path("P", 8), Path("P", 9)
_BLANKS = " \t"
_COUNTER = 6  # digits of the longest rack number or counter seen in O.3, and one more
_SHORTEST = 3  # characters: what is shorter is a cup or well beside any id
_DELETE = '""'  # LIS02-A2 5.4.9: "delete the stored value"; as a specimen id it names nothing


@dataclass(frozen=True, slots=True)
class Identity:
    """The specimen ids of an order (one, unless the profile says that each of several gets the result)."""

    ids: tuple[str, ...]
    holds: tuple[Hold, ...] = ()


def identify(reader: Reader, chain: Chain, patient: Patient) -> Identity:
    """The specimen id: outer blanks off, nothing else."""
    table = reader.profile.specimen
    found = _ids(reader, chain)
    if table.doubt == "hold" and _rivalled(reader, chain, found):
        return Identity(("",), (Hold("specimen-place-unclear"),))
    if not found:
        by_patient = "patient" in table.identity and patient.id
        return Identity(("",), () if by_patient else (Hold("no-specimen-id"),))
    if len(found) > 1 and table.multiple == "hold":
        return Identity(("",), (Hold("several-specimen-ids", f"{len(found)} ids"),))
    if len(found) > 1 and table.multiple == "pool":
        found = [_whole(reader, chain)]
    cut = bool(table.max_length) and any(len(text) >= table.max_length for text in found)
    holds = (Hold("specimen-id-truncated", f"{table.max_length} characters"),) if cut else ()
    return Identity(tuple(found), holds)


def _rivalled(reader: Reader, chain: Chain, found: list[str]) -> bool:
    """Whether O.3 or O.4 has another text that may as well be the id: a rack, cup or counter is shorter than an id.

    An id of nothing but a few digits may itself be the rack or counter (c311, BS-240): then a short text counts too.
    """
    order = chain.get("O")
    if order is None or len(found) > 1:
        return False
    known = found[0] if found else ""
    places = {(path.field, path.component or 1) for path in reader.profile.specimen.id}
    components = ((field, n) for field in (3, 4) for n in range(1, len(order.components(field)) + 1))
    others = (place for place in components if place not in places)
    texts = (reader.clean(order.get(field, n)).strip(_BLANKS) for field, n in others)
    longest = max((len(text) for text in texts if text not in (_DELETE, known)), default=0)
    if not known:
        return longest > 0
    counter = known.isascii() and known.isdigit() and len(known) <= _COUNTER
    return longest >= (min(len(known), _SHORTEST) if counter else max(len(known), _SHORTEST))


def _ids(reader: Reader, chain: Chain) -> list[str]:
    for path in reader.profile.specimen.id:
        texts = [_captured(reader, text) for text in _repeats(path, chain.get(path.record))]
        parts = [part.strip(_BLANKS) for text in texts for part in text.split(",")]
        parts = [part for part in dict.fromkeys(parts) if part and part != _DELETE]
        if parts:
            return parts
    return []


def _whole(reader: Reader, chain: Chain) -> str:
    """The text of a pool, as sent."""
    for path in reader.profile.specimen.id:
        record = chain.get(path.record)
        text = "" if record is None else read_path(Path(path.record, path.field), record).strip(_BLANKS)
        if text:
            return text
    return ""


def _repeats(path: Path, record: Record | None) -> list[str]:
    """The text at the path in every repeat of the field, unless the path names one."""
    if record is None or record.type != path.record:
        return []
    if path.repeat or (path.component is None and len(record.repeats(path.field)) == 1):
        return [read_path(path, record)]
    return [record.get(path.field, path.component, n) for n in range(1, len(record.repeats(path.field)) + 1)]


def _captured(reader: Reader, text: str) -> str:
    pattern = reader.profile.specimen.capture
    if pattern is None:
        return text
    found = pattern.groups(text)
    return "" if found is None else found["id"]


def patient_of(reader: Reader, chain: Chain) -> Patient:
    """The patient as sent; all empty without a P record."""
    record = chain.get("P")
    if record is None:
        return Patient()
    return Patient(
        id=reader.first(reader.profile.specimen.patient_id, chain).strip(_BLANKS),
        name=_name(reader, record, chain),
        birth_date=reader.text(_BIRTH, chain),
        sex=reader.text(_SEX, chain),
    )


def _name(reader: Reader, record: Record, chain: Chain) -> str:
    listed = reader.profile.specimen.patient_name
    if listed:
        parts = [reader.text(path, chain) for path in listed]
    else:
        count = len(record.components(6))
        parts = [reader.clean(record.get(6, n)) for n in range(1, count + 1)]
    return "^".join(parts).rstrip("^")


def role_of(reader: Reader, chain: Chain, patient: Patient) -> tuple[Role, tuple[Hold, ...]]:
    """What the specimen is for. Markers that disagree, or a mere pattern on an identified patient, decide nothing."""
    certain, by_pattern = _markers(reader, chain)
    claimed = certain | by_pattern
    if len(claimed) > 1:
        return Role.PATIENT, (Hold("role-undecided", "markers disagree"),)
    if not claimed:
        undecided = reader.profile.qc.role_default == "hold"
        return Role.PATIENT, (Hold("role-undecided", "no marker"),) if undecided else ()
    role = next(iter(claimed))
    if not certain and role is not Role.PATIENT and (patient.id or patient.name):
        return Role.PATIENT, (Hold("role-undecided", "a pattern matched, and a patient is named"),)
    return role, ()


def _markers(reader: Reader, chain: Chain) -> tuple[set[Role], set[Role]]:
    """Roles claimed by the standard's own fields and whole-field rules, and those claimed by patterns."""
    certain: set[Role] = set()
    by_pattern: set[Role] = set()
    order, header = chain.get("O"), chain.get("H")
    # LIS02-A2 8.4: O.12 Q = treat as QC specimen; 6: H.12 Q = quality control
    if (order is not None and order.get(12).strip() == "Q") or (header is not None and header.get(12).strip() == "Q"):
        certain.add(Role.CONTROL)
    for rule in reader.profile.qc.rules:
        if rule.holds_for(chain.get(rule.path.record), reader.clean):
            (by_pattern if rule.match is not None else certain).add(Role(rule.role))
    return certain, by_pattern


def control_of(reader: Reader, chain: Chain, draft: OrderDraft) -> Control:
    """What a control says of itself, in its fields or in comments the profile points at."""
    table = reader.profile.qc
    return Control(
        lot=reader.first(table.lot, chain) or next(iter(draft.lots), ""),
        level=reader.first(table.level, chain),
        name=reader.first(table.name, chain) or next(iter(draft.names), ""),
        expiry=reader.first(table.expiry, chain),
    )
