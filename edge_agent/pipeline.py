"""Stored intake to reports to HL7: pure, and run as often as needed on the same bytes.

``plan`` reads a transmission and decides, for every observation, what it is and whether anything holds it.
``settlement.settle`` then takes what the store knows (repeats) and the reserved message ids, and writes the messages.
Neither touches a clock, a port or the store, so a conversion that failed can be run again on the raw bytes after a fix.

Promised: every result of the transmission ends as converted, duplicate, held or failed with a reason. Not promised:
that a result is right; the analyser's text is carried as it is.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from drivers.canonical import Hold, Kind, Observation, Order, Report, Role, Specimen
from drivers.coding import ANY_CODE, Coding
from drivers.sdk import Device
from edge_agent.identity import KeyRing
from edge_agent.policy import Policy
from edge_agent.sender_clock import ahead_s
from edge_agent.states import TransmissionState
from edge_agent.store.rows import ChunkKind, ObservationKey, Route, Source, Transmission

_PART_ONLY = frozenset({TransmissionState.INTERRUPTED, TransmissionState.COMPLETED_BY})
PATIENT_ROUTE = frozenset({Role.PATIENT, Role.BLIND, Role.PROFICIENCY, Role.OPERATOR_PROFICIENCY})
_ABORTED = frozenset({"T", "R", "E"})  # L.3: sender aborted, receiver asked to, unknown error


@dataclass(frozen=True, slots=True)
class PlannedObservation:
    observation: Observation
    key: ObservationKey
    timed: bool  # its result time tells a resend from a new measurement
    hold: Hold | None = None


@dataclass(frozen=True, slots=True)
class PlannedSpecimen:
    specimen: Specimen
    report: Report
    route: Route
    observations: tuple[PlannedObservation, ...]
    hold: Hold | None = None

    def free(self) -> tuple[PlannedObservation, ...]:
        """The observations nothing holds."""
        return () if self.hold else tuple(o for o in self.observations if o.hold is None)


@dataclass(frozen=True, slots=True)
class Plan:
    transmission: Transmission
    specimens: tuple[PlannedSpecimen, ...] = ()
    named: frozenset[str] = frozenset()  # ids of all specimens, those without any result included
    holds: tuple[Hold, ...] = ()
    alarms: tuple[tuple[str, Mapping[str, str]], ...] = ()
    ahead_s: float | None = None  # the analyser's clock against ours

    def keys(self) -> tuple[ObservationKey, ...]:
        return tuple(o.key for s in self.specimens for o in s.observations)

    def reservations(self) -> int:
        """How many message ids this plan can need: values and images of each specimen travel apart."""
        return 2 * len(self.specimens)


def plan(
    transmission: Transmission,
    device: Device,
    policy: Policy,
    *,
    everything: bool = False,
    aside: Collection[str] = (),
) -> Plan:
    """Read a transmission's bytes and decide what can be published.

    Of an interrupted transmission only what the analyser may presume saved is read (LIS02-A2 §4.2.1), also when its
    rest came with another, unless ``everything`` asks for the tail too, as far as its records are whole. ``aside``:
    what the keys leave out beside what the profile calls volatile. Raises drivers.errors.DriverError when the driver
    has a defect; content never raises.
    """
    text = whole_records(transmission.text()) if everything else transmission.text()
    if not text:
        return Plan(transmission, holds=(_unframed(transmission),))
    saved_only = transmission.state in _PART_ONLY and not everything
    read, holds = device.read(text, saved_only=saved_only)
    readings = [(message, report) for message, report in read if message.records]  # else nothing of it was saved
    ring = KeyRing(_sender(transmission.source), (*device.profile.result.volatile, *aside))
    coding = device.coding()
    specimens = tuple(
        _specimen(_with_cancelled(specimen), report, coding, policy, ring)
        for _, report in readings
        for specimen in report.specimens
    )
    reports = [report for _, report in readings]
    return Plan(
        transmission,
        specimens=tuple(s for s in specimens if s.observations or s.hold),
        named=frozenset(s.specimen.id for s in specimens),
        holds=(*_never_accepted(transmission), *holds, *(h for r in reports if not r.specimens for h in r.holds)),
        alarms=(
            *_aborted(transmission, reports),
            *_unanswered(reports),
            *_implausible(reports),
            *_unknown_tests(specimens, coding, policy),
        ),
        ahead_s=ahead_s(reports, transmission.opened, policy.timezone),
    )


def _sender(source: Source) -> str:
    """Whose results are compared. What came before a person said production was nobody's result: not repeated by it."""
    return source.analyser if source.mode == "production" else f"{source.analyser} in {source.mode}"


def whole_records(text: bytes) -> bytes:
    """Without the record in whose middle the transmission broke off."""
    return text[: max(text.rfind(b"\r"), text.rfind(b"\n")) + 1]


def _unframed(transmission: Transmission) -> Hold:
    """Nothing but refused frames or bytes outside any frame: kept, and said."""
    refused = next((c.chunk.reason for c in transmission.chunks if c.chunk.kind is ChunkKind.REFUSED), None)
    return Hold("unframed-bytes") if refused is None else Hold("frame-refused", refused)


def _never_accepted(transmission: Transmission) -> tuple[Hold, ...]:
    """Whole frames refused for their number that the analyser never brought with the right one.

    It went on in spite of the NAK, so the message has a gap: what was accepted goes out, and the gap is said.
    """
    accepted = {c.chunk.text for c in transmission.chunks if c.chunk.kind is ChunkKind.FRAME}
    refused = (c.chunk for c in transmission.chunks if c.chunk.reason.startswith("frame-number"))
    reasons = dict.fromkeys(c.reason for c in refused if _content(c.raw) not in accepted)
    return tuple(Hold("frame-refused", reason) for reason in reasons)


def _content(raw: bytes) -> bytes:
    """A refused frame's text: behind STX and number, before ETX or ETB."""
    return raw[2 : max(raw.rfind(b"\x03"), raw.rfind(b"\x17"))]


def _specimen(specimen: Specimen, report: Report, coding: Coding, policy: Policy, ring: KeyRing) -> PlannedSpecimen:
    hold = next(iter((*report.holds, *specimen.holds, *_shape(specimen, policy))), None)
    planned = tuple(
        PlannedObservation(
            o, ring.key(specimen, o, order.report_type), ring.timed(o), _observation_hold(o, specimen, coding, policy)
        )
        for order in specimen.orders
        for o in order.observations
    )
    return PlannedSpecimen(specimen, report, _route(specimen.role, policy), planned, hold)


def _with_cancelled(specimen: Specimen) -> Specimen:
    """A battery that cannot be done comes as O.26 = X without R (LIS02-A2 §8.2): information, so it gets a line."""
    orders = tuple(
        replace(o, observations=_cancelled(o)) if o.report_type == "X" and not o.observations else o
        for o in specimen.orders
    )
    return replace(specimen, orders=orders)


def _cancelled(order: Order) -> tuple[Observation, ...]:
    return tuple(
        Observation(code, full_code=code, status="X", no_result="cannot be done", records=order.records)
        for code in order.codes
    )


def _shape(specimen: Specimen, policy: Policy) -> tuple[Hold, ...]:
    if specimen.role is not Role.PATIENT or policy.specimen_id is None or not specimen.id:
        return ()
    return () if policy.specimen_id.fullmatch(specimen.id) else (Hold("specimen-id-shape"),)


def _route(role: Role, policy: Policy) -> Route:
    if policy.mode == "validation":
        return Route.VALIDATION
    return Route.RESULT if role in PATIENT_ROUTE else Route.QC


def _observation_hold(observation: Observation, specimen: Specimen, coding: Coding, policy: Policy) -> Hold | None:
    if not observation.code:
        return Hold("no-test-code")  # OBX-3 is required, and two results without a name could not be told apart
    if observation.holds:
        return observation.holds[0]
    if observation.kind is not Kind.RESULT:
        return None
    coded = coding.test(
        observation.code,
        specimen_type=specimen.type,
        unit=observation.unit,
        component=observation.component,
    )
    if coded.unit_contradicts:
        return Hold("unit-contradicts", observation.code)
    if not coded.known and policy.on_unknown_code == "hold":
        return Hold("unknown-test-held", policy.shown_code(observation.code, _about_patient(specimen)))
    return None


def _unknown_tests(
    specimens: tuple[PlannedSpecimen, ...], coding: Coding, policy: Policy
) -> tuple[tuple[str, Mapping[str, str]], ...]:
    """Tests that a profile with a code table does not know. A profile without a table knows none and says nothing."""
    if not set(coding.rows) - {ANY_CODE} or policy.on_unknown_code == "hold":
        return ()
    unknown = {
        policy.shown_code(o.observation.code, _about_patient(s.specimen)): None
        for s in specimens
        for o in s.free()
        if o.observation.kind is Kind.RESULT and o.observation.code not in coding.rows
    }
    return tuple(("unknown-test", {"test": shown}) for shown in unknown)


def _about_patient(specimen: Specimen) -> tuple[str, ...]:
    patient = specimen.patient
    return (specimen.id, specimen.instrument_id, patient.id, patient.birth_date, *patient.name.split("^"))


def _aborted(transmission: Transmission, reports: list[Report]) -> tuple[tuple[str, Mapping[str, str]], ...]:
    if any(r.termination in _ABORTED for r in reports):
        at = transmission.ended or transmission.opened
        return (("interrupted", {"at": at.isoformat(timespec="seconds")}),)
    return ()


def _unanswered(reports: list[Report]) -> tuple[tuple[str, Mapping[str, str]], ...]:
    return (("query-unanswered", {}),) if any(r.queries for r in reports) else ()


def _implausible(reports: list[Report]) -> tuple[tuple[str, Mapping[str, str]], ...]:
    left_out = any(u.reason == "implausible-time" for r in reports for u in r.unread)
    return (("implausible-time", {}),) if left_out else ()


def only(specimen: Specimen, keep: frozenset[int]) -> Specimen:
    """The specimen with those of its observations whose ordinal is in ``keep``, orders left without any removed."""
    orders, ordinal = [], 0
    for order in specimen.orders:
        kept = tuple(o for i, o in enumerate(order.observations, start=ordinal) if i in keep)
        ordinal += len(order.observations)
        if kept:
            orders.append(replace(order, observations=kept))
    return replace(specimen, orders=tuple(orders))
