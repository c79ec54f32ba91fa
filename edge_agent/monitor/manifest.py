"""What was confirmed, told so that a management system can compare it with what it has; and its answer.

A manifest speaks of intervals of sequence numbers. Of each it says how many messages of one route were confirmed, and a
digest over them: SHA-256 over one line per message, ascending by sequence number, each
``sequence SP MSH-10 SP digest LF`` (digest: SHA-256 of the payload, hexadecimal, lower case). Nothing of a patient has
a field here.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from edge_agent.monitor.payloads import Payload, Utc
from edge_agent.store.reconciliation import Head, Line, spans_of
from edge_agent.store.reconciliation import Span as Numbers

WIDTH = 500  # numbers of one interval
MOST_ASKED = 1000  # numbers one request may name
_HIGHEST = 99_999_999_999

Number = Annotated[int, Field(ge=1, le=_HIGHEST)]
Store = Annotated[str, Field(pattern="^[0-9A-Z]{8}$")]
Analyser = Annotated[str, Field(pattern="^[a-z0-9-]{1,32}$")]
Span = Annotated[tuple[Number, ...], Field(min_length=2, max_length=2)]  # the first and the last number


class Interval(Payload):
    """The confirmed messages of one route with a number from ``first`` to ``last``."""

    route: Literal["result", "qc", "validation"]
    first: Number
    last: Number
    count: int
    digest: str
    not_counted: tuple[Span, ...] = ()  # of another route, not confirmed yet, set aside, or not kept any more


class AnalyserManifest(Payload):
    store: str
    analyser: str
    oldest: int | None  # the lowest number still kept; null: none is
    last: int  # the highest number given out
    last_filed: int | None = None  # what you said you have beyond ``last``; null: nothing
    intervals: tuple[Interval, ...] = ()


class Manifest(Payload):
    """Topic ``up/manifest``: hourly, soon after connecting, and after a request."""

    ts: Utc
    analysers: tuple[AnalyserManifest, ...] = ()


class Reconcile(Payload):
    """Topic ``down/reconcile``: what the management system misses of one store and analyser."""

    model_config = ConfigDict(strict=True)

    store: Store
    analyser: Analyser
    last_filed: Annotated[int, Field(ge=0, le=_HIGHEST)]  # the highest number it has filed; 0: none
    gaps: Annotated[tuple[Span, ...], Field(max_length=MOST_ASKED)] = ()  # ascending, apart from each other

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        numbers = [number for span in self.gaps for number in span]
        if any(a > b for a, b in pairwise(numbers)) or self._touch():
            raise ValueError("gaps are not ascending and apart from each other")
        if sum(last - first + 1 for first, last in self.gaps) > MOST_ASKED:
            raise ValueError(f"gaps name more than {MOST_ASKED} numbers")
        return self

    def _touch(self) -> bool:
        return any(before[1] >= after[0] for before, after in pairwise(self.gaps))

    def spans(self, above: int, to: int) -> Iterator[Numbers]:
        """The gaps, or parts of them, with numbers above ``above`` up to ``to``."""
        for first, last in self.gaps:
            if last > above and first <= to:
                yield max(first, above + 1), min(last, to)


class Sweep:
    """Which intervals to speak of: the newest, and one older, further back each time until the oldest is reached."""

    def __init__(self) -> None:
        self._next: dict[tuple[str, str], int] = {}

    def spans(self, head: Head) -> list[Numbers]:
        if head.oldest is None:
            return []
        newest = max(head.oldest, head.last - WIDTH + 1)
        key = head.identity, head.analyser
        last = min(self._next.get(key, newest - 1), newest - 1)
        if last < head.oldest:
            last = newest - 1
        first = max(head.oldest, last - WIDTH + 1)
        self._next[key] = first - 1
        return [(newest, head.last), *([(first, last)] if first <= last else [])]


def of_analyser(head: Head, read: Iterable[tuple[Numbers, Sequence[Line]]], last_filed: int | None) -> AnalyserManifest:
    return AnalyserManifest(
        store=head.identity,
        analyser=head.analyser,
        oldest=head.oldest,
        last=head.last,
        last_filed=last_filed,
        intervals=tuple(interval for numbers, lines in read for interval in _intervals(numbers, lines)),
    )


def _intervals(numbers: Numbers, lines: Sequence[Line]) -> Iterator[Interval]:
    filed = [line for line in lines if line.filed]
    for route in dict.fromkeys(line.route for line in filed):
        counted = [line for line in filed if line.route is route]
        known = {line.sequence for line in counted}
        yield Interval(
            route=route.value,
            first=numbers[0],
            last=numbers[1],
            count=len(counted),
            digest=digest(counted),
            not_counted=tuple(spans_of(n for n in range(numbers[0], numbers[1] + 1) if n not in known)),
        )


def digest(lines: Iterable[Line]) -> str:
    """Of messages in the order of their numbers."""
    sha = hashlib.sha256()
    for line in lines:
        sha.update(f"{line.sequence} {line.id} {line.digest}\n".encode())
    return sha.hexdigest()
