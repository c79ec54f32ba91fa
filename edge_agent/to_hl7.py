"""A canonical report as HL7: one specimen's results of one transmission become one message.

Pure: the same report, coding and envelope give the same bytes. Nothing is parsed as a number, converted or invented.
The rules stand in the modules beside this one (``to_hl7_value``, ``to_hl7_status``, ``to_hl7_time``,
``to_hl7_observation``). What of the analyser's report has no place in HL7 stays in the store with the raw bytes.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from zoneinfo import ZoneInfo

from drivers.canonical import Kind, Observation, Order, Patient, Report, Role, Specimen
from drivers.coding import Coding
from edge_agent.to_hl7_observation import Context, HeldError, comments, local, observation, own_notes
from edge_agent.to_hl7_time import Moment, moment, plain_date, stamp
from hl7 import oru_r01, oul_r22, values
from hl7.errors import UnwritableError
from hl7.tables import PRIORITIES, SEXES, SPECIMEN_ROLES, SPECIMEN_TYPES

_BUILDERS = {"OUL_R22": oul_r22.build, "ORU_R01": oru_r01.build}
_PROCESSING = {"production": "P", "validation": "T"}  # MSH-11, HL7 table 0103
_NAME_PARTS = 5  # LIS02-A2 P.6 and XPN 1-5: last, first, middle, suffix, title
_MATERIALS = {  # INV-3, HL7 table 0384; blind and proficiency material is run as if it were a patient's
    Role.CONTROL: ("CO", "Control"),
    Role.ELECTRONIC_CONTROL: ("CO", "Control"),
    Role.CALIBRATOR: ("RC", "Reagent calibrator"),
    Role.VERIFIER: ("RC", "Reagent calibrator"),
}


class NothingToSendError(UnwritableError):
    """A specimen without any result was given."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """What surrounds the results. ``at`` (aware) and ``message_id`` were reserved by the store for this message."""

    message_id: str
    at: datetime
    analyser: str
    site: str
    gateway: str
    receiving_application: str
    receiving_facility: str
    mode: str  # "production" or "validation"
    message: str  # "OUL_R22" or "ORU_R01"
    timezone: ZoneInfo  # of the analyser's clock


def messages(
    specimen: Specimen,
    report: Report,
    coding: Coding,
    envelope: Envelope,
    *,
    held: int,
    possible_repeat: bool,
    graphics: bool = False,
) -> bytes:
    """One HL7 message, UTF-8, every segment ended by CR, about the observations the specimen still has.

    ``held`` of the specimen's observations stay behind and are counted in a note. Images are left out unless
    ``graphics``: values never wait for them. Raises HeldError when something held is among what was given,
    NothingToSendError when nothing is left, UnwritableError when a text is no Unicode.
    """
    if specimen.holds or not specimen.id:
        raise HeldError("A specimen that is held or has no id was given for a message.")
    context = Context(coding, report.sender, envelope.timezone, specimen.type, envelope.analyser)
    message = values.Message(
        header=_header(envelope),
        specimen=_specimen(specimen, context),
        orders=_orders(specimen, context, plain=envelope.message == "ORU_R01", graphics=graphics),
        patient=_patient(specimen),
        notes=own_notes(_about(held, possible_repeat)),
    )
    return _encoded(_BUILDERS[envelope.message](message))


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        # The codec's own message repeats the text, which may be a patient's.
        raise UnwritableError("A text holds half a character and cannot be written as UTF-8.") from None


def _header(envelope: Envelope) -> values.Header:
    """MSH-7 is in the analyser's zone: its offset is the default of every time in the message."""
    return values.Header(
        sending_application=envelope.analyser,
        sending_facility=envelope.site,
        receiving_application=envelope.receiving_application,
        receiving_facility=envelope.receiving_facility,
        time=stamp(envelope.at, envelope.timezone),
        control_id=envelope.message_id,
        processing_id=_PROCESSING[envelope.mode],
    )


def _about(held: int, possible_repeat: bool) -> Iterator[str]:
    if held:
        yield f"{held} {'result of this specimen is' if held == 1 else 'results of this specimen are'} held"
    if possible_repeat:
        yield "possible repeat"


def _patient(specimen: Specimen) -> values.PatientValues | None:
    """PID, for a patient's specimen only: a control never looks like a person (design invariant 9)."""
    patient = specimen.patient
    if specimen.role is not Role.PATIENT or patient == Patient():
        return None
    born = plain_date(patient.birth_date)
    return values.PatientValues(
        id=patient.id,
        name=_name(patient.name),
        birth_date=born.text,
        sex=patient.sex if patient.sex in SEXES else "",
        notes=(
            *comments(specimen.comments),
            *own_notes([] if born.complete else [f"birth date as sent: {patient.birth_date}"]),
        ),
    )


def _name(sent: str) -> tuple[str, ...]:
    """At most five components: XPN's next ones mean something else, so more stay together in the fifth."""
    return tuple(sent.split("^", _NAME_PARTS - 1))


def _specimen(specimen: Specimen, context: Context) -> values.SpecimenValues:
    system = context.coding.system
    numbered = specimen.position.isascii() and specimen.position.isdigit()
    located = bool(specimen.position) and not numbered
    return values.SpecimenValues(
        id=specimen.id,
        role=local(specimen.role.value, SPECIMEN_ROLES[specimen.role.value], "HL70369"),
        type=_type(specimen.type, system),
        collected=_collected(specimen, context.timezone).text,
        carrier=specimen.rack,
        position=specimen.position if numbered else "",
        location=local(specimen.position, "Position", system) if located else values.NOTHING,
        inventory=_inventory(specimen, system),
    )


def _type(sent: str, code_system: str) -> values.Coded:
    if not sent:
        return values.NOTHING
    name = SPECIMEN_TYPES.get(sent)
    return local(sent, sent, code_system) if name is None else local(sent, name, "HL70487")


def _collected(specimen: Specimen, zone: ZoneInfo) -> Moment:
    """SPM-17, where the orders of the specimen agree on it."""
    sent = _collection_times(specimen)
    return moment(sent[0], zone) if len(sent) == 1 else Moment("", complete=not sent)


def _collection_times(specimen: Specimen) -> tuple[str, ...]:
    return tuple(dict.fromkeys(order.collected for order in specimen.orders if order.collected))


def _inventory(specimen: Specimen, code_system: str) -> values.Inventory | None:
    material = _MATERIALS.get(specimen.role)
    if material is None:
        return None
    control = specimen.control
    return values.Inventory(
        id=local(control.name or specimen.id, control.level, code_system),
        type=local(*material, "HL70384"),
        expiry=plain_date(control.expiry).text,
        lot=control.lot,
    )


def _orders(specimen: Specimen, context: Context, *, plain: bool, graphics: bool) -> tuple[values.Order, ...]:
    """Every OBR of the message; notes on the specimen have no place of their own and stand under the first.

    Comments on the patient do too where no PID is there to carry them.
    """
    orders = [
        made
        for order in specimen.orders
        for made in _order(order, context, [o for o in order.observations if graphics or o.kind is not Kind.GRAPHIC])
    ]
    if not orders:
        raise NothingToSendError("A specimen without results was given for a message.")
    first = orders[0]
    spoken = () if _patient(specimen) else comments(specimen.comments)
    above = (*spoken, *own_notes(_unplaced(specimen, context.timezone, plain=plain)))
    orders[0] = replace(first, notes=(*above, *first.notes))
    return tuple(orders)


def _unplaced(specimen: Specimen, zone: ZoneInfo, *, plain: bool) -> Iterator[str]:
    """What is said of the specimen and the message has no field for."""
    if not _collected(specimen, zone).complete:
        yield from (f"collection time as sent: {sent}" for sent in _collection_times(specimen))
    control = specimen.control
    if plain or specimen.role not in _MATERIALS:
        facts = {"name": control.name, "level": control.level, "lot": control.lot, "expiry": control.expiry}
        yield from (f"control {what}: {said}" for what, said in facts.items() if said)
    elif not plain_date(control.expiry).complete:
        yield f"control expiry: {control.expiry}"


def _order(order: Order, context: Context, observations: list[Observation]) -> Iterator[values.Order]:
    """One OBR where the order names one test; else one per run of consecutive observations of the same test."""
    remarks = (*comments(order.comments), *own_notes(_unknown_priority(order.priority)))
    for service, members in _services(order, observations):
        yield values.Order(
            service=local(service, context.coding.test(service).name, context.coding.system),
            observations=tuple([observation(o, order.report_type, context) for o in members]),
            placer=order.placer,
            priority=_priority(order.priority),
            notes=remarks,
        )
        remarks = ()


def _services(order: Order, observations: list[Observation]) -> Iterator[tuple[str, list[Observation]]]:
    if len(order.codes) != 1:
        for code, members in groupby(observations, key=lambda o: o.code):
            yield code, list(members)
    elif observations:
        yield order.codes[0], observations


def _priority(sent: str) -> values.Coded:
    """TQ1-9: HL7 table 0485 has the letters of LIS02-A2 O.6 with the same meaning."""
    return local(sent, "", "HL70485") if sent in PRIORITIES else values.NOTHING


def _unknown_priority(sent: str) -> Iterator[str]:
    if sent and sent not in PRIORITIES:
        yield f"priority as sent: {sent}"
