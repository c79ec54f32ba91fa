"""The verdict on one HL7 message the edge agent wants to publish: reasons to refuse it, none when it is accepted.

``judge`` never raises, whatever the bytes. It knows the message alone; ``route`` adds the topic it goes out on
(result, qc, validation), ``timeless`` allows results without a time where the analyser sent none.
"""

from judge import rules, tables
from judge.reader import Finding, Reading, Segment, read
from judge.results import notes, observation, sets_of_results
from judge.structure import Order, check, orders


def judge(payload: bytes, *, route: str = "", timeless: bool = False) -> list[Finding]:
    """Findings in the order they were met; an empty list accepts the message."""
    reading = read(payload)
    headers = reading.named("MSH")
    if not headers or reading.segments[0] is not headers[0]:
        return reading.findings or [Finding("msh-first", "message", "no MSH")]
    structure = _message_type(reading, headers[0])
    rules.header(reading, headers[0])
    if structure:
        check(reading, structure)
        _content(reading, structure, timeless=timeless)
        _roles(reading, headers[0], route)
    return reading.findings


def _message_type(reading: Reading, msh: Segment) -> str:
    structure = rules.TYPES.get(msh.raw(9), "")
    if not structure:
        reading.refuse("message-type", msh.at(9), "neither OUL^R22^OUL_R22 nor ORU^R01^ORU_R01")
    return structure


def _content(reading: Reading, structure: str, *, timeless: bool) -> None:
    for pid in reading.named("PID"):
        rules.patient(reading, pid)
    _specimens(reading)
    found = orders(reading)
    rules.set_ids(reading, [item.obr for item in found], required=False)
    for item in found:
        _order(reading, item, structure, timeless=timeless)
    for tq1 in reading.named("TQ1"):
        rules.timing(reading, tq1)
    notes(reading)


def _order(reading: Reading, item: Order, structure: str, *, timeless: bool) -> None:
    rules.order(reading, item, structure)
    sets_of_results(reading, item.results)
    for result in item.results:
        observation(reading, result, timeless=timeless)


def _specimens(reading: Reading) -> None:
    """One specimen per message (design section 5); in ORU each order repeats the same one."""
    found = reading.named("SPM")
    for spm in found:
        rules.specimen(reading, spm)
    if len({spm.raw(2) for spm in found}) > 1:
        reading.refuse("one-specimen", found[-1].at(2), "two specimens in one message")
    for sac in reading.named("SAC"):
        rules.container(reading, sac, found[0] if found else None)
    for inv in reading.named("INV"):
        rules.substance(reading, inv, found[0].component(11, 1) if found else "")


def _roles(reading: Reading, msh: Segment, route: str) -> None:
    """A control has no patient; a control never goes to result, a patient never to qc (design invariant 9)."""
    found = {spm.component(11, 1) for spm in reading.named("SPM")}
    if len(found) > 1:
        reading.refuse("specimen-role", "message", "several roles")
    if found & tables.CONTROL_ROLES and reading.named("PID"):
        reading.refuse("patient-of-control", reading.named("PID")[0].at(), "a control specimen has no patient")
    wrong = {"result": tables.CONTROL_ROLES, "qc": tables.PATIENT_ROLES}.get(route, frozenset())
    if found & wrong:
        reading.refuse("route", "SPM-11", f"this role may not go to {route}")
    if route and (msh.raw(11) == "T") != (route == "validation"):
        reading.refuse("route", msh.at(11), "T belongs to the validation topic, P to the others")
