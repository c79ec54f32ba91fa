"""A test that is a coroutine, run in an event loop of its own."""

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any


def in_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(*words: Any, **named: Any) -> None:
        asyncio.run(test(*words, **named))

    return run
