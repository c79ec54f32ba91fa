"""What is fuzzed: a reader of bytes, and what keeps it honest: a limit of time, and only the errors it declares."""

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

Run = Callable[[bytes], None]
HANG_S = 1.0


class HangError(AssertionError):
    """One input took more than HANG_S of this process's own time."""


@dataclass(frozen=True)
class Target:
    """``make``: gives what is called with each input, in a folder of its own; it swallows only declared errors."""

    name: str
    make: Callable[[Path, ExitStack], Run]
    seeds: Callable[[], Sequence[bytes]]
    words: Sequence[bytes]  # what the format is made of
    examples: int = 100  # in a sample
    longest: int = 4096


def simple(run: Run) -> Callable[[Path, ExitStack], Run]:
    """For one that needs no folder."""
    return lambda _folder, _stack: run


@contextmanager
def in_time(seconds: float = HANG_S) -> Iterator[None]:
    """Of the processor, not of the clock: a busy machine is no hang."""

    def too_long(_signal: int, _frame: FrameType | None) -> None:
        raise HangError(f"took more than {seconds} s")

    before = signal.signal(signal.SIGVTALRM, too_long)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
