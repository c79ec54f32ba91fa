"""OUL^R22 by lists and joins: every field a list of leaves, every leaf escaped, everything joined. No cleverness."""

from hl7.values import Coded, Message, Observation, Order

_ESCAPES = str.maketrans({"|": "\\F\\", "^": "\\S\\", "~": "\\R\\", "\\": "\\E\\", "&": "\\T\\", "\r": "\\X0D\\"})


def build(message: Message) -> str:
    lines = [_line("MSH", _msh(message))]
    patient = message.patient
    if patient is not None:
        fields = [[""], [""], [patient.id], [""], [*patient.name], [""], [patient.birth_date], [patient.sex]]
        lines.append(_line("PID", fields))
    specimen = message.specimen
    lines.append(_line("SPM", [["1"], [specimen.id], [""], ['""'], *[[""]] * 6, _coded(specimen.role)]))
    lines.append(_line("SAC", [[""], [""], [specimen.id]]))
    for order in message.orders:
        lines += _order(order)
    return "".join([line + "\r" for line in lines])


def _msh(message: Message) -> list[list[str]]:
    h = message.header
    names = [[h.sending_application], [h.sending_facility], [h.receiving_application], [h.receiving_facility]]
    middle = [[h.time], [""], ["OUL", "R22", "OUL_R22"], [h.control_id], [h.processing_id], ["2.5.1"], [""], [""]]
    return [*names, *middle, ["NE"], ["AL"], [""], ["UNICODE UTF-8"], [""], [""], ["LAB-29", "IHE"]]


def _order(order: Order) -> list[str]:
    head = [_line("OBR", [[""], ['""'], [""], _coded(order.service)]), _line("ORC", [["SC"], [""], [""], [""], ["CM"]])]
    return head + [_line("OBX", _obx(n, o)) for n, o in enumerate(order.observations, start=1)]


def _obx(number: int, o: Observation) -> list[list[str]]:
    first = [[str(number)], [o.type], _coded(o.code), [o.run], [*o.value], _coded(o.unit), [o.range]]
    middle = [_coded(o.flags[0]), [""], [""], [o.status], [""], [""], [""], [""], [o.observers[0]], [""]]
    return [*first, *middle, [o.devices[0].id, o.devices[0].maker], [o.analysed], *[[""]] * 9, ["RSLT"]]


def _coded(value: Coded) -> list[str]:
    return [
        value.code,
        value.text,
        value.system,
        value.alternate_code,
        value.alternate_text,
        value.alternate_system,
    ]


def _line(name: str, fields: list[list[str]]) -> str:
    written = ["^".join([leaf.translate(_ESCAPES) for leaf in field]).rstrip("^") for field in fields]
    start = "MSH|^~\\&|" if name == "MSH" else name + "|"
    return (start + "|".join(written)).rstrip("|")
