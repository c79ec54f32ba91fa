"""What a result message is made of: values already coded, as unescaped text. The builders only write them down.

Times are finished HL7 TS text (``20240301101200+0100``) or "". Every other string is a leaf: it may hold any character.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Coded:
    """CE or CWE: code, text and coding system, and the same thing in another system."""

    code: str = ""
    text: str = ""
    system: str = ""
    alternate_code: str = ""
    alternate_text: str = ""
    alternate_system: str = ""


NOTHING = Coded()


@dataclass(frozen=True, slots=True)
class Note:
    """NTE. ``source`` is HL7 table 0105: L laboratory, P placer, O other. Several texts are repetitions of NTE-3."""

    texts: tuple[str, ...]
    source: str = ""


@dataclass(frozen=True, slots=True)
class Device:
    """One repetition of OBX-18: an entity (model, serial number, module) and who made it."""

    id: str
    maker: str = ""


@dataclass(frozen=True, slots=True)
class Observation:
    """One OBX with its NTEs."""

    code: Coded  # OBX-3
    status: str  # OBX-11, HL7 table 0085
    type: str = ""  # OBX-2; "" only with an empty value
    value: tuple[str, ...] = ()  # OBX-5, its components
    run: str = ""  # OBX-4
    unit: Coded = NOTHING  # OBX-6
    range: str = ""  # OBX-7
    flags: tuple[Coded, ...] = ()  # OBX-8
    nature: tuple[str, ...] = ()  # OBX-10, HL7 table 0080
    observers: tuple[str, ...] = ()  # OBX-16: performer, verifier
    devices: tuple[Device, ...] = ()  # OBX-18
    analysed: str = ""  # OBX-19, TS
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True)
class Order:
    """One OBR with its ORC, notes, priority and results."""

    service: Coded  # OBR-4
    observations: tuple[Observation, ...]
    placer: str = ""  # OBR-2; "" is written as the LAW null: no work order step
    priority: Coded = NOTHING  # TQ1-9, HL7 table 0485
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True)
class Inventory:
    """INV: the control or calibrator material in a container."""

    id: Coded  # INV-1
    type: Coded  # INV-3, HL7 table 0384
    expiry: str = ""  # INV-12, TS
    lot: str = ""  # INV-16


@dataclass(frozen=True, slots=True)
class SpecimenValues:
    """SPM and, in OUL_R22, SAC and INV."""

    id: str  # SPM-2, SAC-3
    role: Coded  # SPM-11, HL7 table 0369
    type: Coded = NOTHING  # SPM-4; nothing is written as the LAW null: unknown type
    collected: str = ""  # SPM-17, TS
    carrier: str = ""  # SAC-10
    position: str = ""  # SAC-11, digits
    location: Coded = NOTHING  # SAC-15
    inventory: Inventory | None = None


@dataclass(frozen=True, slots=True)
class PatientValues:
    """PID. An empty name is written as XPN type U, an empty id as the HL7 null."""

    id: str = ""  # PID-3
    name: tuple[str, ...] = ()  # PID-5: family, given, further, suffix, prefix
    birth_date: str = ""  # PID-7, TS
    sex: str = ""  # PID-8, HL7 table 0001
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True)
class Header:
    """MSH, as far as it differs from message to message."""

    sending_application: str  # MSH-3
    sending_facility: str  # MSH-4
    receiving_application: str  # MSH-5
    receiving_facility: str  # MSH-6
    time: str  # MSH-7, TS with offset
    control_id: str  # MSH-10
    processing_id: str = "P"  # MSH-11, HL7 table 0103


@dataclass(frozen=True, slots=True)
class Message:
    """One specimen's results."""

    header: Header
    specimen: SpecimenValues
    orders: tuple[Order, ...]
    patient: PatientValues | None = None
    notes: tuple[Note, ...] = ()  # about the message as a whole
