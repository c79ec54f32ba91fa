"""The running agent's part of a support bundle: figures of the store and the links, through the allow-list."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping
from functools import partial
from typing import Any, TypeVar

from edge_agent.control import Part, Stream
from edge_agent.monitor.alarms import Alarms
from edge_agent.states import OPEN_MESSAGE_STATES
from edge_agent.store import backup, figures
from edge_agent.store.rows import OutboxRow
from edge_agent.store.store import Store
from edge_agent.store.thread import StoreThread
from edge_agent.support import redaction
from edge_agent.times import shown

T = TypeVar("T")
Plain = dict[str, Any]
Status = Callable[[Mapping[str, Any]], Any]

_OF_THE_BROKER = ("connected", "since", "subscription_proven", "in_flight", "unanswered")
_SHAPES, _WAITING, _HELD, _AUDIT = 40, 100, 200, 500


class Support:
    def __init__(self, store: StoreThread, alarms: Alarms, status: Status) -> None:
        """``status`` answers as `status` does."""
        self._store = store
        self._alarms = alarms
        self._status = status

    def answers(self) -> Mapping[str, Stream]:
        return {"support": self.support}

    async def support(self, request: Mapping[str, Any]) -> AsyncGenerator[Part, None]:
        """One part per file: its name and its facts."""
        yield {"name": "status.json", "facts": await self._state()}
        yield {"name": "store.json", "facts": await self._figures()}
        yield {"name": "waiting.json", "facts": await self._waiting()}
        yield {"name": "audit.json", "facts": await self._audit()}
        shapes = []
        for number in await self._do(lambda s: figures.recent(s, _SHAPES)):
            shapes.append(await self._do(partial(_shape, number=number)))
        yield {"name": "shapes.json", "facts": shapes}

    async def _state(self) -> Plain:
        status = await self._status({})
        broker = status["broker"]
        return {
            "version": status["version"],
            "state": status["state"],
            "started": status["started"],
            "broker": {
                **{key: broker[key] for key in _OF_THE_BROKER},
                "offline": sorted(map(redaction.name, broker["offline"])),
            },
            "messages": status["messages"],
            "oldest_unfiled": status["oldest_unfiled"],
            "analysers": [_analyser(a) for a in status["analysers"]],
            "alarms": [
                {
                    "code": redaction.hold(a.code),
                    "analyser": redaction.name(a.analyser) if a.analyser else "",
                    "severity": a.severity.value,
                    "since": shown(a.since),
                }
                for a in self._alarms.active()
            ],
        }

    async def _figures(self) -> Plain:
        identity, schema, free, head, last, size = await self._do(
            lambda s: (s.identity, figures.schema(s), s.disk_free_mb(), s.audit_head(), backup.last(s), backup.size(s))
        )
        newest_message, newest_transmission = await self._do(figures.highest)
        messages: Counter[tuple[str, ...]] = Counter()
        for after in range(0, newest_message, figures.SLICE):
            for analyser, route, state, code, count in await self._do(partial(figures.messages, after=after)):
                messages[redaction.name(analyser), route, state, _code(code)] += count
        transmissions: Counter[tuple[str, ...]] = Counter()
        for after in range(0, newest_transmission, figures.SLICE):
            for row in await self._do(partial(figures.transmissions, after=after)):
                transmissions[_transmission(*row[:6])] += row[6]
        return {
            "identity": identity,
            "schema": schema,
            "bytes": size,
            "free_mb": free,
            "audit_entries": head[0],
            "last_backup": shown(last.at) if last else "",
            "messages": [
                dict(zip(("analyser", "route", "state", "code", "count"), (*key, count), strict=True))
                for key, count in sorted(messages.items())
            ],
            "transmissions": [
                dict(zip(("analyser", "profile", "hash", "state", "ended", "count"), (*key, count), strict=True))
                for key, count in sorted(transmissions.items())
            ],
        }

    async def _waiting(self) -> Plain:
        rows = await self._do(lambda s: s.messages(states=OPEN_MESSAGE_STATES, limit=_WAITING))
        return {
            "messages": [await self._do(partial(_message, row=row)) for row in rows],
            "held": [
                {
                    "transmission": group.transmission,
                    "analyser": redaction.name(group.analyser),
                    "state": group.state.value,
                    "since": shown(group.since),
                    "holds": dict(
                        Counter(redaction.hold(h) for h in (group.hold, *(o.hold for o in group.observations)))
                    ),
                }
                for group in await self._do(lambda s: s.held(limit=_HELD))
            ],
        }

    async def _audit(self) -> list[Plain]:
        last, _ = await self._do(Store.audit_head)
        entries = await self._do(lambda s: s.audit_entries(after=max(last - _AUDIT, 0), limit=_AUDIT))
        return [{"entry": e.entry, "at": shown(e.at), "kind": redaction.name(e.kind)} for e in entries]

    async def _do(self, job: Callable[[Store], T]) -> T:
        return await asyncio.wrap_future(self._store.later(job))


def _analyser(facts: Mapping[str, Any]) -> Plain:
    numbers = ("revision", "held", "failed", "interrupted", "up", "since", "last_byte", "last_result")
    return {
        "id": redaction.name(facts["id"]),
        "profile": redaction.profile(facts["profile"]),
        "profile_hash": redaction.digest(facts["profile_hash"]),
        "newer_profile": bool(facts["newer_profile"]),
        "mode": redaction.word(facts["mode"], ("production", "validation")),
        "connections": len(facts["connections"]),
        **{key: facts[key] for key in numbers},
    }


def _transmission(analyser: str, profile: str, _revision: int, hash_: str, state: str, reason: str) -> tuple[str, ...]:
    return (
        redaction.name(analyser),
        redaction.profile(profile),
        redaction.digest(hash_),
        state,
        redaction.ended(reason),
    )


def _shape(store: Store, number: int) -> Plain:
    return redaction.shape(store.transmission(number))


def _message(store: Store, row: OutboxRow) -> Plain:
    return {
        "id": row.id,
        "analyser": redaction.name(row.analyser),
        "route": row.route.value,
        "sequence": row.sequence,
        "state": row.state.value,
        "code": _code(row.code),
        "bytes": len(row.payload),
        "queued": shown(row.queued),
        "stat": row.stat,
        "attempts": [
            {"at": shown(a.at), "what": redaction.happened(a.what), "code": redaction.answer(a.code)}
            for a in store.attempts(row.id)[-20:]
        ],
    }


def _code(code: str) -> str:
    """Why a message is rejected or blocked: an answer of the other side, or a code of ours."""
    known = redaction.answer(code)
    return known if known != redaction.OTHER else redaction.hold(code)
