"""The figures of this moment, from the same facts as `status`: one job for the store, and only when asked."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from edge_agent.certificate_file import UnreadableCertificateError, certificates
from edge_agent.histogram import Histogram
from edge_agent.link import Link, by_analyser
from edge_agent.questions import Questions
from edge_agent.states import ItemState
from edge_agent.store.errors import StoreError
from edge_agent.store.rows import Counts
from edge_agent.store.store import Store
from edge_agent.times import newest

STATES = ("starting", "ready", "degraded", "stopping")
_MB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Sample:
    """``labels`` in the order of the table."""

    name: str
    value: float | Histogram
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Stored:
    counts: Counts
    waiting: Mapping[tuple[str, ItemState, str], int]
    free_mb: int
    audit_entries: int


async def gather(of: Questions, cert_file: Path | None) -> list[Sample]:
    return [
        *_agent(of),
        *(sample for name, links in by_analyser(of.links).items() for sample in _analyser(of, name, links)),
        *_delivery(of, cert_file),
        *await _store(of),
    ]


def _agent(of: Questions) -> Iterator[Sample]:
    where = of.settings.agent
    yield Sample("edge_agent_info", 1, (of.version, where.site, where.gateway))
    now = of.presence.state("", of.started).state
    yield from (Sample("edge_agent_state", state == now, (state,)) for state in STATES)
    up = Counter(alarm.code for alarm in of.alarms.active())
    yield from (Sample("edge_agent_alarms", count, (code,)) for code, count in up.items())


def _analyser(of: Questions, name: str, links: Sequence[Link]) -> Iterator[Sample]:
    statuses = [link.status() for link in links]
    told = of.presence.analyser(name)
    last_result = newest(s.last_result for s in statuses) or (told.last_result if told else None)
    figures: dict[str, float | None] = {
        "link_up": all(s.up for s in statuses),
        "connections": sum(len(s.connections) for s in statuses),
        "last_byte_timestamp_seconds": _timestamp(newest(s.last_byte for s in statuses)),
        "last_result_timestamp_seconds": _timestamp(last_result),
        "usual_gap_seconds": told.usual_gap_s if told else None,
        "clock_ahead_seconds": told.clock_ahead_s if told else None,
        "received_bytes_total": sum(s.bytes for s in statuses),
        "received_frames_total": sum(s.frames for s in statuses),
        "received_messages_total": sum(s.messages for s in statuses),
        "refused_frames_total": sum(s.refused for s in statuses),
    }
    yield from (Sample(f"edge_agent_{key}", value, (name,)) for key, value in figures.items() if value is not None)


def _delivery(of: Questions, cert_file: Path | None) -> Iterator[Sample]:
    status, tally = of.publisher.status(), of.publisher.tally
    yield Sample("edge_agent_broker_connected", status.connected)
    yield Sample("edge_agent_unanswered", status.unanswered)
    yield Sample("edge_agent_published_total", tally.published)
    yield Sample("edge_agent_broker_taken_total", tally.taken)
    yield Sample("edge_agent_broker_refused_total", tally.refused)
    yield Sample("edge_agent_filed_total", tally.filed)
    yield Sample("edge_agent_rejected_total", tally.rejected)
    yield Sample("edge_agent_timed_out_total", tally.unanswered)
    yield Sample("edge_agent_filing_seconds", tally.filing)
    if (ends := _timestamp(_end(cert_file))) is not None:
        yield Sample("edge_agent_certificate_expiry_timestamp_seconds", ends)


def _end(cert_file: Path | None) -> datetime | None:
    try:
        return None if cert_file is None else certificates(cert_file.read_text(encoding="ascii"))[0].not_after
    except (OSError, UnicodeError, UnreadableCertificateError):
        return None


async def _store(of: Questions) -> list[Sample]:
    """While storage does not work, that it does not."""
    found = [Sample("edge_agent_commit_seconds", of.store.commits)]
    try:
        stored = await asyncio.wrap_future(of.store.later(_read))
    except StoreError:
        return [*found, Sample("edge_agent_store_ok", 0)]
    now, oldest = datetime.now(UTC), stored.counts.oldest_unfiled
    found += [Sample("edge_agent_messages", count, (state,)) for state, count in stored.counts.messages.items()]
    found += [
        Sample(f"edge_agent_{state}", count, (analyser, code))
        for (analyser, state, code), count in stored.waiting.items()
    ]
    return [
        *found,
        Sample("edge_agent_oldest_unfiled_seconds", max(0.0, (now - oldest).total_seconds()) if oldest else 0),
        Sample("edge_agent_disk_free_bytes", stored.free_mb * _MB),
        Sample("edge_agent_audit_entries", stored.audit_entries),
        Sample("edge_agent_store_ok", 1),
    ]


def _read(store: Store) -> _Stored:
    return _Stored(store.counts(), store.waiting_by_code(), store.disk_free_mb(), store.audit_head()[0])


def _timestamp(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()
