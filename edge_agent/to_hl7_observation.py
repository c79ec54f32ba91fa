"""One observation of a canonical report as an OBX with its notes: the coding policy of design §5.

Notes of the analyser carry its own source; what this gateway adds (a text it had to code otherwise, a letter without
counterpart, a time it could not use) comes after them with source O.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from drivers.canonical import Comment, Graphic, Kind, Observation, Sender
from drivers.coding import Coded as Test
from drivers.coding import Coding
from edge_agent.to_hl7_status import result_status, status_note
from edge_agent.to_hl7_time import Moment, moment
from edge_agent.to_hl7_value import Typed, flag, typed_value, unit
from hl7 import values
from hl7.errors import Hl7Error
from hl7.tables import NATURES
from hl7.text import NULL

GATEWAY = "O"  # NTE-2, HL7 table 0105: other
_SOURCES = {"P": "P", "L": "L", "I": "L", "": "L"}  # LIS02-A2 C.3 -> 0105; the laboratory's side is L
_PENDING = "I"
_NO_VALUE = Typed("", ())
_SUPPLEMENTAL = {
    Kind.INTERPRETATION: ("S_OTHER", "Other Supplemental"),
    Kind.OTHER: ("S_OTHER", "Other Supplemental"),
    Kind.RAW: ("S_RAW", "Raw Supplemental"),
    Kind.GRAPHIC: ("S_GRAPH", "Graph Supplemental"),
}
_IMAGE = ("S_IMAGE", "Image Supplemental")


class HeldError(Hl7Error):
    """Something that is held was about to be sent."""


@dataclass(frozen=True, slots=True)
class Context:
    """What is the same for all results of one message."""

    coding: Coding
    sender: Sender
    timezone: ZoneInfo
    specimen_type: str
    analyser: str  # the site's id of it


def observation(o: Observation, report_type: str, context: Context) -> values.Observation:
    """``report_type`` is O.26 of the order. Raises HeldError for what must not be sent."""
    test = _test(o, context)
    typed = _typed(o, test, context.coding)
    status = _status(o, typed, report_type, context.coding)
    analysed = moment(o.completed, context.timezone)
    return values.Observation(
        code=_identifier(o, test, context.coding.system),
        status=status,
        type=typed.type,
        value=typed.components,
        run=o.run,
        unit=values.NOTHING if typed.type == "ED" else unit(o.unit, test.ucum, context.coding.system),
        range=o.range,
        flags=tuple([flag(f, context.coding.system) for f in o.flags if f not in ("", NULL)]),
        nature=_nature(o.nature),
        observers=o.operators,
        devices=_devices(o, context),
        analysed=analysed.text,
        notes=(*comments(o.comments), *own_notes(_remarks(o, typed, status, analysed))),
    )


def comments(sent: Iterable[Comment]) -> tuple[values.Note, ...]:
    """NTEs of an analyser's comments; one without text says nothing. What is no source of LIS02's keeps its text."""
    return tuple(note for c in sent if c.text for note in _comment(c))


def _comment(sent: Comment) -> Iterator[values.Note]:
    yield values.Note((sent.text,), _SOURCES.get(sent.source, GATEWAY))
    if sent.source not in _SOURCES:
        yield values.Note((f"comment source as sent: {sent.source}",), GATEWAY)


def own_notes(texts: Iterable[str]) -> tuple[values.Note, ...]:
    return tuple(values.Note((text,), GATEWAY) for text in texts)


def local(code: str, text: str, code_system: str) -> values.Coded:
    return values.Coded(code, text, code_system)


def _test(o: Observation, context: Context) -> Test:
    if o.holds:
        raise HeldError("An observation that is held was given for a message.")
    test = context.coding.test(o.code, specimen_type=context.specimen_type, unit=o.unit, component=o.component)
    if test.unit_contradicts and o.kind is Kind.RESULT:
        raise HeldError("An observation in a unit that contradicts its test was given for a message.")
    return test


def _typed(o: Observation, test: Test, coding: Coding) -> Typed:
    if o.no_result:
        return _NO_VALUE
    if o.graphic is not None:
        return Typed("ED", _encapsulated(o.graphic))
    return typed_value(o.value, test, coding.system, coding.decimal) if o.value else _NO_VALUE


def _encapsulated(graphic: Graphic) -> tuple[str, ...]:
    """ED: no source application, type, subtype, encoding, data. Line breaks are no part of Base64's data (RFC 4648)."""
    data = "".join(graphic.data.split()) if graphic.encoding == "Base64" else graphic.data
    return "", graphic.media_type, graphic.subtype, graphic.encoding, data


def _status(o: Observation, typed: Typed, report_type: str, coding: Coding) -> str:
    """Nothing without a value can be final: it is X, cannot be had, unless the analyser says it is still due (I)."""
    status = result_status(o.status, report_type, coding.status_default)
    return status if typed.type or status == _PENDING else "X"


def _identifier(o: Observation, test: Test, code_system: str) -> values.Coded:
    """OBX-3: the analyser's own code first. Then LOINC, or for what belongs to a result its class in LAW.

    A component tells results of one test apart (copies and their logarithm): it is said in the text, for the code stays
    as sent. LOINC tells them apart for machines where the profile has a row for each.
    """
    name = " ".join([part for part in dict.fromkeys((test.name or o.name, o.component)) if part])
    if o.kind is Kind.RESULT:
        standard = (test.loinc, test.loinc_name, "LN") if test.loinc else ("", "", "")
        return values.Coded(o.code, name, code_system, *standard)
    picture = o.graphic is not None and o.graphic.media_type == "IM" and o.kind is Kind.GRAPHIC
    supplemental = _IMAGE if picture else _SUPPLEMENTAL[o.kind]
    return values.Coded(o.code, name, code_system, *supplemental, "IHELAW")


def _nature(sent: str) -> tuple[str, ...]:
    return tuple(sent) if NATURES.issuperset(sent) else ()


def _devices(o: Observation, context: Context) -> tuple[values.Device, ...]:
    """OBX-18: model, serial number, and the module that measured (R.14) where it is neither."""
    maker, sender = context.coding.manufacturer, context.sender
    model = context.coding.model or sender.name or context.analyser
    module = "" if o.instrument in (model, sender.name, sender.serial) else o.instrument
    return tuple([values.Device(id_, maker) for id_ in (model, sender.serial, module) if id_])


def _remarks(o: Observation, typed: Typed, status: str, analysed: Moment) -> Iterator[str]:
    """What would be lost otherwise."""
    if not typed.type:
        yield _absence(o)
    if typed.source or (o.no_result and o.value):
        yield f"value as sent: {o.value}"
    if note := status_note(o.status, status):
        yield note
    if not analysed.complete:
        yield f"result time as sent: {o.completed}"
    if o.started not in ("", NULL) and not o.completed:
        yield f"test started as sent: {o.started}"
    if o.dilution:
        yield f"dilution as sent: {o.dilution}"


def _absence(o: Observation) -> str:
    """Why OBX-5 is empty. A message of the analyser (an abnormal flag, a judgement) need not have a value at all."""
    if o.no_result:
        return f"no result: {o.no_result}"
    return "message without a value" if o.kind is Kind.INTERPRETATION else "no result: no value was sent"
