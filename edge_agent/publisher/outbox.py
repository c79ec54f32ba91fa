"""The store as the publisher needs it: jobs on the store's second lane, awaited from the event loop.

Everything that decides over a message happens inside one job, so that a person's decision in between cannot be
overwritten by one made from an older reading. A storage error comes out as ``StorageFailedError`` of the store.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from edge_agent.clock import Clock
from edge_agent.publisher import backoff
from edge_agent.publisher.answers import AckMessage, Outcome, judge
from edge_agent.publisher.options import MqttOptions
from edge_agent.publisher.retries import BASE_S
from edge_agent.publisher.verdicts import Answer
from edge_agent.states import MessageState
from edge_agent.store.errors import RefusedError
from edge_agent.store.rows import OutboxRow, Route
from edge_agent.store.store import Store
from edge_agent.store.thread import StoreThread

T = TypeVar("T")

PATIENCE = timedelta(minutes=10)  # then the next message of a specimen no longer waits for an answer to this one
_PAGE = 50  # rows per job: other work of the store goes in between
_OPEN = (MessageState.QUEUED, MessageState.AT_BROKER, MessageState.REJECTED)


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A row in short. No payload: there may be very many."""

    id: str
    analyser: str
    route: Route


@dataclass(frozen=True, slots=True)
class Ready:
    rows: list[OutboxRow]
    next_due: datetime | None  # when the store has a rejected or asked-for-again row, if it has none now


class Outbox:
    def __init__(self, store: StoreThread, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._owed: list[tuple[str, str]] = []  # notes a failing disk did not take; only the store's thread looks at it

    async def ready(self, limit: int, since: datetime | None, skip: Collection[str]) -> Ready:
        """Rows to publish, in order, one per specimen; ``since``: only those queued since then."""
        before = self._clock.now() - PATIENCE
        return await self._do(lambda s: _ready(s, limit, since, skip, before))

    async def to_resend(self, message: str) -> tuple[OutboxRow | None, bool]:
        """The row, and whether a later message of its specimen waits for its answer."""
        return await self._do(lambda s: (s.message(message), s.later_unanswered(message)))

    def note_published(self, sent: Sequence[tuple[str, str]]) -> "Future[None]":
        """(message, replay) of each. Not awaited: whether it reached the broker is told by PUBACK, not by this."""
        noted = self._store.later(lambda s: _published(s, sent))
        noted.add_done_callback(lambda done: self._owe(done, sent))
        return noted

    async def together(self, heard: Sequence[Callable[[Store], T]]) -> list[T | RefusedError]:
        """In one transaction and in their order. What the store refuses stops none of the others.

        Before them what is still owed: an answer to what is not known to have gone out would be taken for a forged one.
        """
        owed: list[tuple[str, str]] = []

        def job(store: Store) -> list[T | RefusedError]:
            owed.extend(self._owed)
            self._owed.clear()
            _published(store, owed)
            return [_tried(store, one) for one in heard]

        done = self._store.later(job)
        done.add_done_callback(lambda ended: self._owe(ended, owed))
        return await asyncio.wrap_future(done)

    def _owe(self, ended: "Future[Any]", sent: Sequence[tuple[str, str]]) -> None:
        if not ended.cancelled() and ended.exception() is not None:
            self._owed.extend(sent)

    @staticmethod
    def puback(message: str, code: int, detail: str) -> Callable[[Store], MessageState]:
        """The state the message is in after the broker's answer."""
        return lambda s: s.puback(message, code, detail)

    async def timed_out(self, message: str) -> None:
        await self._do(lambda s: s.timed_out(message))

    def answer(self, ack: AckMessage, options: MqttOptions, jitter: float) -> Callable[[Store], Outcome]:
        """Judge an acknowledgement against the row it names and, if it holds, close or reject the row."""
        now = self._clock.now()
        return lambda s: _answer(s, ack, options, now, jitter)

    async def block(self, message: str, code: str, reason: str) -> OutboxRow | None:
        """The row; None if it was closed meanwhile and there is nothing to block."""
        return await self._do(lambda s: _block(s, message, code, reason))

    async def unblock(self, message: str) -> None:
        await self._do(lambda s: _unblock(s, message))

    async def unfinished(self, state: MessageState) -> list[Unfinished]:
        """Every row in ``state``, in the order they were queued."""
        found: list[Unfinished] = []
        while True:
            page = await self._page(state, found[-1].id if found else None)
            found += page
            if len(page) < _PAGE:
                return found

    async def _page(self, state: MessageState, after: str | None) -> list[Unfinished]:
        return await self._do(
            lambda s: [
                Unfinished(row.id, row.analyser, row.route)
                for row in s.messages(states=(state,), limit=_PAGE, after=after)
            ]
        )

    async def unanswered_since(self) -> datetime | None:
        """Since when the first message at the broker has waited, if that is longer than ten minutes."""
        rows = await self._do(lambda s: s.messages(states=(MessageState.AT_BROKER,), limit=1))
        since = rows[0].at_broker if rows else None
        return since if since is not None and self._clock.now() - since >= PATIENCE else None

    async def _do(self, job: Callable[[Store], T]) -> T:
        return await asyncio.wrap_future(self._store.later(job))


def _ready(store: Store, limit: int, since: datetime | None, skip: Collection[str], before: datetime) -> Ready:
    rows = store.ready(limit, newest_since=since, skip=skip, unanswered_before=before)
    return Ready(rows, store.next_due() if since is None and len(rows) < limit else None)


def _published(store: Store, sent: Sequence[tuple[str, str]]) -> None:
    for message, replay in sent:
        with suppress(RefusedError):  # retention took it meanwhile
            store.published(message, replay=replay)


def _tried(store: Store, job: Callable[[Store], T]) -> T | RefusedError:
    """The store refuses before it writes anything, so there is nothing to undo."""
    try:
        return job(store)
    except RefusedError as error:
        return error


def _answer(store: Store, ack: AckMessage, options: MqttOptions, now: datetime, jitter: float) -> Outcome:
    row = store.addressed(ack.control_id)
    outcome = judge(ack, row, options)
    if row is None or not outcome.decides:
        return outcome
    retry_at = None  # the store's own rule: every 30 minutes for 24 hours, then by a person
    if outcome.answer is Answer.REJECTED_SOON:
        wait = jitter * backoff.whole(row.attempts, base_s=BASE_S, cap_s=options.retry_max_s)
        retry_at = now + timedelta(seconds=wait)
    state = store.acknowledged(
        row.id,
        code=ack.code,
        detail=ack.detail,
        consumer=ack.consumer,
        digest_ok=outcome.digest_ok,
        retry_at=retry_at,
    )
    return replace(outcome, state=state)


def _block(store: Store, message: str, code: str, reason: str) -> OutboxRow | None:
    row = store.message(message)
    if row is None or row.state not in _OPEN:
        return None
    store.block(message, code, reason)
    return row


def _unblock(store: Store, message: str) -> None:
    row = store.message(message)
    if row is not None and row.state is MessageState.BLOCKED:
        store.requeue(message, replay="retry", who="edge-agent", note="the broker or its limits changed")
