"""Drafts -> specimens: comments settle, reasons are given, orders of one specimen come together."""

from dataclasses import replace

from drivers.canonical import Control, Hold, Kind, Observation, Order, Role, Specimen
from drivers.interpret_context import Chain, OrderDraft, Reader, ResultDraft
from drivers.interpret_query import codes_of
from drivers.interpret_specimen import control_of, identify, patient_of, role_of


def build(reader: Reader, chain: Chain, draft: OrderDraft) -> list[Specimen]:
    """The specimen of one order with that order in it; several where the profile gives the result to each id."""
    patient = patient_of(reader, chain)
    role, undecided = role_of(reader, chain, patient)
    identity = identify(reader, chain, patient)
    nameless = draft.record is None
    holds = _holds(draft, () if nameless else (*identity.holds, *undecided))
    order = _order(reader, chain, draft)
    table = reader.profile.specimen
    sent_type = reader.first(table.type.path, chain)
    return [
        Specimen(
            id="" if nameless else text,
            role=role,
            patient=patient,
            instrument_id=reader.first(table.instrument_id, chain),
            type=table.type.map.get(sent_type, sent_type) or table.type.default,
            rack=reader.first(table.rack, chain),
            position=reader.first(table.position, chain),
            control=Control() if role is Role.PATIENT else control_of(reader, chain, draft),
            comments=tuple(draft.patient.comments),
            orders=(order,),
            holds=holds,
            stat="S" in order.priority,
        )
        for text in identity.ids
    ]


def merged(specimens: list[Specimen]) -> tuple[Specimen, ...]:
    """Orders of the same patient, specimen and role become one specimen, in the order they came.

    What has no id is never merged: two unnamed specimens need not be one. A contradicting specimen type keeps two
    specimens apart as well.
    """
    found: dict[tuple[object, ...], Specimen] = {}
    for at, specimen in enumerate(specimens):
        name: object = specimen.id or at
        key = (name, specimen.role, specimen.patient, specimen.type)
        found[key] = specimen if key not in found else _joined(found[key], specimen)
    return tuple(found.values())


def doubtful(specimen: Specimen) -> Specimen:
    """Hold results that share a test code and are not the same test: a receiver files by the code alone.

    Different test ids (R.3) or units tell them apart here, and nothing does in HL7. Replicates agree in both.
    """
    ids: dict[str, set[str]] = {}
    units: dict[str, set[str]] = {}
    for seen in specimen.observations():
        if seen.kind is Kind.RESULT:
            ids.setdefault(seen.code, set()).add(seen.full_code)
            units.setdefault(seen.code, set()).update({seen.unit} - {""})
    unclear = frozenset(code for code in ids if len(ids[code]) > 1 or len(units[code]) > 1)
    if not unclear:
        return specimen
    orders = (
        replace(o, observations=tuple(_unclear(seen, unclear) for seen in o.observations)) for o in specimen.orders
    )
    return replace(specimen, orders=tuple(orders))


def _unclear(seen: Observation, codes: frozenset[str]) -> Observation:
    if seen.kind is not Kind.RESULT or seen.code not in codes:
        return seen
    return replace(seen, holds=(*seen.holds, Hold("test-code-unclear", seen.code)))


def _joined(first: Specimen, second: Specimen) -> Specimen:
    return replace(
        first,
        orders=first.orders + second.orders,
        holds=tuple(dict.fromkeys(first.holds + second.holds)),
        comments=tuple(dict.fromkeys(first.comments + second.comments)),
        stat=first.stat or second.stat,
        rack=first.rack or second.rack,
        position=first.position or second.position,
    )


def _holds(draft: OrderDraft, found: tuple[Hold, ...]) -> tuple[Hold, ...]:
    holds = [*draft.holds, *found]
    if draft.patient.undecodable:
        holds.append(Hold("undecodable", "the patient record"))
    return tuple(dict.fromkeys(holds))


def _order(reader: Reader, chain: Chain, draft: OrderDraft) -> Order:
    told = any(rule.sort == "no_result_reason" for rule in reader.profile.comment)
    settled = [_settled(result, told=told) for result in draft.results]
    results = _replicates(settled, reader.profile.result.replicate.rule)
    record = draft.record
    comments, records = tuple(draft.comments), tuple(draft.records)
    if record is None:
        return Order(comments=comments, observations=results, records=records)
    return Order(
        codes=codes_of(reader, record, 5),
        priority=reader.first(reader.profile.specimen.priority, chain),
        action=record.get(12),
        report_type=record.get(26),
        ordered=record.get(7),
        collected=record.get(8),
        received=record.get(15),
        comments=comments,
        observations=results,
        records=records,
    )


def _settled(draft: ResultDraft, *, told: bool) -> Observation:
    """``told``: the profile says which comments are reasons, so no other is taken for one."""
    seen = draft.observation
    if not draft.comments and not draft.flags and len(draft.records) == 1:
        return seen
    reason = draft.reason or seen.no_result
    if not reason and not told and not seen.value and seen.kind is Kind.RESULT and draft.comments:
        # an empty value whose comment says why (field practice: only a C record tells)
        reason = draft.comments[0].text
    if draft.reason and seen.value and not seen.no_result:
        reason = ""  # a value stands: the comment is a remark, not a reason for its absence
    return replace(
        seen,
        no_result=reason,
        flags=(*seen.flags, *draft.flags),
        comments=tuple(draft.comments),
        records=tuple(dict.fromkeys((*seen.records, *draft.records))),
    )


def _replicates(observations: list[Observation], rule: str) -> tuple[Observation, ...]:
    """Demote all but the main one of several results of a code, where the profile knows which that is."""
    if rule == "all":
        return tuple(observations)
    main: dict[str, int] = {}
    for at, seen in enumerate(observations):
        if seen.kind is Kind.RESULT and (rule == "last_main" or seen.full_code not in main):
            main[seen.full_code] = at
    return tuple(
        seen if seen.kind is not Kind.RESULT or main[seen.full_code] == at else replace(seen, kind=Kind.OTHER)
        for at, seen in enumerate(observations)
    )
