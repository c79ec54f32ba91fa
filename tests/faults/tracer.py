"""Faults at single system calls of a running process, by strace: kill it there, let the call fail, hold it up.

strace counts calls for each thread, so a place is a thread (by its age in the process), a call and a number.
"""

import os
import re
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_BEGUN = re.compile(r"^(\d+) +(?:[\d:.]+ )?(\w+)\(")


@dataclass(frozen=True, order=True)
class Place:
    """The ``number``-th call (from 1) of one kind by one thread, counted from when it is watched."""

    thread: int  # 0: the oldest, which is the main one
    call: str
    number: int

    def __str__(self) -> str:
        return f"{self.call} {self.number} of thread {self.thread}"


@dataclass(frozen=True)
class Fault:
    """``what``, in strace's words: signal=SIGKILL, error=EIO, delay_enter=200000 (microseconds)."""

    call: str
    what: str
    first: int = 1
    ever: bool = False  # from the first on, not once

    @property
    def words(self) -> str:
        return f"inject={self.call}:{self.what}:when={self.first}{'+' if self.ever else ''}"

    def __str__(self) -> str:
        return f"{self.call} {self.first}{' and all after' if self.ever else ''}: {self.what}"


def threads(process: int) -> list[int]:
    """Oldest first."""
    return sorted(int(name) for name in os.listdir(f"/proc/{process}/task"))


def kill_at(place: Place) -> Fault:
    return Fault(place.call, "signal=SIGKILL", place.number)


@contextmanager
def traced(
    target: int,
    *faults: Fault,
    calls: Sequence[str] = (),
    files: Sequence[Path] = (),
    log: Path | None = None,
    whole: bool = True,
) -> Iterator[None]:
    """Attached to a process (``whole``) or to one of its threads, until the end of the block or of the process.

    ``calls`` are written to ``log``. With ``files`` only calls that touch one of them count and fail.
    """
    named = ",".join(sorted({*calls, *(fault.call for fault in faults)}))
    command = ["strace", "-ttt", "-y", "-s", "4", "-o", str(log or os.devnull), "-e", f"trace={named}"]
    for fault in faults:
        command += ["-e", fault.words]
    for file in files:
        command += ["-P", str(file)]
    command += [*(["-f"] if whole else []), "-p", str(target)]
    strace = subprocess.Popen(command, stderr=subprocess.PIPE)
    assert strace.stderr is not None
    try:
        said = strace.stderr.readline()
        while b"attached" not in said:  # before it: which of -P's names are links
            assert said, "strace did not attach"
            said = strace.stderr.readline()
        yield
    finally:
        if strace.poll() is None:
            strace.send_signal(signal.SIGINT)  # it detaches and leaves the process running
        strace.wait(30)
        strace.stderr.close()


def places(log: Path, process_threads: Sequence[int]) -> list[Place]:
    """Every call in a log of ``traced``, in the order of threads and calls."""
    counted: Counter[tuple[int, str]] = Counter()
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        if (begun := _BEGUN.match(line)) and int(begun[1]) in process_threads:
            counted[process_threads.index(int(begun[1])), begun[2]] += 1
    return [Place(*key, number) for key, count in sorted(counted.items()) for number in range(1, count + 1)]
