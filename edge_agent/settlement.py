"""A plan, what the store knows and reserved ids become groups, observations and messages: one transaction's content.

Pure. Repeats are recognised here (design invariant 3): an equal observation with a result time to the minute is a
repeat for good; without one only within the resend horizon, later it goes out as new and is marked. A group that mixes
old and new observations publishes the new ones only. A group of nothing but filed repeats asks for its filed messages
to go out once more, with their ids: sending again from the analyser is the lab's usual remedy and must work.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from drivers.canonical import Hold, Kind
from drivers.coding import Coding
from edge_agent.identity import specimen_key
from edge_agent.pipeline import Plan, PlannedObservation, PlannedSpecimen, only
from edge_agent.policy import Policy
from edge_agent.states import ItemState, MessageState
from edge_agent.store.rows import (
    KnownObservation,
    NewGroup,
    NewMessage,
    NewObservation,
    ObservationKey,
    Reserved,
    Settlement,
    Transmission,
)
from edge_agent.to_hl7 import messages
from hl7.errors import Hl7Error

Known = Mapping[ObservationKey, KnownObservation]


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What becomes of one observation."""

    planned: PlannedObservation
    ordinal: int
    state: ItemState
    hold: Hold | None = None
    old: KnownObservation | None = None  # the equal one known before
    message_id: str = ""

    def row(self) -> NewObservation:
        hold = self.hold or Hold("")
        observation = self.planned.observation
        return NewObservation(self.planned.key, observation.code, self.state, hold.code, hold.detail, self.message_id)


def settle(
    plan: Plan,
    known: Known,
    reserved: Sequence[Reserved],
    coding: Coding,
    policy: Policy,
    completes: tuple[int, ...] = (),
) -> Settlement:
    """Decide and write everything one transmission leads to."""
    ids = iter(reserved)
    groups, replays = [], []
    for specimen in plan.specimens:
        verdicts = _verdicts(specimen, known, plan.transmission, policy)
        groups.append(_group(specimen, verdicts, ids, coding, policy))
        replays += _replays(verdicts, plan.transmission)
    return Settlement(
        plan.transmission.id,
        groups=tuple(groups),
        replays=tuple(dict.fromkeys(replays)),
        completes=completes,
        holds=tuple((hold.code, hold.detail) for hold in plan.holds),
        alarms=plan.alarms,
    )


def _verdicts(specimen: PlannedSpecimen, known: Known, transmission: Transmission, policy: Policy) -> list[_Verdict]:
    return [
        _verdict(o, ordinal, specimen.hold or o.hold, known.get(o.key), transmission, policy)
        for ordinal, o in enumerate(specimen.observations)
    ]


def _verdict(
    planned: PlannedObservation,
    ordinal: int,
    hold: Hold | None,
    old: KnownObservation | None,
    transmission: Transmission,
    policy: Policy,
) -> _Verdict:
    if old is not None and _repeats(planned, old, transmission, policy):
        return _Verdict(planned, ordinal, ItemState.DUPLICATE, old=old, message_id=old.message_id)
    if hold is not None:
        return _Verdict(planned, ordinal, ItemState.HELD, hold=hold)
    return _Verdict(planned, ordinal, ItemState.CONVERTED, old=old)


def _repeats(planned: PlannedObservation, old: KnownObservation, transmission: Transmission, policy: Policy) -> bool:
    if old.transmission == transmission.id or planned.timed:
        return True
    # After a release the older transmission is converted last, so the distance counts and not the order. By the store's
    # own time: a clock that is set between a result and its resend would double it, or suppress a new one.
    opened = transmission.opened_steady or transmission.opened
    return abs(opened - old.seen) <= policy.resend_horizon


def _group(
    specimen: PlannedSpecimen, verdicts: list[_Verdict], ids: Iterator[Reserved], coding: Coding, policy: Policy
) -> NewGroup:
    """One specimen's rows and messages. A report that cannot be written as HL7 fails alone, its neighbours go."""
    try:
        rows, outgoing = _publish(specimen, verdicts, ids, coding, policy)
    except Hl7Error as error:
        rows = tuple(_failed(v).row() for v in verdicts)
        return _new_group(specimen, ItemState.FAILED, rows, (), Hold("conversion", type(error).__name__))
    return _new_group(specimen, _state(specimen, verdicts), rows, outgoing, specimen.hold)


def _new_group(
    specimen: PlannedSpecimen,
    state: ItemState,
    rows: tuple[NewObservation, ...],
    outgoing: tuple[NewMessage, ...],
    hold: Hold | None,
) -> NewGroup:
    reason = hold or Hold("")
    return NewGroup(
        specimen=specimen.specimen.id,
        role=specimen.specimen.role.value,
        state=state,
        hold=reason.code,
        detail=reason.detail,
        stat=specimen.specimen.stat,
        observations=rows,
        messages=outgoing,
    )


def _failed(verdict: _Verdict) -> _Verdict:
    if verdict.state is ItemState.DUPLICATE:
        return verdict
    return _Verdict(verdict.planned, verdict.ordinal, ItemState.FAILED, Hold("conversion"))


def _state(specimen: PlannedSpecimen, verdicts: list[_Verdict]) -> ItemState:
    states = {v.state for v in verdicts}
    if ItemState.CONVERTED in states:
        return ItemState.CONVERTED
    if specimen.hold or ItemState.HELD in states:
        return ItemState.HELD
    return ItemState.DUPLICATE if states else ItemState.CONVERTED


def _publish(
    specimen: PlannedSpecimen, verdicts: list[_Verdict], ids: Iterator[Reserved], coding: Coding, policy: Policy
) -> tuple[tuple[NewObservation, ...], tuple[NewMessage, ...]]:
    """Values in one message, images in another: values never wait for graphics."""
    fresh = [v for v in verdicts if v.state is ItemState.CONVERTED]
    images = [v for v in fresh if v.planned.observation.kind is Kind.GRAPHIC]
    values = [v for v in fresh if v.planned.observation.kind is not Kind.GRAPHIC]
    held = sum(v.state is ItemState.HELD for v in verdicts)
    carried: dict[int, str] = {}
    outgoing = []
    for part in (values, images):
        if part:
            message = _message(specimen, part, next(ids), coding, policy, held=held, graphics=part is images)
            carried |= {v.ordinal: message.id for v in part}
            outgoing.append(message)
    rows = tuple(_carried_by(v, carried.get(v.ordinal, v.message_id)).row() for v in verdicts)
    return rows, tuple(outgoing)


def _carried_by(verdict: _Verdict, message_id: str) -> _Verdict:
    return _Verdict(verdict.planned, verdict.ordinal, verdict.state, verdict.hold, verdict.old, message_id)


def _message(
    specimen: PlannedSpecimen,
    part: list[_Verdict],
    reserved: Reserved,
    coding: Coding,
    policy: Policy,
    *,
    held: int,
    graphics: bool,
) -> NewMessage:
    repeat_of = next((v.old.message_id for v in part if v.old), "")
    chosen = only(specimen.specimen, frozenset(v.ordinal for v in part))
    payload = messages(
        chosen,
        specimen.report,
        coding,
        policy.envelope(reserved),
        held=held,
        possible_repeat=bool(repeat_of),
        graphics=graphics,
    )
    return NewMessage(
        id=reserved.id,
        created=reserved.at,
        analyser=policy.analyser,
        route=specimen.route,
        specimen_key=specimen_key(policy.analyser, specimen.specimen),
        payload=payload,
        stat=specimen.specimen.stat,
        repeat_of=repeat_of,
        graphics=graphics,
        held=held,
    )


def _replays(verdicts: list[_Verdict], transmission: Transmission) -> list[str]:
    """Not for what this transmission carried out itself: then we converted again, and nobody sent again."""
    if not verdicts or any(v.state is not ItemState.DUPLICATE for v in verdicts):
        return []
    again = [v.old for v in verdicts if v.old and v.old.transmission != transmission.id]
    return [old.message_id for old in again if old.message_state is MessageState.FILED]
