"""Storing off: the sessions of the same build, and behind them nothing that lasts.

``NoStore`` says "stored" at once, in the caller's thread: the fastest receiver this build could be. ``NoStoreThread``
hands over to a thread that takes whole groups, as the store's does, and writes nothing.
"""

import asyncio
import queue
import threading
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from edge_agent.store.group import Outcome
from edge_agent.store.waiting import InLoop, InThread, Waiting, resolve


@dataclass(frozen=True, slots=True)
class Receipt:
    """Worth nothing."""

    transmission: int = 1
    chunks: int = 1


class NoStore:
    failed = None

    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass

    def urgent(self, job: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(Receipt())
        return done

    def urgent_in_loop(self, job: Any) -> asyncio.Future[Any]:
        done = asyncio.get_running_loop().create_future()
        done.set_result(Receipt())
        return done

    later = urgent


class NoStoreThread(NoStore):
    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[Waiting | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._waiting.put(None)
        self._thread.join()

    def urgent(self, job: Any) -> Future[Any]:
        waits: InThread[Any] = InThread(job)
        self._waiting.put(waits)
        return waits.future

    def urgent_in_loop(self, job: Any) -> asyncio.Future[Any]:
        waits: InLoop[Any] = InLoop(job, asyncio.get_running_loop())
        self._waiting.put(waits)
        return waits.future

    later = urgent

    def _run(self) -> None:
        while (first := self._waiting.get()) is not None:
            group = [first]
            while not self._waiting.empty():
                waits = self._waiting.get()
                if waits is None:
                    return
                group.append(waits)
            resolve((waits, Outcome(Receipt())) for waits in group)
