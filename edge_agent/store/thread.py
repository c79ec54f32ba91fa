"""The one thread that owns the store, with two lanes of work.

Promised: a future resolves only after the COMMIT that covers its job; jobs an analyser waits for (``urgent``) go first
and share one COMMIT; other work (``later``) gets a small slice of time in each turn and never more than a step between
two urgent groups; work too long for a job (a backup) runs outside any transaction in steps of its own, with a whole
turn for everybody else after each. After a storage error no job succeeds until a new connection has proved itself with
a COMMIT; until then ``failed`` says why. Whatever ends the thread, nobody is left waiting. Not promised: that a single
``later`` job longer than a step is cut short; give small ones.
"""

import asyncio
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from time import monotonic
from typing import TypeVar

from edge_agent.histogram import Histogram
from edge_agent.store.errors import StorageFailedError, StoreError
from edge_agent.store.group import Outcome, run_group
from edge_agent.store.store import Job, Store
from edge_agent.store.waiting import InLoop, InThread, Waiting, resolve

log = logging.getLogger(__name__)

T = TypeVar("T")

GROUP_MAX = 128
COMMIT_BOUNDS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
STEP_S = 0.020  # of later work while no analyser waits
SLICE_S = 0.004  # of later work riding on a group an analyser waits for
RETRY_FIRST_S, RETRY_MAX_S = 0.05, 5.0

_STOPPING = "the agent is stopping"
_ENDED = "the thread that stores them ended, and the agent has to be started again"


class StoreThread:
    def __init__(self, open_store: Callable[[], Store]) -> None:
        self._open_store = open_store
        self._thread = threading.Thread(target=self._run, name="store", daemon=True)
        self._opened: Future[None] = Future()
        self._changed = threading.Condition()
        self._urgent: deque[Waiting] = deque()
        self._later: deque[Waiting] = deque()
        self._stepwise: deque[Waiting] = deque()
        self._stopping = False
        self._why = _STOPPING  # nothing is taken any more
        self._failed: str | None = None
        self.recoveries = 0  # how often storage worked again; only this thread counts
        self.commits = Histogram(COMMIT_BOUNDS_S)  # seconds of each group an analyser waited for, its COMMIT included
        self._retry_at = 0.0
        self._retry_s = RETRY_FIRST_S

    def start(self) -> None:
        """Open the store in its thread. Raises what opening raised."""
        self._thread.start()
        self._opened.result()

    def stop(self) -> None:
        """Do what is queued, close the store, end the thread. Later calls are refused. Safe to call twice."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join()

    @property
    def failed(self) -> str | None:
        """A sentence while storage does not work. Nothing may be acknowledged then, and nothing is."""
        return self._failed

    def urgent(self, job: Callable[[Store], T]) -> Future[T]:
        """An analyser waits for this one."""
        waiting = InThread(job)
        self._put(self._urgent, waiting)
        return waiting.future

    def urgent_in_loop(self, job: Callable[[Store], T]) -> asyncio.Future[T]:
        """The same for a coroutine of the running event loop, which is woken once for all that one COMMIT covers."""
        waiting = InLoop(job, asyncio.get_running_loop())
        self._put(self._urgent, waiting)
        return waiting.future

    def later(self, job: Callable[[Store], T]) -> Future[T]:
        """Nobody waits at a wire; the job takes a few milliseconds at most."""
        waiting = InThread(job)
        self._put(self._later, waiting)
        return waiting.future

    def stepwise(self, job: Callable[[Store, Callable[[], None]], T]) -> Future[T]:
        """Long work in steps of a few milliseconds, outside any transaction, one job at a time.

        ``job`` gets the store and what it must call after each step: that serves whoever waits, and raises
        StorageFailedError when the job is to be given up because storage fails or the agent stops.
        """
        waiting = InThread(lambda store: job(store, lambda: self._serve_others(store)))
        self._put(self._stepwise, waiting)
        return waiting.future

    def _put(self, lane: deque[Waiting], waiting: Waiting) -> None:
        with self._changed:
            if not self._stopping:
                lane.append(waiting)
                self._changed.notify()
                return
        resolve([(waiting, Outcome(error=StorageFailedError(self._why)))])

    def _run(self) -> None:
        try:
            store = self._open_store()
        except BaseException as error:  # noqa: BLE001  # start() raises it in the thread that asked
            self._opened.set_exception(error)
            return
        self._opened.set_result(None)
        try:
            while self._wait():
                if self._urgent or self._later or self._failed:
                    self._turn(store)
                else:
                    self._go_stepwise(store)
        except BaseException:
            self._why = _ENDED
            self._failed = StorageFailedError(_ENDED).sentence
            log.error("%s", self._failed)
            raise
        finally:
            with self._changed:
                self._stopping = True
            self._refuse_all(self._why)
            store.close()

    def _wait(self) -> bool:
        """Sleep until there is work or a retry is due; False at the end. A healthy, idle store never wakes."""
        with self._changed:
            while not (self._urgent or self._later or self._stepwise):
                if self._stopping:
                    return False
                if not self._changed.wait(self._until_retry()) and self._failed:
                    return True
        return True

    def _until_retry(self) -> float | None:
        return max(self._retry_at - monotonic(), 0.0) if self._failed else None

    def _turn(self, store: Store) -> None:
        if self._failed and not self._recover(store):
            self._refuse_all(store.broken)
            return
        taken: list[Waiting] = []
        began, waited_for = monotonic(), bool(self._urgent)
        try:
            outcomes = run_group(store.database, store, self._jobs(taken))
        except BaseException:  # this thread ends by it, and whoever asked must not wait for ever
            resolve((waiting, Outcome(error=StorageFailedError(_ENDED))) for waiting in taken)
            raise
        if waited_for:
            self.commits.observe(monotonic() - began)
        if store.broken:
            # No receipt exists for any of them. What was not begun is refused in the next turn, at once.
            self._fail(StorageFailedError(store.broken).sentence)
        resolve(zip(taken, outcomes, strict=True))

    def _go_stepwise(self, store: Store) -> None:
        waiting = self._stepwise.popleft()
        try:
            outcome = Outcome(waiting.job(store))
        except Exception as error:  # noqa: BLE001  # whatever a job raises belongs to who gave it; the others go on
            outcome = Outcome(error=error)
        except BaseException:
            resolve([(waiting, Outcome(error=StorageFailedError(_ENDED)))])
            raise
        resolve([(waiting, outcome)])

    def _serve_others(self, store: Store) -> None:
        if self._stopping:
            raise StorageFailedError(self._why)
        if self._urgent or self._later:
            self._turn(store)
        if self._failed:
            raise StorageFailedError(store.broken)  # before the connection is replaced under the job

    def _jobs(self, taken: list[Waiting]) -> Iterator[Job]:
        """The group's jobs: every urgent one that waits, then later ones for a slice of time."""
        while self._urgent and len(taken) < GROUP_MAX:
            yield self._take(self._urgent, taken)
        end = monotonic() + (SLICE_S if taken else STEP_S)
        while self._later:
            yield self._take(self._later, taken)
            if self._urgent or monotonic() >= end:
                return

    def _take(self, lane: deque[Waiting], taken: list[Waiting]) -> Job:
        waiting = lane.popleft()
        taken.append(waiting)
        return waiting.job

    def _fail(self, sentence: str) -> None:
        if self._failed is None:
            log.error("%s Nothing is acknowledged until storage works again.", sentence)
            self._retry_s = RETRY_FIRST_S
        self._failed = sentence
        self._retry_at = monotonic() + self._retry_s
        self._retry_s = min(self._retry_s * 2, RETRY_MAX_S)

    def _recover(self, store: Store) -> bool:
        """With a back-off: a new connection and one COMMIT through it."""
        if monotonic() < self._retry_at:
            return False
        try:
            store.reopen()
        except StoreError as error:
            self._fail(error.sentence)
            return False
        except OSError as error:
            self._fail(StorageFailedError(os.strerror(error.errno or 0)).sentence)
            return False
        log.warning("Storage works again.")
        self.recoveries += 1
        self._failed = None
        return True

    def _refuse_all(self, why: str) -> None:
        with self._changed:
            refused = [*self._urgent, *self._later, *self._stepwise]
            for lane in (self._urgent, self._later, self._stepwise):
                lane.clear()
        resolve((waiting, Outcome(error=StorageFailedError(why))) for waiting in refused)
