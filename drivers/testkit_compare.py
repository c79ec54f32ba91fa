"""A sample's ``expected.json`` against what the driver made of its bytes. Only the keys that are there are asserted."""

from collections.abc import Callable, Mapping
from typing import Any

from drivers.canonical import Hold, Kind, Observation, Report, Specimen
from drivers.coding import Coding
from drivers.protocols.lis02 import Message
from drivers.testkit_transfer import Transfer

Read = list[tuple[Message, Report]]

# Asserted by other layers' tests on the same samples: HL7 coding, and what an interruption keeps back.
_OTHERS_BUSINESS = frozenset({"source", "hl7_type", "hl7_value", "hl7_status", "interrupted"})


def compare(expected: Mapping[str, Any], read: Read, strays: list[Hold], link: Transfer, coding: Coding) -> list[str]:
    """One sentence for each difference."""
    specimens = [(s, r) for _, r in read for s in r.specimens]
    actual: dict[str, Callable[[], object]] = {
        "held": lambda: sorted(_held(read, strays)),
        "not_results": lambda: _not_results(read),
        "unread": lambda: [u.path for _, r in read for u in r.unread if len(u.path) == 1 and u.reason != "ignored"],
        "messages": lambda: len(read),
        "terminated": lambda: all(m.terminated for m, _ in read),
        "termination": lambda: read[-1][0].termination if read else "",
        "saved_records": lambda: read[-1][0].saved if read else 0,
    }
    wanted = dict(expected)
    wanted["held"] = sorted((h["code"], h.get("where", "message")) for h in expected.get("held", ()))
    wanted["unread"] = [u["type"] for u in expected["unread"]] if "unread" in expected else None
    found: list[str] = []
    for key, value in wanted.items():
        if key in actual and value is not None:
            found += _differs(key, value, actual[key]())
        elif key == "link":
            found += _differs("repeated frames", value.get("repeated_frames", 0), link.repeated)
        elif key == "specimens":
            found += _specimens(value, specimens, coding)
        elif key not in actual and key not in _OTHERS_BUSINESS:
            found.append(f'the kit does not know the key "{key}"')
    return found


def _held(read: Read, strays: list[Hold]) -> list[tuple[str, str]]:
    found = [(h.code, "message") for h in strays]
    number = 0
    for _, report in read:
        found += [(h.code, "message") for h in report.holds]
        for specimen in report.specimens:
            number += 1
            found += [(h.code, f"specimen {number}") for h in specimen.holds]
            for at, seen in enumerate(specimen.observations(), 1):
                found += [(h.code, f"specimen {number}, observation {at}") for h in seen.holds]
    return found


def _not_results(read: Read) -> int:
    """R records that did not become results."""
    sent = sum(1 for m, _ in read for r in m.records if r.type == "R")
    results = {
        (n, o.records[0])
        for n, (_, r) in enumerate(read)
        for s in r.specimens
        for o in s.observations()
        if o.kind is Kind.RESULT
    }
    return sent - len(results)


def _specimens(wanted: list[Mapping[str, Any]], made: list[tuple[Specimen, Report]], coding: Coding) -> list[str]:
    found = _differs("number of specimens", len(wanted), len(made))
    for n, (want, (specimen, report)) in enumerate(zip(wanted, made, strict=False), 1):
        found += [f"specimen {n}: {text}" for text in _specimen(want, specimen, report, coding)]
    return found


def _specimen(want: Mapping[str, Any], made: Specimen, report: Report, coding: Coding) -> list[str]:
    holds = [h.code for h in (*made.holds, *report.holds)]
    actual: dict[str, object] = {
        "id": made.id,
        "role": made.role.value,
        "patient_id": made.patient.id,
        "patient_name": made.patient.name,
        "type": made.type,
        "rack": made.rack,
        "position": made.position,
        "stat": made.stat,
        "hold": holds[0] if holds else "",
        "comments": [c.text for c in made.comments],
        "order_comments": [c.text for o in made.orders for c in o.comments],
        "report_type": made.orders[0].report_type if made.orders else "",
    }
    found: list[str] = []
    if holds and "hold" not in want:
        found.append(f"it is held: {', '.join(holds)}")
    for key, value in want.items():
        if key in actual:
            found += _differs(key, value, actual[key])
        elif key == "order_comments_include":
            found += [f"no order comment {text!r}" for text in value if text not in str(actual["order_comments"])]
        elif key == "control":
            for part, text in value.items():
                found += _differs(f"control {part}", text, getattr(made.control, part))
        elif key == "observations":
            found += _observations(value, made, coding)
        elif key == "others":
            found += _others(value, made)
        elif key not in _OTHERS_BUSINESS:
            found.append(f'the kit does not know the key "{key}"')
    return found


def _observations(wanted: list[Mapping[str, Any]], made: Specimen, coding: Coding) -> list[str]:
    kinds = {want.get("kind", "result") for want in wanted} or {"result"}
    seen = [o for o in made.observations() if o.kind.value in kinds]
    found = _differs("number of results", len(wanted), len(seen))
    for want, have in zip(wanted, seen, strict=False):
        found += [f"{have.code}: {text}" for text in _observation(want, have, made, coding)]
    return found


def _observation(want: Mapping[str, Any], have: Observation, specimen: Specimen, coding: Coding) -> list[str]:
    coded = coding.test(have.code, specimen_type=specimen.type, unit=have.unit, component=have.component)
    actual: dict[str, object] = {
        "flags": list(have.flags),
        "operator": have.operators[0] if have.operators else "",
        "kind": have.kind.value,
        "no_result": bool(have.no_result),
        "comments": [c.text for c in have.comments],
        "loinc": coded.loinc,
        "ucum": coded.ucum,
    }
    for name in ("code", "name", "value", "unit", "range", "status", "started", "completed", "component", "dilution"):
        actual[name] = getattr(have, name)
    found: list[str] = ["its unit contradicts the code row"] if coded.unit_contradicts else []
    for key, value in want.items():
        if key in actual:
            found += _differs(key, value, actual[key])
        elif key == "not_ucum":
            found += [f"UCUM is {value}, and must not be"] if coded.ucum == value else []
        elif key not in _OTHERS_BUSINESS:
            found.append(f'the kit does not know the key "{key}"')
    return found


def _others(wanted: list[Mapping[str, Any]], made: Specimen) -> list[str]:
    """What is no result, in order. ``kind`` lists the kinds it may have."""
    seen = [o for o in made.observations() if o.kind is not Kind.RESULT]
    found = _differs("number of other observations", len(wanted), len(seen))
    for want, have in zip(wanted, seen, strict=False):
        found += _differs("other code", want["code"], have.code)
        found += _differs(f"{have.code} value", want["value"], have.value)
        found += _differs(f"{have.code} flags", want["flags"], list(have.flags))
        if have.kind.value not in want["kind"]:
            found.append(f"{have.code} is {have.kind.value}")
    return found


def _differs(what: str, wanted: object, have: object) -> list[str]:
    return [] if wanted == have else [f"{what} is {have!r}, expected {wanted!r}"]
