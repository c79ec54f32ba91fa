"""One record -> one observation: code, value, unit, range, flags, status, times. Texts only, nothing is computed."""

from dataclasses import replace

from drivers.canonical import Comment, Graphic, Hold, Kind, Observation
from drivers.interpret_context import Chain, Notes, Reader, ResultDraft
from drivers.profile_result import Result, Select
from drivers.profile_times import compact
from drivers.protocols.lis02 import Record

_DELETE = '""'
_KINDS = {
    "result": Kind.RESULT,
    "raw": Kind.RAW,
    "other": Kind.OTHER,
    "interpretation": Kind.INTERPRETATION,
    "graphic": Kind.GRAPHIC,
}


def drafts(reader: Reader, record: Record, chain: Chain, sort: str, notes: Notes) -> list[ResultDraft]:
    """The observations one record gives: one, two where a value text holds two, one per curve for a graphic."""
    if sort == "graphic" and reader.profile.graphics.path:
        return _graphics(reader, record, chain, notes)
    return [_draft(record, seen) for seen in _observations(reader, record, chain, _KINDS[sort], notes)]


def choose(reader: Reader, record: Record, chain: Chain) -> Select | None:
    """The first selection rule for the record whose questions are all answered yes."""
    for rule in reader.profile.select:
        if rule.record == record.type and all(p.holds_for(chain.get(p.path.record), reader.clean) for p in rule.when):
            return rule
    return None


def code_of(reader: Reader, chain: Chain) -> str:
    table = reader.profile.result
    texts = (reader.text(path, chain) for path in table.code)
    return normalise(next((text for text in texts if is_code(text, table)), ""), table.normalise)


def is_code(text: str, table: Result) -> bool:
    """Whether a text can be a test code: ``""`` says "delete" (LIS02-A2 5.4.9) and names nothing."""
    return text not in ("", _DELETE) and text not in table.no_code


def normalise(code: str, steps: tuple[str, ...]) -> str:
    """Apply the profile's steps, in order."""
    for step in steps:
        name, _, argument = step.partition(":")
        if name == "blanks":
            code = code.strip()
        elif name == "upper":
            code = code.upper()
        elif name == "suffix":
            code = code.removesuffix(argument)
        elif name == "before":
            code = code.partition(argument)[0]
    return code


def flags_of(reader: Reader, chain: Chain) -> tuple[str, ...]:
    table = reader.profile.result.flags
    for path in table.path:
        record = chain.get(path.record)
        if record is None or not record.field(path.field):
            continue
        found = [reader.clean(text) for text in _parts(reader, record, path.field, table.split, chain)]
        found = [table.map.get(text, text) for text in found if text]
        if found:
            return tuple(found)
    return ()


def _parts(reader: Reader, record: Record, field: int, split: str, chain: Chain) -> list[str]:
    if split == "repeat":
        return [record.get(field, None, n) for n in range(1, len(record.repeats(field)) + 1)]
    text = record.get(field)
    return list(text) if split == "chars" else text.split(split)


def _observations(reader: Reader, record: Record, chain: Chain, kind: Kind, notes: Notes) -> list[Observation]:
    table = reader.profile.result
    value, unit, second = _split(table, reader.first(table.value, chain), reader.first(table.unit, chain))
    status = reader.first(table.status.path, chain)
    main = Observation(
        code=code_of(reader, chain),
        full_code=record.get(3),
        name=reader.first(table.name, chain),
        component=reader.first(table.component, chain),
        value=value,
        unit=unit,
        range=reader.first(table.range, chain),
        flags=flags_of(reader, chain),
        nature=record.get(8) if record.type == "R" else "",
        status=table.status.map.get(status, status) or table.status.default,
        run=reader.first(table.run, chain),
        dilution=reader.first(table.dilution, chain),
        operators=reader.every(table.operator, chain),
        started=reader.clean(record.get(12)) if record.type == "R" else "",
        completed=_completed(reader, record, chain, notes),
        instrument=reader.clean(record.get(14)) if record.type == "R" else "",
        kind=kind,
        no_result=_no_result(reader, chain, value),
        holds=_misplaced(table, kind, value, status),
        resend=_resend(reader, chain, status),
        records=(record.index,),
    )
    if second is None:
        return [main]
    other = Kind.OTHER if kind is Kind.RESULT else kind
    return [main, replace(main, value=second[0], unit=second[1], kind=other, range="", no_result="")]


def _split(table: Result, value: str, unit: str) -> tuple[str, str, tuple[str, str] | None]:
    """Value, unit and, where the text holds two, the second value and its unit."""
    for pattern in table.value_split:
        found = pattern.groups(value)
        if found is not None:
            second = found.get("second", "")
            return (
                found["value"],
                found.get("unit", "") or unit,
                (second, found.get("second_unit", "")) if second else None,
            )
    return value, unit, None


def _no_result(reader: Reader, chain: Chain, value: str) -> str:
    table = reader.profile.result.no_result
    return (reader.first(table.reason, chain) or value) if value in table.texts else ""


def _misplaced(table: Result, kind: Kind, value: str, status: str) -> tuple[Hold, ...]:
    """No value, and a status that is no letter: the device may put the value where the status belongs."""
    odd = table.doubt == "hold" and kind is Kind.RESULT and not value and len(status) > 1
    return (Hold("value-place-unclear"),) if odd else ()


def _resend(reader: Reader, chain: Chain, status: str) -> bool:
    # LIS02-A2 9: R = previously transmitted
    marker = reader.profile.result.resend_marker
    return status == "R" or (marker is not None and marker.holds_for(chain.get(marker.path.record), reader.clean))


def _completed(reader: Reader, record: Record, chain: Chain, notes: Notes) -> str:
    table = reader.profile.result
    text = reader.first(table.time, chain)
    if any(pattern.matches(text) for pattern in table.implausible):
        notes.add(record, str(table.time[0]), "implausible-time")
        return ""
    return compact(text, table.time_formats)


def _draft(record: Record, seen: Observation, remark: str = "") -> ResultDraft:
    return ResultDraft(seen, comments=[Comment(remark, "I")] if remark else [], records=[record.index])


def _graphics(reader: Reader, record: Record, chain: Chain, notes: Notes) -> list[ResultDraft]:
    table = reader.profile.graphics
    code = normalise(reader.first(table.code, chain), reader.profile.result.normalise)
    found: list[ResultDraft] = []
    for at, path in enumerate(table.path):
        data = reader.text(path, chain)
        if data and len(data) > table.max_bytes:
            notes.add(record, str(path), "graphic too large")
        elif data:
            graphic = Graphic(table.media_type, table.subtype, table.encoding, data)
            seen = Observation(
                code=code,
                full_code=f"{code}@{path}",
                component="".join(table.part[at : at + 1]),
                kind=Kind.GRAPHIC,
                graphic=graphic,
                records=(record.index,),
            )
            found.append(_draft(record, seen, reader.first(table.form[at : at + 1], chain)))
    return found
