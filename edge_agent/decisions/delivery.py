"""What a person decides over the control socket: to try again, to release, to set aside.

Promised: a decision is written with who asked (the Unix user at the other end of the socket) and why, in the audit
chain and in the transaction that carries it out; of several ids either all are done or none. Not promised: that what is
tried again comes to a better end; the reason may still be there.
"""

import asyncio
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from edge_agent.codes import CODES
from edge_agent.control import Answer
from edge_agent.decisions.person import needed_note, note_of, who_asks
from edge_agent.errors import AgentError, UnknownIdError
from edge_agent.states import OPEN_MESSAGE_STATES, MessageState
from edge_agent.store.errors import UnknownRowError
from edge_agent.store.rows import OutboxRow
from edge_agent.store.store import Store
from edge_agent.store.thread import StoreThread

T = TypeVar("T")
Plain = dict[str, Any]

MOST_IDS = 100
_TRANSMISSION = re.compile(r"t(\d{1,12})")
_AT_A_TIME = 20  # transmissions released in one job: analysers are served in between
_NO_NOTE = "no note was given"
_AGAIN = (MessageState.QUEUED, MessageState.REJECTED, MessageState.BLOCKED)


@dataclass(frozen=True, slots=True)
class Done:
    """What was done to the ids of one request."""

    messages: tuple[str, ...] = ()
    released: int = 0


class Decisions:
    """``decided`` is told every message a person decided over; ``convert`` that something is to be converted."""

    def __init__(self, store: StoreThread, decided: Callable[[str], None], convert: Callable[[], None]) -> None:
        self._store = store
        self._decided = decided
        self._convert = convert

    def answers(self) -> Mapping[str, Answer]:
        return {"retry": self.retry, "release": self.release, "set-aside": self.set_aside}

    async def retry(self, request: Mapping[str, Any]) -> Plain:
        """Messages are published again; what is held or failed of transmissions is converted again."""
        ids, again = _ids(request), request.get("again") is True
        who, note = await who_asks(request), note_of(request) or _NO_NOTE
        done = await self._do(lambda s: _retry(s, ids, again, who, note))
        self._follow(done)
        return {"sentence": _sentence(done), "messages": list(done.messages), "released": done.released}

    async def release(self, request: Mapping[str, Any]) -> Plain:
        """Everything that is held or failed, of one analyser or for one reason if it is named."""
        analyser, code = _maybe(request, "analyser"), _maybe(request, "code")
        if code is not None and code not in CODES:
            raise AgentError("There is no such code.", code="usage", action="Use a code that `edge-agent queue` shows.")
        who, note = await who_asks(request), note_of(request) or _NO_NOTE
        # What is held at this moment: what is held again while this goes on is not released for ever.
        waiting = await self._do(lambda s: s.held_transmissions(analyser=analyser, code=code))
        released = 0
        for some in _slices(waiting):
            released += await self._do(_releasing(some, analyser, code, who, note))
            self._convert()
        if not released:
            raise _nothing_held()
        return {"sentence": _sentence(Done(released=released)), "messages": [], "released": released}

    async def set_aside(self, request: Mapping[str, Any]) -> Plain:
        """A message nobody will file any more."""
        id_, *more = _ids(request)
        if more:
            raise AgentError("One message at a time is set aside.", code="usage", action="Name one, with its reason.")
        note = needed_note(request)
        who = await who_asks(request)
        await self._do(lambda s: _set_aside(s, id_, who, note))
        self._decided(id_)
        return {"sentence": f"{id_} is set aside: this agent does not send it any more.", "messages": [id_]}

    def _follow(self, done: Done) -> None:
        for message in done.messages:
            self._decided(message)
        if done.released:
            self._convert()

    async def _do(self, job: Callable[[Store], T]) -> T:
        return await asyncio.wrap_future(self._store.later(job))


def _ids(request: Mapping[str, Any]) -> tuple[str, ...]:
    given = request.get("ids")
    ids = tuple(dict.fromkeys(str(id_).strip() for id_ in given)) if isinstance(given, list) else ()
    if not 0 < len(ids) <= MOST_IDS:
        raise AgentError(f"One to {MOST_IDS} ids are needed.", code="usage", action="Use --held for everything held.")
    return ids


def _maybe(request: Mapping[str, Any], name: str) -> str | None:
    value = request.get(name)
    return str(value) if value else None


def _slices(numbers: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(numbers), _AT_A_TIME):
        yield numbers[start : start + _AT_A_TIME]


def _releasing(
    numbers: Sequence[int], analyser: str | None, code: str | None, who: str, note: str
) -> Callable[[Store], int]:
    return lambda s: s.release(analyser=analyser, code=code, between=(numbers[0], numbers[-1]), who=who, note=note)


def _retry(store: Store, ids: Sequence[str], again: bool, who: str, note: str) -> Done:
    """One job, so one transaction: a refusal of the last id undoes what was done to the first."""
    messages, released = [], 0
    for id_ in ids:
        if match := _TRANSMISSION.fullmatch(id_):
            released += _release_one(store, int(match[1]), who, note)
        else:
            _send_one(store, _message(store, id_), again, who, note)
            messages.append(id_)
    return Done(tuple(messages), released)


def _release_one(store: Store, number: int, who: str, note: str) -> int:
    try:
        store.transmission(number)
    except UnknownRowError:
        raise UnknownIdError from None
    released = store.release(between=(number, number), who=who, note=note)
    if not released:
        raise _nothing_held(f"Nothing of t{number} is held or failed.")
    return released


def _send_one(store: Store, row: OutboxRow, again: bool, who: str, note: str) -> None:
    if row.state in _AGAIN:
        store.requeue(row.id, replay="operator", who=who, note=note)
    elif row.state is MessageState.FILED and again:
        store.send_again(row.id, who=who, note=note)
    else:
        raise _REFUSALS[row.state](row.id)


def _set_aside(store: Store, id_: str, who: str, note: str) -> None:
    row = _message(store, id_)
    if row.state not in OPEN_MESSAGE_STATES:
        raise AgentError(
            f"{id_} is {row.state}: there is nothing to set aside.",
            code="closed",
            action="Look at it with `edge-agent show`.",
        )
    store.set_aside(id_, who=who, note=note)


def _message(store: Store, id_: str) -> OutboxRow:
    row = store.message(id_)
    if row is None:
        raise UnknownIdError
    return row


def _sentence(done: Done) -> str:
    parts = []
    if done.messages:
        one = len(done.messages) == 1
        what = done.messages[0] if one else f"{len(done.messages)} messages"
        parts.append(f"{what} {'goes' if one else 'go'} out again, with the same id and content")
    if done.released:
        one = done.released == 1
        what = "1 held or failed item is" if one else f"{done.released} held or failed items are"
        parts.append(f"{what} read again")
    return "; ".join(parts) + "."


def _nothing_held(sentence: str = "Nothing of this kind is held or failed.") -> AgentError:
    return AgentError(sentence, code="nothing-held", action="See what waits with `edge-agent queue`.")


def _filed(id_: str) -> AgentError:
    return AgentError(
        f"{id_} is filed: the management system has confirmed it.",
        code="already-filed",
        action="Nothing needs to be done; to send it once more all the same, add --again.",
    )


def _under_way(id_: str) -> AgentError:
    return AgentError(
        f"{id_} is at the broker and waits for the management system's answer.",
        code="under-way",
        action="Wait: without an answer it is sent again by itself.",
    )


def _closed(id_: str) -> AgentError:
    return AgentError(
        f"{id_} was set aside or replaced, and is not sent any more.",
        code="closed",
        action="Look at it with `edge-agent show`; enter the result in the management system by hand if it is missing.",
    )


_REFUSALS: Mapping[MessageState, Callable[[str], AgentError]] = {
    MessageState.FILED: _filed,
    MessageState.AT_BROKER: _under_way,
    MessageState.SUPERSEDED: _closed,
    MessageState.SET_ASIDE: _closed,
}
