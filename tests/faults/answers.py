"""Every answer to an analyser, from a log of system calls: when its frame came, when it went, what was synced between.

The log is one of ``tracer.traced`` with the calls below.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CALLS = ("recvfrom", "sendto", "fdatasync", "pwrite64", "openat", "ftruncate", "fsync", "rename", "unlink")
ACK, NAK = r'"\6"', r'"\25"'
_STX = ('"\\2', '"\\002')  # the second where a digit follows
_LINE = re.compile(r"^(?P<thread>\d+) +(?P<at>[\d.]+) (?P<rest>.*)$")
_UNFINISHED = " <unfinished ...>"
_RESUMED = re.compile(r"^<\.\.\. \w+ resumed>(?P<rest>.*)$")
_CALL = re.compile(r"^(?P<name>\w+)\((?P<first>[^,)]*)(?:, (?P<second>\"(?:[^\"\\]|\\.)*\"))?.* = (?P<result>-?\d+)")


@dataclass(frozen=True)
class Answer:
    """To one frame. ``synced``: a sync of the store's log was begun and succeeded between its coming and its answer."""

    taken: bool
    after_s: float
    synced: bool


@dataclass(frozen=True)
class _Call:
    begun: float
    ended: float
    name: str
    first: str
    second: str
    result: int
    injected: bool


def answers(log: Path) -> list[Answer]:
    """Those to frames; an ENQ needs no storage."""
    frames: dict[str, float] = {}  # by connection
    synced: list[float] = []  # when the syncs that succeeded had begun
    found = []
    for call in _calls(log):
        if call.name == "recvfrom" and call.result > 0:
            frames.pop(call.first, None)
            if call.second.startswith(_STX):
                frames[call.first] = call.ended
        elif call.name == "fdatasync" and call.result == 0 and "agent.db-wal" in call.first:
            synced.append(call.begun)
        elif call.name == "sendto" and call.second in (ACK, NAK) and call.first in frames:
            came = frames.pop(call.first)
            found.append(Answer(call.second == ACK, call.begun - came, any(at > came for at in synced)))
    return found


def failed_files(log: Path) -> set[str]:
    """Names of the files on which a call was made to fail; "" for others."""
    return {Path(call.first.partition("<")[2].rstrip(">")).name for call in _calls(log) if call.injected}


def _calls(log: Path) -> Iterator[_Call]:
    """In the order in which they ended."""
    begun: dict[str, tuple[float, str]] = {}
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        if (said := _LINE.match(line)) is None:
            continue
        at, rest, start = float(said["at"]), said["rest"], float(said["at"])
        if rest.endswith(_UNFINISHED):
            begun[said["thread"]] = at, rest.removesuffix(_UNFINISHED)
            continue
        if resumed := _RESUMED.match(rest):
            start, first = begun.pop(said["thread"], (at, ""))
            rest = first + resumed["rest"]
        if call := _CALL.match(rest):
            yield _Call(
                start, at, call["name"], call["first"], call["second"] or "", int(call["result"]), "INJECTED" in rest
            )
