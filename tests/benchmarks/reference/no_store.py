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
        self._waiting: queue.SimpleQueue[Future[Any] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._waiting.put(None)
        self._thread.join()

    def urgent(self, job: Any) -> Future[Any]:
        waits: Future[Any] = Future()
        self._waiting.put(waits)
        return waits

    def urgent_in_loop(self, job: Any) -> asyncio.Future[Any]:
        return asyncio.wrap_future(self.urgent(job))

    later = urgent

    def _run(self) -> None:
        while (waits := self._waiting.get()) is not None:
            waits.set_result(Receipt())
