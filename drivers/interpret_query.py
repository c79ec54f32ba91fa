"""Q records: what the analyser asks for."""

from drivers.canonical import Query
from drivers.interpret_context import Reader
from drivers.interpret_result import is_code, normalise
from drivers.protocols.lis02 import Record


def query_of(reader: Reader, record: Record) -> Query:
    """A host query (LIS02-A2 11): specimen ids from the places the profile names, patient ids from component 1."""
    return Query(
        specimen_ids=_specimens(reader, record),
        patient_ids=_each(record, 3, 1),
        codes=codes_of(reader, record, 5),
        status=record.get(13),
        records=(record.index,),
    )


def codes_of(reader: Reader, record: Record, field: int) -> tuple[str, ...]:
    """The test codes of a repeated universal test id, read as the profile reads a result's code."""
    table = reader.profile.result
    places = [path.component for path in table.code if path.record == "R" and path.field == 3]
    found: list[str] = []
    for n in range(1, len(record.repeats(field)) + 1):
        texts = (reader.clean(record.get(field, place, n)) for place in places)
        code = normalise(next((text for text in texts if is_code(text, table)), ""), table.normalise)
        if code or record.get(field, None, n) == "ALL":
            found.append(code or "ALL")
    return tuple(found)


def _specimens(reader: Reader, record: Record) -> tuple[str, ...]:
    for path in reader.profile.query.forms:
        found = _each(record, path.field, path.component) if path.record == record.type else ()
        if found:
            return found
    return ()


def _each(record: Record, field: int, component: int | None) -> tuple[str, ...]:
    count = len(record.repeats(field))
    texts = (record.get(field, component, n).strip() for n in range(1, count + 1))
    return tuple(text for text in texts if text)
