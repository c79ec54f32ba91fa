"""Who waits for a job of the store's thread, and how they are told its outcome.

Promised: nobody is told before the outcome exists, and each is told once. Those who wait in one event loop are told
together: a wake-up of the loop costs as much as storing a frame. Not promised: that anybody still listens; a loop
that was closed, or a future that was cancelled, is passed over.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any, Generic, TypeAlias, TypeVar

from edge_agent.store.group import Outcome
from edge_agent.store.store import Store

T = TypeVar("T")


class InThread(Generic[T]):
    """A job whose outcome is waited for in any thread."""

    __slots__ = ("future", "job")

    def __init__(self, job: Callable[[Store], T]) -> None:
        self.job = job
        self.future: Future[T] = Future()


class InLoop(Generic[T]):
    """A job whose outcome is waited for in one event loop."""

    __slots__ = ("future", "job", "loop")

    def __init__(self, job: Callable[[Store], T], loop: asyncio.AbstractEventLoop) -> None:
        self.job = job
        self.loop = loop
        self.future: asyncio.Future[T] = loop.create_future()


Waiting: TypeAlias = InThread[Any] | InLoop[Any]


def resolve(outcomes: Iterable[tuple[Waiting, Outcome]]) -> None:
    """Tell each its outcome, from any thread."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Outcome]]] = {}
    for waiting, outcome in outcomes:
        if isinstance(waiting, InLoop):
            by_loop.setdefault(waiting.loop, []).append((waiting.future, outcome))
        elif waiting.future.set_running_or_notify_cancel():
            _tell(waiting.future, outcome)
    for loop, told in by_loop.items():
        with contextlib.suppress(RuntimeError):  # it was closed: nobody waits there any more
            loop.call_soon_threadsafe(_tell_all, told)


def _tell_all(told: list[tuple[asyncio.Future[Any], Outcome]]) -> None:
    for future, outcome in told:
        if not future.cancelled():
            _tell(future, outcome)


def _tell(future: Future[Any] | asyncio.Future[Any], outcome: Outcome) -> None:
    if outcome.error is not None:
        future.set_exception(outcome.error)
    else:
        future.set_result(outcome.value)
