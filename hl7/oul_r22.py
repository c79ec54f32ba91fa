"""OUL^R22^OUL_R22, HL7 2.5.1, in the form of IHE LAW (LAB-29): one specimen, its container and its results."""

from hl7.segments import coded, inv, msh, notes, nte, pid, results, sac, spm, tq1
from hl7.text import NULL, escape, message
from hl7.values import Message, Note, Order, SpecimenValues


def build(values: Message) -> str:
    """The message as text, every segment ended by CR. Order of segments: HL7 2.5.1 chapter 13, OUL_R22."""
    lines = [msh(values.header, "OUL^R22^OUL_R22", "LAB-29^IHE"), *_about(values.notes)]
    if values.patient is not None:
        lines += [pid(values.patient), *notes(values.patient.notes)]
    lines += _container(values.specimen)
    for order in values.orders:
        lines += _order(order)
    return message(lines)


def _about(values: tuple[Note, ...]) -> list[str]:
    """The structure has room for one NTE after MSH: several notes become repetitions of NTE-3."""
    texts = tuple(text for note in values for text in note.texts)
    return [nte(Note(texts, values[0].source), 1)] if texts else []


def _container(specimen: SpecimenValues) -> list[str]:
    lines = [spm(specimen), sac(specimen)]
    if specimen.inventory is not None:
        lines.append(inv(specimen.inventory))
    return lines


def _order(order: Order) -> list[str]:
    """OBR stands before ORC here, unlike in ORU. OBR-2 is the LAW null where no work order step is known."""
    return [
        f"OBR||{escape(order.placer) or NULL}||{coded(order.service)}",
        "ORC|SC||||CM",
        *notes(order.notes),
        *tq1(order),
        *results(order, law=True),
    ]
