"""What an analyser said about its specimens, in one shape for every protocol.

Everything is text exactly as the analyser sent it, after removing the protocol's escapes. No number is parsed, no unit
is converted, no time is given a zone: ``edge_agent.to_hl7`` decides how a value is coded. A driver that cannot decide
something says so with a ``Hold`` and leaves the field empty; it never guesses.

Field names follow CLSI LIS02-A2; the numbers in comments are its field positions, counted from the record type = 1.
"""

from dataclasses import dataclass, field
from enum import StrEnum


class Role(StrEnum):
    """What the specimen is for: HL7 table 0369, as far as analysers need it."""

    PATIENT = "P"
    CONTROL = "Q"
    CALIBRATOR = "C"
    VERIFIER = "V"
    ELECTRONIC_CONTROL = "E"
    BLIND = "B"
    PROFICIENCY = "F"
    OPERATOR_PROFICIENCY = "O"


class Kind(StrEnum):
    """What an observation is. Anything but RESULT is supplemental to one."""

    RESULT = "result"
    INTERPRETATION = "interpretation"
    RAW = "raw"
    OTHER = "other"
    GRAPHIC = "graphic"


@dataclass(frozen=True, slots=True)
class Hold:
    """Why something cannot be published yet: a code of ``edge_agent.codes`` and facts without patient data."""

    code: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Comment:
    text: str
    source: str = ""  # C.3: I instrument, L information system, P practice
    type: str = ""  # C.5: G, T, P, N, I


@dataclass(frozen=True, slots=True)
class Graphic:
    """An image or curve. ``data`` is Base64 text as sent."""

    media_type: str  # "IM" or "AP", HL7 table 0191
    subtype: str  # "PNG", "Octet-stream", ...
    encoding: str  # "Base64"
    data: str


@dataclass(frozen=True, slots=True)
class Observation:
    """One result, or one thing that belongs to a result."""

    code: str  # the analyser's own test code
    full_code: str  # the whole test id as sent (R.3): part of the identity
    name: str = ""  # the test's name as sent, "" when the analyser sent none
    component: str = ""  # analyte within the test, where the profile tells one
    value: str = ""  # R.4, comparator and blanks inside included
    unit: str = ""  # R.5
    range: str = ""  # R.6
    flags: tuple[str, ...] = ()  # R.7
    nature: str = ""  # R.8
    status: str = ""  # R.9 as sent; "" when absent
    run: str = ""  # only where the device sends a run number
    dilution: str = ""
    operators: tuple[str, ...] = ()  # R.11: performer, verifier
    started: str = ""  # R.12 as sent
    completed: str = ""  # R.13 as sent
    instrument: str = ""  # R.14
    kind: Kind = Kind.RESULT
    graphic: Graphic | None = None
    no_result: str = ""  # reason, when the analyser says there is no value
    comments: tuple[Comment, ...] = ()
    holds: tuple[Hold, ...] = ()
    resend: bool = False  # the device's resend marker was set (R.9 = R, or the profile's)
    records: tuple[int, ...] = ()  # indices of the source records in the message, for the trace


@dataclass(frozen=True, slots=True)
class Order:
    """One O record (or OBR) and what was measured for it."""

    codes: tuple[str, ...] = ()  # tests named by the order, analyser's own codes
    placer: str = ""  # the order id the management system gave, where the analyser returns it
    priority: str = ""  # O.6
    action: str = ""  # O.12
    report_type: str = ""  # O.26
    ordered: str = ""  # O.7
    collected: str = ""  # O.8
    received: str = ""  # O.15
    comments: tuple[Comment, ...] = ()
    observations: tuple[Observation, ...] = ()
    records: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Patient:
    """As sent; every field may be empty."""

    id: str = ""  # laboratory's id (P.4), else practice's (P.3), else P.5
    name: str = ""  # components joined by "^": last^first^middle^suffix^title
    birth_date: str = ""
    sex: str = ""


@dataclass(frozen=True, slots=True)
class Control:
    """What a control material says of itself."""

    lot: str = ""
    level: str = ""
    name: str = ""
    expiry: str = ""


@dataclass(frozen=True, slots=True)
class Specimen:
    """All that one transmission says about one specimen: the unit of one HL7 message."""

    id: str  # outer blanks removed, nothing else; "" when held
    role: Role = Role.PATIENT
    patient: Patient = Patient()
    instrument_id: str = ""  # O.4
    type: str = ""  # O.16
    rack: str = ""
    position: str = ""
    control: Control = Control()
    comments: tuple[Comment, ...] = ()
    orders: tuple[Order, ...] = ()
    holds: tuple[Hold, ...] = ()  # a hold here holds every observation of the specimen
    stat: bool = False

    def observations(self) -> tuple[Observation, ...]:
        """Every observation in the order it was sent."""
        return tuple(o for order in self.orders for o in order.observations)


@dataclass(frozen=True, slots=True)
class Query:
    """A host query (Q record)."""

    specimen_ids: tuple[str, ...] = ()
    patient_ids: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    status: str = ""  # Q.13
    records: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Sender:
    """What the header says of the device."""

    name: str = ""
    serial: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class Unread:
    """A record or field nobody mapped. Kept, shown in the trace, never sent as a result."""

    record: int
    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Report:
    """One message of an analyser, understood."""

    sender: Sender = Sender()
    processing_id: str = ""  # H.12: P, T, D, Q
    sent: str = ""  # H.14 as sent
    termination: str = ""  # L.3
    specimens: tuple[Specimen, ...] = ()
    queries: tuple[Query, ...] = ()
    unread: tuple[Unread, ...] = field(default=())
    holds: tuple[Hold, ...] = ()  # a hold here holds the whole message (wrong device, no header)
