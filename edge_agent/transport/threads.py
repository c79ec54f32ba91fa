"""Between threads and the event loop: calls that bear a loop that has closed meanwhile."""

import asyncio
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def post(loop: asyncio.AbstractEventLoop, function: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> bool:
    """Have ``function`` called on the loop; False when the loop has closed and nobody listens any more."""
    try:
        loop.call_soon_threadsafe(lambda: function(*args, **kwargs))
    except RuntimeError:
        return False
    return True


def in_thread(function: Callable[[], T]) -> "asyncio.Future[T]":
    """Run ``function`` on a thread of its own: a port that hangs delays neither other ports nor the program's end."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def work() -> None:
        try:
            result = function()
        except Exception as error:  # noqa: BLE001 - carried to whoever awaits the future
            post(loop, fail, done, error)
        else:
            post(loop, finish, done, result)

    threading.Thread(target=work, name="port", daemon=True).start()
    return done


def finish(done: "asyncio.Future[T]", result: T) -> None:
    if not done.done():
        done.set_result(result)


def fail(done: "asyncio.Future[T]", error: Exception) -> None:
    if not done.done():
        done.set_exception(error)
