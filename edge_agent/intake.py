"""The store's side of one connection: the transmission that is being received.

Promised: frames and evidence are stored in the order they came; a transmission is opened in the same commit as its
first chunk, so that none is ever empty; every transmission opened here is ended, later if storage does not work now,
and at the next start if the process dies. Not promised: that a commit which reported an error left nothing behind.
Before anything is added after such an error, what is there is compared with what should be, and a difference ends the
transmission: the analyser then sends all of it again and the content is recognised. Of a line that sends rubbish and
not one good frame, what is beyond ``MOST_RUBBISH`` is not kept: none of it was acknowledged.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from edge_agent.errors import AgentError
from edge_agent.evidence import Evidence
from edge_agent.states import TransmissionEvent, TransmissionState
from edge_agent.store.errors import RefusedError, StoreError
from edge_agent.store.receipt import Stored
from edge_agent.store.rows import Chunk, Source
from edge_agent.store.store import Store
from edge_agent.store.thread import StoreThread

log = logging.getLogger(__name__)

RETRY_S = 2.0
MOST_UNENDED = 1000
MOST_RUBBISH = 16 * 1024 * 1024  # bytes of transmissions without one good frame, kept between two good frames of a link
RUBBISH_ROW = 512  # what such a transmission takes beside its bytes


class UncertainError(AgentError):
    """After a failed commit the store holds something else than it should."""

    def __init__(self) -> None:
        super().__init__(
            "After a storage error the store holds other frames than were confirmed.",
            code="storage",
            action="None: the analyser sends the transmission again.",
        )


@dataclass(frozen=True, slots=True)
class Ending:
    """How a transmission ends; ``transmission`` is None when it consists of ``chunks`` alone.

    ``doubt``: a commit about it reported an error, and may have happened.
    """

    source: Source
    transmission: int | None
    chunks: Sequence[Chunk]
    event: TransmissionEvent
    reason: str
    doubt: bool = False

    def apply(self, store: Store) -> None:
        number = self.transmission
        if number is None:
            number = store.open_transmission(self.source)
        elif self.doubt and store.transmission(number).state is not TransmissionState.RECEIVING:
            return  # the commit that reported an error did end it
        if self.chunks:
            store.append(number, self.chunks)
        store.end(number, self.event, self.reason)


class Endings:
    """Ends transmissions, and remembers those that could not be ended while storage did not work."""

    def __init__(self, store: StoreThread, on_stored: Callable[[], None]) -> None:
        self._store = store
        self._on_stored = on_stored
        self._unended: list[Ending] = []
        self._news = asyncio.Event()
        self._rubbish = 0

    async def end(self, ending: Ending) -> None:
        """End it now, or as soon as storage works. Never raises for storage."""
        if not await self._try(ending):
            self._remember(ending)

    def has_room(self, chunks: Sequence[Chunk]) -> bool:
        """Whether a transmission of nothing but evidence is kept: a line that babbles must not fill the disk."""
        before, self._rubbish = self._rubbish, self._rubbish + RUBBISH_ROW + sum(len(c.raw) for c in chunks)
        if before <= MOST_RUBBISH < self._rubbish:
            log.warning("A line sends rubbish and nothing else; no more of it is kept until a good frame comes.")
        return self._rubbish <= MOST_RUBBISH

    def good_frame(self) -> None:
        self._rubbish = 0

    def told(self) -> None:
        """A transmission was completed by its last frame."""
        self._on_stored()

    async def _try(self, ending: Ending) -> bool:
        try:
            await asyncio.wrap_future(self._store.later(ending.apply))
        except RefusedError as error:  # trying again would not help; the next start ends what is open
            log.error("The end of a transmission could not be stored (%s).", error.code)
        except StoreError:
            return False
        self._on_stored()
        return True

    def _remember(self, ending: Ending) -> None:
        if len(self._unended) >= MOST_UNENDED:
            log.warning("Storage has not worked for long: the end of a transmission is left to the next start.")
            return
        self._unended.append(replace(ending, doubt=True))
        self._news.set()

    def take_over(self, other: "Endings") -> None:
        """What a link that does not run any more could not end."""
        for ending in other._unended:
            self._remember(ending)
        other._unended = []

    async def run(self) -> None:
        """Retry until cancelled."""
        while True:
            await self._news.wait()
            await asyncio.sleep(RETRY_S)
            if self._store.failed is None:
                waiting, self._unended = self._unended, []
                for ending in waiting:
                    await self.end(ending)
            if not self._unended:
                self._news.clear()


@dataclass(frozen=True, slots=True)
class _Commit:
    future: asyncio.Future[Stored]
    chunks: int
    ends: bool


class Intake:
    """Frames and evidence of one connection on their way into the store. One caller at a time."""

    def __init__(self, source: Source, store: StoreThread, endings: Endings) -> None:
        self._source = source
        self._store = store
        self._endings = endings
        self._commit: _Commit | None = None
        self._stored = 0  # chunks known to be on the disk in the open transmission
        self._doubt = False
        self.evidence = Evidence()
        self.transmission: int | None = None
        self.frames = 0  # good frames in the open transmission

    async def keep(self, frame: Chunk, end: str | None) -> Stored:
        """Store ``frame`` behind the evidence that came before it; with ``end`` the transmission is complete.

        The receipt exists only after COMMIT. Raises StoreError (nothing may be acknowledged) and UncertainError.
        If the caller is cancelled, the commit goes on, and ``recover`` learns what became of it.
        """
        chunks = (*self.evidence.waiting(final=end is not None), frame)
        future = self._urgent(chunks, end)
        self._commit = _Commit(future, len(chunks), end is not None)
        try:
            await asyncio.shield(future)
        except (StoreError, UncertainError):
            self._commit, self._doubt = None, True
            raise
        return self._settle()

    def _urgent(self, chunks: Sequence[Chunk], end: str | None) -> asyncio.Future[Stored]:
        known, source = self.transmission, self._source
        expected = self._stored if self._doubt else None

        def append(store: Store) -> Stored:
            number = store.open_transmission(source) if known is None else known
            if known is not None and expected is not None:
                _compare(store, known, expected)
            return store.append(number, chunks, end=end)

        return self._store.urgent_in_loop(append)

    def _settle(self) -> Stored:
        """A commit has returned: only from here on does this side count on it."""
        assert self._commit is not None
        commit, self._commit = self._commit, None
        receipt = commit.future.result()
        self._doubt = False
        self.evidence.stored()
        self._endings.good_frame()
        if commit.ends:
            self._over()
            self._endings.told()
        else:
            self.transmission = receipt.transmission
            self._stored += commit.chunks
            self.frames += 1
        return receipt

    async def recover(self, patience: float) -> None:
        """After a cancelled ``keep``: wait for its commit, at most ``patience`` seconds."""
        if self._commit is None:
            return
        future = self._commit.future
        future.add_done_callback(_heard)  # it may still fail when nobody has the patience any more
        await asyncio.wait({future}, timeout=patience)
        if future.done() and future.exception() is None:
            self._settle()

    async def flush(self, now: float) -> None:
        """Store waiting evidence of the open transmission, behind work that an analyser waits for."""
        chunks, number = self.evidence.waiting(), self.transmission
        if number is None or not chunks or self._doubt:
            self.evidence.postpone(now)
            return
        try:
            await asyncio.wrap_future(self._store.later(lambda store: store.append(number, chunks)))
        except StoreError:
            self._doubt = True
            self.evidence.postpone(now)
            return
        self._stored += len(chunks)
        self.evidence.stored()

    async def close(self, event: TransmissionEvent, reason: str) -> None:
        """End the open transmission. Evidence without one makes one of its own, unless all of it is stored already."""
        chunks, number = tuple(self.evidence.waiting(final=True)), self.transmission
        nothing = number is None and (not chunks or self.evidence.only_repeats() or not self._endings.has_room(chunks))
        ending = Ending(self._source, number, chunks, event, reason, self._doubt)
        self._over()
        if not nothing:
            await self._endings.end(ending)

    def _over(self) -> None:
        self.evidence.forget()
        self.transmission = None
        self._stored = self.frames = 0
        self._doubt = False


def _heard(commit: asyncio.Future[Stored]) -> None:
    """What became of it is known, and asyncio need not complain of an error nobody looked at."""
    if not commit.cancelled():
        commit.exception()


def _compare(store: Store, transmission: int, expected: int) -> None:
    found = store.transmission(transmission)
    if found.state is not TransmissionState.RECEIVING or len(found.chunks) != expected:
        raise UncertainError
