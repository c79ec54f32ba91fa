"""Where Prometheus reads the figures: GET /metrics over plain HTTP, one answer per connection.

Imported only where the configuration asks for it, because it needs ``prometheus_client``. Promised: a reader that is
slow, silent or one too many costs nobody else anything. Not promised: secrecy; there is no password, so it belongs on
this machine's own address or inside a trusted network.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from edge_agent.histogram import Histogram
from edge_agent.metrics.gather import Sample
from edge_agent.metrics.table import TABLE, Metric

log = logging.getLogger(__name__)

AGAIN_S = 60.0
PATIENCE_S = 5.0
MOST_READERS = 8
_LONGEST_REQUEST = 8192


class Endpoint:
    def __init__(self, address: tuple[str, int], gather: Callable[[], Awaitable[Sequence[Sample]]]) -> None:
        self._host, self._port = address
        self._gather = gather
        self._readers = 0

    async def run(self) -> None:
        """Answer until cancelled. A port that is taken is tried again: results do not depend on it."""
        said = False
        while True:
            try:
                server = await asyncio.start_server(self._serve, self._host, self._port, limit=_LONGEST_REQUEST)
            except OSError as error:
                if not said:
                    reason = error.strerror or "it cannot be opened"
                    log.error("Metrics cannot be read at %s:%d: %s. Trying again.", self._host, self._port, reason)
                said = True
                await asyncio.sleep(AGAIN_S)
            else:
                async with server:
                    await server.serve_forever()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._readers += 1
        try:
            if self._readers <= MOST_READERS:
                async with asyncio.timeout(PATIENCE_S):
                    request = await reader.readuntil(b"\r\n\r\n")
                    writer.write(await self._answer(request))
                    await writer.drain()
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            pass  # it went away, or never said what it wanted
        finally:
            self._readers -= 1
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(self, request: bytes) -> bytes:
        method, _, rest = request.partition(b" ")
        path = rest.partition(b" ")[0].partition(b"?")[0]
        if path != b"/metrics":
            return _reply("404 Not Found", b"The figures are at /metrics.\n")
        if method != b"GET":
            return _reply("405 Method Not Allowed", b"Only GET.\n")
        return _reply("200 OK", text(await self._gather()), CONTENT_TYPE_LATEST)


def _reply(status: str, body: bytes, content_type: str = "text/plain; charset=utf-8") -> bytes:
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode("ascii") + body


class _Now:
    """What a registry collects: figures gathered before."""

    def __init__(self, families: Sequence[Family]) -> None:
        self._families = families

    def collect(self) -> Iterable[Family]:
        return self._families


def text(samples: Sequence[Sample]) -> bytes:
    """The exposition format of the figures and of this process."""
    registry = CollectorRegistry()
    registry.register(_Now([_family(metric, samples) for metric in TABLE if metric.name.startswith("edge_agent_")]))
    ProcessCollector(registry=registry)
    return generate_latest(registry)


def _family(metric: Metric, samples: Sequence[Sample]) -> Family:
    mine = [sample for sample in samples if sample.name == metric.name]
    if metric.kind == "histogram":
        return _histogram(metric, mine)
    made = GaugeMetricFamily if metric.kind == "gauge" else CounterMetricFamily
    family: GaugeMetricFamily | CounterMetricFamily = made(metric.name, metric.help, labels=metric.labels)
    for sample in mine:
        assert not isinstance(sample.value, Histogram)
        family.add_metric(sample.labels, float(sample.value))
    return family


def _histogram(metric: Metric, samples: Sequence[Sample]) -> Family:
    family = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
    for sample in samples:
        assert isinstance(sample.value, Histogram)
        buckets = [(_bound(bound), float(count)) for bound, count in sample.value.buckets()]
        family.add_metric(sample.labels, buckets, sample.value.sum)
    return family


def _bound(bound: float) -> str:
    return "+Inf" if bound == float("inf") else repr(bound)
