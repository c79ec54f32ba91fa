"""ORU^R01^ORU_R01, HL7 2.5.1, for systems that know no OUL^R22. Its results are written as in LAW.

It has no place for a container or a control's lot, and none for notes on the message: the caller puts those on the
first order.
"""

from hl7.segments import coded, msh, notes, pid, results, spm, tq1
from hl7.text import NULL, escape, message, segment
from hl7.values import Message, Order, SpecimenValues


def build(values: Message) -> str:
    """The message as text, every segment ended by CR. Order of segments: HL7 2.5.1 chapter 7, ORU_R01."""
    lines = [msh(values.header, "ORU^R01^ORU_R01")]
    if values.patient is not None:
        lines += [pid(values.patient), *notes(values.patient.notes)]
    for number, order in enumerate(values.orders, start=1):
        above = values.notes if number == 1 else ()
        lines += ["ORC|RE||||CM", _obr(order, number, values.specimen), *notes((*above, *order.notes)), *tq1(order)]
        lines += [*results(order, law=False), spm(values.specimen)]
    return message(lines)


def _obr(order: Order, number: int, specimen: SpecimenValues) -> str:
    """OBR-7 is the specimen's time; OBR-25 is required in a report (HL7 2.5.1 §7.4.1)."""
    placer = escape(order.placer) or NULL
    fields = [str(number), placer, "", coded(order.service), "", "", specimen.collected, *[""] * 17, _status(order)]
    return segment("OBR", fields)


def _status(order: Order) -> str:
    """HL7 table 0123 from the results' 0085: what all of them are, else A, some results available."""
    statuses = {o.status for o in order.observations}
    if len(statuses) == 1 and not statuses - {"F", "C", "P", "X", "I", "R"}:
        return statuses.pop()
    return "A"
