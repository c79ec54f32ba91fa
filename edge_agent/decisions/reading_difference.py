"""One stored transmission read with two profiles: what becomes of each observation under either.

Pure, and nothing is applied. Observations are paired by the record they came from, so that one whose specimen, code or
value is read otherwise is shown as changed, and not as one gone and another come. Not promised: that a decision of the
store (a repeat, a message refused by HL7) would be the same; ``adoption`` asks the store for what was sent before.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from enum import Enum
from typing import Any

from drivers.canonical import Comment, Control, Graphic, Hold, Observation, Order, Patient, Specimen
from drivers.coding import Coded, Coding
from drivers.errors import DriverError
from edge_agent.converter import Reader
from edge_agent.pipeline import Plan, PlannedObservation, PlannedSpecimen, plan
from edge_agent.store.rows import ObservationKey, Transmission
from edge_agent.to_hl7_status import result_status

Anchor = tuple[int, int, int]  # message, source record in it, which of the observations of that record

_WORDS = {
    "id": "specimen id",
    "code": "test code",
    "full_code": "full test id",
    "status": "status as sent",
    "completed": "result time",
    "started": "test started",
    "resend": "marked as sent before",
    "no_result": "reason for no value",
    "type": "specimen type",
    "stat": "urgent",
    "codes": "ordered tests",
    "report_type": "report type",
}
_NOT_SHOWN = frozenset({"orders", "observations", "holds", "records"})
_NEVER_SENT = "unread"
UNREADABLE = "the driver fails"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one profile makes of one observation. ``key`` is None for a specimen that is held without any."""

    specimen: str
    code: str
    facts: Mapping[str, str]
    key: ObservationKey | None
    free: bool  # nothing holds it


@dataclass(frozen=True, slots=True)
class Pair:
    """One observation under the old and the new profile; None where that profile does not read one there."""

    old: Outcome | None
    new: Outcome | None

    def changes(self) -> tuple[tuple[str, str, str], ...]:
        """(what, old, new) of everything that differs, in a person's words; old and new as texts, "" for none."""
        if self.old is None or self.new is None:
            return (("outcome", _outcome(self.old), _outcome(self.new)),)
        names = dict.fromkeys((*self.old.facts, *self.new.facts))
        found = ((name, self.old.facts.get(name, ""), self.new.facts.get(name, "")) for name in names)
        return tuple(change for change in found if change[1] != change[2])


def _outcome(outcome: Outcome | None) -> str:
    return _NEVER_SENT if outcome is None else outcome.facts["outcome"]


@dataclass(frozen=True, slots=True)
class Reading:
    """A transmission under one profile. ``unknown`` are codes of tests its table does not know."""

    outcomes: Mapping[Anchor, Outcome]
    whole: str  # what holds the transmission as a whole, or ""
    unknown: tuple[str, ...] = ()


def read(transmission: Transmission, reader: Reader) -> Reading:
    """Never raises for what an analyser sent, nor for a defect of a driver that it knows."""
    policy = reader.policy.received_in(transmission.source.mode)
    try:
        planned = plan(transmission, reader.device, policy)
    except DriverError:
        return Reading({}, UNREADABLE)
    unknown = tuple(params["test"] for code, params in planned.alarms if code == "unknown-test")
    whole = ", ".join(dict.fromkeys(_held(hold) for hold in planned.holds))
    return Reading(dict(_outcomes(planned, reader.device.coding())), whole, unknown)


def pairs(old: Reading, new: Reading) -> tuple[Pair, ...]:
    anchors = sorted({*old.outcomes, *new.outcomes})
    return tuple(Pair(old.outcomes.get(anchor), new.outcomes.get(anchor)) for anchor in anchors)


def _outcomes(planned: Plan, coding: Coding) -> Iterator[tuple[Anchor, Outcome]]:
    messages: dict[int, int] = {}
    seen: Counter[tuple[int, int]] = Counter()
    for specimen in planned.specimens:
        message = messages.setdefault(id(specimen.report), len(messages))
        for record, outcome in _of_specimen(specimen, coding):
            yield (message, record, seen[message, record]), outcome
            seen[message, record] += 1


def _of_specimen(specimen: PlannedSpecimen, coding: Coding) -> Iterator[tuple[int, Outcome]]:
    about = specimen.specimen
    shared = {**_facts(about), **_facts(about.patient, "patient "), **_facts(about.control, "control ")}
    shared["specimen comments"] = shared.pop("comments")
    if not specimen.observations:
        first = next((order.records[0] for order in about.orders if order.records), 0)
        assert specimen.hold is not None
        yield first, Outcome(about.id, "", {"outcome": _held(specimen.hold), **shared}, None, False)
        return
    orders = [order for order in about.orders for _ in order.observations]
    for order, planned in zip(orders, specimen.observations, strict=True):
        hold = specimen.hold or planned.hold
        facts = {
            "outcome": f"sent to {specimen.route}" if hold is None else _held(hold),
            **shared,
            **_facts(order, "order's "),
            **_observation(planned, order, about, coding),
        }
        code = planned.observation.code
        yield next(iter(planned.observation.records), 0), Outcome(about.id, code, facts, planned.key, hold is None)


def _observation(planned: PlannedObservation, order: Order, specimen: Specimen, coding: Coding) -> dict[str, str]:
    o = planned.observation
    coded = coding.test(o.code, specimen_type=specimen.type, unit=o.unit, component=o.component)
    return {
        **_facts(o),
        "status": result_status(o.status, order.report_type, coding.status_default),
        **_coding(coded, o),
    }


def _coding(coded: Coded, o: Observation) -> dict[str, str]:
    """What the code table adds to this one."""
    return {
        "LOINC": coded.loinc,
        "LOINC name": coded.loinc_name,
        "name": coded.name or o.name,
        "UCUM unit": coded.ucum,
        "kind of value": coded.kind,
        "code of the value": coded.values.get(o.value, ""),
    }


def _facts(thing: Specimen | Patient | Control | Order | Observation, before: str = "") -> dict[str, str]:
    """Every field that is a text or a list of them, under a person's words for it."""
    parts = (field.name for field in fields(thing) if field.name not in _NOT_SHOWN)
    named = ((name, getattr(thing, name)) for name in parts)
    return {
        before + (name if before else _WORDS.get(name, name)).replace("_", " "): _shown(value)
        for name, value in named
        if not isinstance(value, (Patient, Control))
    }


def _shown(value: Any) -> str:
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, tuple):
        return ", ".join(map(_shown, value))
    if isinstance(value, Comment):
        return value.text
    if isinstance(value, Graphic):
        digest = hashlib.sha256(value.data.encode()).hexdigest()[:8]
        return f"{value.media_type} {value.subtype}, {len(value.data)} characters, {digest}"
    return "yes" if value is True else "" if value in (None, False) else str(value)


def _held(hold: Hold) -> str:
    return f"held: {hold.code}" + (f" ({hold.detail})" if hold.detail else "")
