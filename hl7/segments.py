"""The segments that the result messages share, each a finished line without its CR.

Fields that LAW does not use are left empty (IHE LAB-29). OBX is the same in both messages: LAW's, with OBX-8 as CWE
and OBX-29 from later versions of HL7, so that a receiver reads one kind of result.
"""

from hl7.text import NULL, composite, escape, segment
from hl7.values import (
    NOTHING,
    Coded,
    Device,
    Header,
    Inventory,
    Note,
    Observation,
    Order,
    PatientValues,
    SpecimenValues,
)

UNKNOWN_NAME = "^^^^^^U"  # XPN-7, HL7 table 0200: unspecified


def coded(value: Coded) -> str:
    """CE or CWE with its alternate, empty components at the end left out."""
    if value is NOTHING:
        return ""
    first = f"{escape(value.code)}^{escape(value.text)}^{escape(value.system)}"
    if value.alternate_code or value.alternate_text:
        alternate = f"{escape(value.alternate_code)}^{escape(value.alternate_text)}^{escape(value.alternate_system)}"
        return f"{first}^{alternate}".rstrip("^")
    return first.rstrip("^")


def msh(header: Header, message_type: str, profile: str = "") -> str:
    """``message_type`` is MSH-9 and ``profile`` MSH-21, both finished. LAW asks for MSH-15 NE and MSH-16 AL."""
    fields = (
        "^~\\&",
        escape(header.sending_application),
        escape(header.sending_facility),
        escape(header.receiving_application),
        escape(header.receiving_facility),
        header.time,
        "",
        message_type,
        escape(header.control_id),
        header.processing_id,
        "2.5.1",
        "",
        "",
        "NE",
        "AL",
        "",
        "UNICODE UTF-8",
        "",
        "",
        profile,
    )
    return segment("MSH", fields)


def nte(note: Note, number: int) -> str:
    texts = "~".join([escape(text) for text in note.texts])
    return f"NTE|{number}|{note.source}|{texts}"


def notes(values: tuple[Note, ...]) -> list[str]:
    return [nte(note, number) for number, note in enumerate(values, start=1)]


def pid(patient: PatientValues) -> str:
    """PID-3 and PID-5 are required in 2.5.1; what the analyser did not say is the null and the name type U."""
    fields = (
        "",
        "",
        escape(patient.id) or NULL,
        "",
        composite(patient.name) or UNKNOWN_NAME,
        "",
        patient.birth_date,
        patient.sex,
    )
    return segment("PID", fields)


def spm(specimen: SpecimenValues) -> str:
    """SPM-4 is required in 2.5.1; LAW writes the null where the type is unknown."""
    kind = coded(specimen.type) or NULL
    line = f"SPM|1|{escape(specimen.id)}||{kind}|||||||{coded(specimen.role)}||||||{specimen.collected}"
    return line.rstrip("|")


def sac(specimen: SpecimenValues) -> str:
    line = f"SAC|||{escape(specimen.id)}|||||||{escape(specimen.carrier)}|{escape(specimen.position)}"
    return f"{line}||||{coded(specimen.location)}".rstrip("|")


def inv(inventory: Inventory) -> str:
    """INV-2 is required; the analyser used the material, so its status is OK (HL7 table 0383)."""
    line = f"INV|{coded(inventory.id)}|OK^^HL70383|{coded(inventory.type)}|||||||||{inventory.expiry}"
    return f"{line}||||{escape(inventory.lot)}".rstrip("|")


def tq1(order: Order) -> list[str]:
    priority = coded(order.priority)
    return [f"TQ1|||||||||{priority}"] if priority else []


def devices(values: tuple[Device, ...]) -> str:
    return "~".join([f"{escape(device.id)}^{escape(device.maker)}".rstrip("^") for device in values])


def obx(o: Observation, number: int, *, law: bool) -> str:
    """One result. OBX-14 stays empty: it is the specimen's time, OBX-19 the analysis'. ``law`` leaves out OBX-10."""
    unit = coded(o.unit)
    flags = "~".join([coded(flag) for flag in o.flags])
    observers = "~".join([escape(observer) for observer in o.observers]).rstrip("~")
    nature = "" if law else "~".join(o.nature)
    return (
        f"OBX|{number}|{o.type}|{coded(o.code)}|{escape(o.run)}|{composite(o.value)}|{unit}|{escape(o.range)}|{flags}||"
        f"{nature}|{o.status}|||||{observers}||{devices(o.devices)}|{o.analysed}"
        "||||||||||RSLT"
    )


def results(order: Order, *, law: bool) -> list[str]:
    """OBX and NTE of one order; the set id restarts with every OBR."""
    lines: list[str] = []
    for number, observation in enumerate(order.observations, start=1):
        lines.append(obx(observation, number, law=law))
        if observation.notes:
            lines += notes(observation.notes)
    return lines
