"""Manifests up, requests for what is missing down: how a management system that lost something gets it back.

Promises: a request is acknowledged to the broker only after the store committed what it led to; it sends again only
what is filed here, with the same id and bytes, each message at most every half hour; a request that cannot be right
does nothing and is alarmed. A manifest costs the same whatever is stored, and goes only while somebody is there to read
it. Does not find out by itself what is missing: only the management system knows what it has.
"""

import asyncio
import math
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import TypeVar

from pydantic import ValidationError

from edge_agent.clock import Clock
from edge_agent.monitor.alarms import Alarms
from edge_agent.monitor.manifest import AnalyserManifest, Manifest, Reconcile, Sweep, of_analyser
from edge_agent.monitor.passing import Passing
from edge_agent.monitor.presence import Presence
from edge_agent.publisher.events import Received
from edge_agent.publisher.gate import Gate
from edge_agent.publisher.link import Link
from edge_agent.publisher.options import Confirm, MqttOptions, Version
from edge_agent.publisher.topics import MANIFEST_EXPIRY_S
from edge_agent.store.errors import StorageFailedError
from edge_agent.store.reconciliation import Ahead, Head, Line, Missed, Span
from edge_agent.store.store import Store
from edge_agent.store.thread import StoreThread
from edge_agent.times import rfc3339

T = TypeVar("T")

EVERY_S = 3600.0
SOON_S = 2.0  # after connecting
AT_LEAST_S = 600.0  # between two that are sent because of a new connection
ANSWER_FIRST_S = 2.0  # between two that answer requests: doubled each time until one of these brings something back
LOOK_AGAIN_S = 1.0
REFUSED_AGAIN_S = 60.0  # after the broker's access list forbade it
STORAGE_S = 60.0  # after a storage error
LONGEST = 65_536  # bytes of a request that are looked at
REMEMBERED = timedelta(days=7)
_AT_A_TIME = 50  # numbers per job of the store

MANIFEST = "up/manifest"
AHEAD, GONE, REFUSED = "results-missing-after-restore", "reconcile-gone", "reconcile-refused"


class _UnusableError(Exception):
    """Why a request is refused, in words of ours."""


class Reconciler:
    def __init__(
        self,
        store: StoreThread,
        link: Link,
        alarms: Alarms,
        presence: Presence,
        clock: Clock,
        look: Callable[[], None],
    ) -> None:
        """``look``: called when messages are to go out again."""
        self._store = store
        self._link = link
        self._alarms = alarms
        self._presence = presence
        self._clock = clock
        self._look = look
        self._gone = Passing(alarms, clock, timedelta(hours=24))
        self._refused = Passing(alarms, clock, timedelta(hours=1))
        self._sweep = Sweep()
        self._ahead: list[Ahead] | None = None  # not read yet
        self._connected: datetime | None = None
        self._sent = -EVERY_S
        self._due = math.inf  # until there is a connection
        self._answers = False  # the next manifest answers a request: not before what it brought back was answered
        self._spacing = ANSWER_FIRST_S
        self._somebody = False

    def deadline(self) -> float | None:
        return self._due if self._somebody and self._link.may_deliver and self._link.room > 0 else None

    async def tick(self, options: MqttOptions, gate: Gate) -> None:
        """Send the manifest if it is time. A store that does not work is left alone for a while."""
        try:
            await self._look_after_alarms()
            await self._send_if_due(options, gate)
        except StorageFailedError:  # its own alarm is up
            self._due = self._clock.monotonic() + STORAGE_S

    async def _send_if_due(self, options: MqttOptions, gate: Gate) -> None:
        confirmed = options.confirm is Confirm.APPLICATION and options.version is Version.V5
        self._somebody = confirmed and any(gate.is_open(name) for name in options.consumer_names)
        if not self._somebody or not self._link.may_deliver:
            return
        now = self._clock.monotonic()
        if self._link.since != self._connected:
            self._connected = self._link.since
            self._due = min(self._due, max(now + SOON_S, self._sent + AT_LEAST_S))
        if self._link.refused(MANIFEST):
            self._due = min(self._due, self._sent + REFUSED_AGAIN_S)
        if now < self._due or self._link.room < 1:
            return
        if self._answers and now < self._sent + EVERY_S and await self._do(lambda s: s.replays_wait()):
            self._due = now + LOOK_AGAIN_S
            return
        await self._send(now)

    async def take(self, message: Received) -> None:
        """A request of the management system. Raises what the store raises; then it is not acknowledged."""
        try:
            asked = _read(message.payload)
            head = await self._judged(asked)
        except _UnusableError as error:
            self._refused.happened(REFUSED, reason=str(error))
            return
        missed = Missed()
        for spans in _portions(asked.spans(0, head.last)):
            missed += await self._send_again(asked, spans)
        if missed.gone:
            self._gone.happened(GONE, asked.analyser, count=str(missed.gone))
        if asked.last_filed > head.last:
            await self._is_ahead(asked, head.last)
        if missed.again:
            self._spacing = ANSWER_FIRST_S
            self._look()
        self._answers = True
        self._due = min(self._due, max(self._clock.monotonic(), self._sent + self._spacing))

    # Requests

    async def _judged(self, asked: Reconcile) -> Head:
        head = await self._do(lambda s: s.head(asked.store, asked.analyser))
        if head is None:
            raise _UnusableError("it names a store this gateway never had")
        if not head.last and self._presence.analyser(asked.analyser) is None:
            raise _UnusableError("it names an analyser this gateway never had")
        if asked.gaps and asked.gaps[-1][1] > max(head.last, asked.last_filed):
            raise _UnusableError("it asks for numbers that were never given")
        return head

    async def _send_again(self, asked: Reconcile, spans: list[Span]) -> Missed:
        return await self._do(lambda s: s.send_missing(asked.store, asked.analyser, spans))

    async def _is_ahead(self, asked: Reconcile, last: int) -> None:
        lacking = sum(b - a + 1 for a, b in asked.spans(last, asked.last_filed))
        ahead = await self._do(lambda s: s.note_ahead(asked.store, asked.analyser, last, asked.last_filed, lacking))
        if ahead is not None:
            self._ahead = None  # read anew at the next tick
            await self._look_after_alarms()

    async def _look_after_alarms(self) -> None:
        """They stand for a week, over restarts: nothing tells when an analyser has sent all of it again."""
        self._gone.expire()
        self._refused.expire()
        before = self._clock.now() - REMEMBERED
        if self._ahead is not None and all(a.told >= before for a in self._ahead):
            return
        was = {a.analyser for a in self._ahead or ()}
        await self._do(lambda s: s.forget_ahead(before))
        self._ahead = await self._do(lambda s: s.ahead())
        for ahead in sorted(self._ahead, key=lambda a: a.told):
            self._alarms.raise_(AHEAD, ahead.analyser, **_params(ahead))
        for analyser in was - {a.analyser for a in self._ahead}:
            self._alarms.clear(AHEAD, analyser)

    # The manifest

    async def _send(self, now: float) -> None:
        entries = [await self._entry(head) for head in await self._do(lambda s: s.heads())]
        manifest = Manifest(ts=self._clock.now(), analysers=tuple(entries))
        self._link.say(MANIFEST, manifest.encode(), MANIFEST_EXPIRY_S)
        self._link.tick()
        self._spacing = min(EVERY_S, self._spacing * 2) if self._answers else ANSWER_FIRST_S
        self._answers, self._sent, self._due = False, now, now + EVERY_S

    async def _entry(self, head: Head) -> AnalyserManifest:
        read = [(span, await self._lines(head, span)) for span in self._sweep.spans(head)]
        told = [a.last_filed for a in self._ahead or () if (a.identity, a.analyser) == (head.identity, head.analyser)]
        return of_analyser(head, read, told[0] if told else None)

    async def _lines(self, head: Head, span: Span) -> list[Line]:
        return await self._do(lambda s: s.span(head.identity, head.analyser, span))

    async def _do(self, job: Callable[[Store], T]) -> T:
        return await asyncio.wrap_future(self._store.later(job))


def _read(payload: bytes) -> Reconcile:
    if len(payload) > LONGEST:
        raise _UnusableError("it is longer than one may be")
    try:
        return Reconcile.model_validate_json(payload)
    except ValidationError:  # whose text quotes what was sent, and that may be anything
        raise _UnusableError("it is not as docs/mqtt-contract.md says") from None


def _portions(spans: Iterable[Span]) -> Iterator[list[Span]]:
    """A few numbers at a time, so that analysers are served in between."""
    portion: list[Span] = []
    room = _AT_A_TIME
    for first, last in spans:
        while last - first >= room:
            yield [*portion, (first, first + room - 1)]
            first, portion, room = first + room, [], _AT_A_TIME
        portion.append((first, last))
        room -= last - first + 1
        if not room:
            yield portion
            portion, room = [], _AT_A_TIME
    if portion:
        yield portion


def _params(ahead: Ahead) -> dict[str, str]:
    return {
        "store": ahead.identity,
        "last": str(ahead.last),
        "last_filed": str(ahead.last_filed),
        "lacks": str(ahead.lacking),
        "since": rfc3339(ahead.since) if ahead.since else "an unknown time",
    }
