"""What the control socket answers: status, queue, show, trace. Reads only, and only through the store's thread."""

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, TypeVar

from edge_agent.code import Severity
from edge_agent.codes import CODES
from edge_agent.control import Answer
from edge_agent.converter import Reader
from edge_agent.errors import AgentError, UnknownIdError
from edge_agent.link import Link
from edge_agent.monitor.alarms import Alarm, Alarms
from edge_agent.monitor.presence import Presence
from edge_agent.monitor.program import Program
from edge_agent.pins import Pinned
from edge_agent.publisher.publisher import Publisher
from edge_agent.publisher.status import PublisherStatus
from edge_agent.sentences import REFUSALS, sentence
from edge_agent.settings import Settings
from edge_agent.states import OPEN_MESSAGE_STATES, ItemState, MessageState
from edge_agent.store import backup
from edge_agent.store.errors import UnknownRowError
from edge_agent.store.rows import Counts, Group, OutboxRow
from edge_agent.store.store import Store
from edge_agent.store.thread import StoreThread
from edge_agent.times import shown
from edge_agent.trace import Traced, message_facts, message_trace, transmission_trace

T = TypeVar("T")
Plain = dict[str, Any]

_TRANSMISSION = re.compile(r"t(\d{1,12})")
_MOST_TRANSMISSIONS = 20
_WAITING = (ItemState.HELD, ItemState.FAILED)
_STATES = (None, *MessageState, *_WAITING)
_MOST_HELD = 10_000  # looked through for one of the two states
_SOME_HELD = 1000  # looked through for results that should be seen first


@dataclass(frozen=True, slots=True)
class Questions:
    settings: Settings
    version: str
    started: datetime
    store: StoreThread
    publisher: Publisher
    alarms: Alarms
    links: Sequence[Link]
    readers: Mapping[str, Reader]
    pins: Mapping[str, Pinned]
    presence: Presence
    program: Program

    def answers(self) -> Mapping[str, Answer]:
        return {"status": self.status, "queue": self.queue, "show": self.show, "trace": self.trace}

    async def status(self, request: Mapping[str, Any]) -> Plain:
        active = self.alarms.active()
        return {
            "ok": not _needs(active),
            "sentence": _verdict(active),
            "version": self.version,
            "site": self.settings.agent.site,
            "gateway": self.settings.agent.gateway,
            "state": self.presence.state("", self.started).state,
            "started": shown(self.started),
            "program": _program(self.program),
            **await self._stored(),
            "broker": _broker(self.publisher.status()),
            "alarms": [_alarm(a) for a in active],
        }

    def sentence(self) -> str:
        """The first line of `status`."""
        return _verdict(self.alarms.active())

    async def queue(self, request: Mapping[str, Any]) -> Plain:
        state, analyser = request.get("state"), request.get("analyser")
        limit = request.get("limit") or 50
        if state not in _STATES or not isinstance(limit, int) or not isinstance(analyser, str | None):
            raise AgentError(
                "There is no such state, analyser or limit.", code="usage", action="See `edge-agent queue --help`."
            )
        return await self._read(lambda s: _queue(s, state, analyser, min(max(limit, 1), 1000)))

    async def show(self, request: Mapping[str, Any]) -> Plain:
        name = _name(request)
        return {"messages": await self._read(lambda s: _messages(s, name))}

    async def trace(self, request: Mapping[str, Any]) -> Plain:
        name = _name(request)
        traced = await self._read(lambda s: _traced(s, name))
        return {
            "transmissions": [transmission_trace(t, self.readers.get(t.transmission.source.analyser)) for t in traced]
        }

    async def _stored(self) -> Plain:
        """What the store counts; while it does not work, that it does not."""
        if self.store.failed is not None:
            return {
                "messages": {},
                "converting": False,
                "oldest_unfiled": "",
                "store": {"ok": False, "text": self.store.failed},
                "analysers": [self._analyser(link, None) for link in self.links],
            }
        counts, identity, free, head, converting, last = await self._read(
            lambda s: (
                s.counts(),
                s.identity,
                s.disk_free_mb(),
                s.audit_head(),
                bool(s.next_unconverted(1)),
                backup.last(s),
            )
        )
        return {
            "messages": {state.value: count for state, count in counts.messages.items()},
            "converting": converting,
            "oldest_unfiled": shown(counts.oldest_unfiled),
            "store": {
                "ok": True,
                "identity": identity,
                "free_mb": free,
                "audit": {"entry": head[0], "hash": head[1]},
                "last_backup": shown(last.at) if last else "",
                "last_backup_file": last.name if last else "",
                "text": f"{identity}, {free} MB free, audit chain {head[0]} entries, head {head[1][:12]}, "
                f"last backup {shown(last.at) if last else 'never'}",
            },
            "analysers": [self._analyser(link, counts) for link in self.links],
        }

    def _analyser(self, link: Link, counts: Counts | None) -> Plain:
        status = link.status()
        pin, told = self.pins[link.analyser_id], self.presence.analyser(link.analyser_id)
        held, failed, interrupted = (counts.held, counts.failed, counts.interrupted) if counts else ({}, {}, {})
        return {
            "id": link.analyser_id,
            "profile": pin.device.name,
            "revision": pin.device.profile.revision,
            "profile_hash": pin.device.hash,
            "newer_profile": pin.newer,
            "mode": self.readers[link.analyser_id].policy.mode,
            "up": status.up,
            "reason": status.reason,
            "since": shown(status.since),
            "protocol": status.protocol,
            "connections": list(status.connections),
            "last_byte": shown(status.last_byte),
            "last_result": shown(status.last_result or (told.last_result if told else None)),
            "asked": shown(status.asked),
            "unframed_bytes": status.unframed,
            "line_errors": asdict(status.line_errors) if status.line_errors else None,
            "refused_frames": status.refused,
            "refused_for": REFUSALS.get(status.refused_for, status.refused_for),
            "held": held.get(link.analyser_id, 0),
            "failed": failed.get(link.analyser_id, 0),
            "interrupted": interrupted.get(link.analyser_id, 0),
            "clock_ahead_s": told.clock_ahead_s if told else None,
        }

    async def _read(self, job: Callable[[Store], T]) -> T:
        return await asyncio.wrap_future(self.store.later(job))


def _name(request: Mapping[str, Any]) -> str:
    """The id asked for. What came without a specimen id is not found by asking for nothing."""
    name = str(request.get("id", "")).strip()
    if not name:
        raise UnknownIdError
    return name


def _needs(active: Sequence[Alarm]) -> list[Alarm]:
    return [a for a in active if a.severity is Severity.ERROR]


def _verdict(active: Sequence[Alarm]) -> str:
    if needs := _needs(active):
        first = needs[0]
        more = f" ({len(needs) - 1} more below)" if len(needs) > 1 else ""
        return f"A person is needed: {first.sentence}{more}"
    if not active:
        return "All is well."
    return f"All is well, with {len(active)} remark{'s' if len(active) > 1 else ''} below."


def _program(program: Program) -> Plain:
    found = program.verdict
    facts = {"files": found.files, "differences": list(found.differences)} if found else {}
    return {"text": program.text, **facts}


def _broker(status: PublisherStatus) -> Plain:
    return {
        "connected": status.connected,
        "url": status.url,
        "since": shown(status.since),
        "reason": status.reason,
        "subscription_proven": status.proven.value,
        "offline": {name: shown(since) for name, since in status.gates.items() if since},
        "in_flight": status.in_flight,
        "unanswered": status.unanswered,
        "weakness": status.weakness,
        "text": _broker_text(status),
    }


def _broker_text(status: PublisherStatus) -> str:
    if not status.connected:
        return f"not connected: {status.reason or 'trying'}"
    closed = [f"{name} offline since {shown(since)}" for name, since in status.gates.items() if since]
    facts = [f"{status.url} since {shown(status.since)}", f"{status.unanswered} unanswered", *closed]
    return ", ".join([*facts, status.weakness] if status.weakness else facts)


def _alarm(alarm: Alarm) -> Plain:
    return {
        "code": alarm.code,
        "analyser": alarm.analyser,
        "severity": alarm.severity.value,
        "since": shown(alarm.since),
        "sentence": alarm.sentence,
        "action": alarm.action,
    }


def _queue(store: Store, state: str | None, analyser: str | None, limit: int) -> Plain:
    states = OPEN_MESSAGE_STATES if state is None else () if state in _WAITING else (MessageState(state),)
    messages = store.messages(states=states, analyser=analyser, limit=limit) if states else []
    held: list[Group] = []
    if state is None or state in _WAITING:
        held = store.held(analyser=analyser, limit=_SOME_HELD if state is None else _MOST_HELD)
    lines = [line for group in held for line in _held(group) if state in (None, line["state"])]
    lines.sort(key=lambda line: line["results"] == 0)  # a line that babbled must not push a result out of sight
    return {"messages": [_waiting(m) for m in messages], "held": lines[:limit]}


def _waiting(row: OutboxRow) -> Plain:
    return {
        **message_facts(row),
        "queued": shown(row.queued),
        "attempts": row.attempts,
        "stat": row.stat,
    }


def _held(group: Group) -> list[Plain]:
    """One line for each reason of a specimen; the results it holds are counted."""
    waiting = [o for o in group.observations if o.state in _WAITING]
    reasons = list(dict.fromkeys((o.state, o.hold, o.detail) for o in waiting))
    if not waiting and group.state in _WAITING:
        reasons = [(group.state, group.hold, group.detail)]
    return [
        _held_line(group, *reason, sum((o.state, o.hold, o.detail) == reason for o in waiting)) for reason in reasons
    ]


def _held_line(group: Group, state: ItemState, code: str, detail: str, results: int) -> Plain:
    return {
        "transmission": group.transmission,
        "analyser": group.analyser,
        "state": state.value,
        "results": results,
        "since": shown(group.since),
        "stat": group.stat,
        "code": code,
        "sentence": sentence(code, {"analyser": group.analyser, "reason": detail, "test": detail}),
        "action": CODES[code].action,
    }


def _messages(store: Store, name: str) -> list[Plain]:
    ids = [name] if store.message(name) else store.find(specimen=name)
    rows = [row for row in map(store.message, ids) if row is not None]
    if not rows:
        raise UnknownIdError
    return [message_trace(row, store.attempts(row.id)) for row in rows]


def _traced(store: Store, name: str) -> list[Traced]:
    """A transmission by its number, by a message it led to, or by a specimen it brought."""
    numbers = _transmissions(store, name)
    if not numbers:
        raise UnknownIdError
    try:
        return [_one(store, number) for number in numbers[:_MOST_TRANSMISSIONS]]
    except UnknownRowError:
        raise UnknownIdError from None


def _transmissions(store: Store, name: str) -> list[int]:
    if match := _TRANSMISSION.fullmatch(name):
        return [int(match[1])]
    row = store.message(name)
    if row is None:
        return store.find_transmissions(specimen=name)
    return list(dict.fromkeys([row.transmission, *store.sent_again(name)]))


def _one(store: Store, number: int) -> Traced:
    groups = store.groups(number)
    carried = dict.fromkeys(o.message_id for g in groups for o in g.observations if o.message_id)
    rows = [row for row in map(store.message, carried) if row is not None]
    return Traced(store.transmission(number), tuple(groups), tuple((r, tuple(store.attempts(r.id))) for r in rows))
