"""The targets, row by row, the benchmark that measures each, and what is said where one is not met."""

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks import decode, filing, hl7_build, outbox_size, receive, slow_disk, starting, waiting
from benchmarks.kit import Finding, Size
from benchmarks.why import WHY


@dataclass(frozen=True)
class Row:
    """One promise about speed or size. ``why``: where the time goes, shown only where the target was missed."""

    name: str
    what: str
    target: str
    why: str


ROWS = (
    Row(
        "decode",
        "LIS01 + LIS02 decode, messages of 30 records, any chunking",
        "at most 1.5x the reference decoder's time",
        WHY["decode"],
    ),
    Row(
        "hl7",
        "build one OUL^R22 with 24 OBX",
        "at most 2x list-and-join",
        "It was met when this was written: profile it.",
    ),
    Row(
        "receive",
        "receive path, every frame durable, 64 links flat out",
        "at least 0.6x the same build with storing off",
        WHY["receive"],
    ),
    Row(
        "cpu",
        "agent CPU per message of 24 results, first byte to filed, 64 links busy",
        "at most 4 ms",
        WHY["cpu"],
    ),
    Row(
        "wait",
        "an analyser's wait for an ACK, 64 links x 110 frames/s",
        "p99 at most 20 ms, p99.9 at most 100 ms",
        WHY["wait"],
    ),
    Row(
        "filed",
        "wire to filed through Mosquitto and an answering management system, on the same cores",
        "at least 200 msg/s",
        WHY["filed"],
    ),
    Row("drain", "drain of a backlog alone", "at least 1,000 msg/s", WHY["drain"]),
    Row(
        "slow-disk",
        "a disk that takes 5 ms per sync, 64 links",
        "group commit at least 5x single commits",
        "It was met when this was written: profile it.",
    ),
    Row("rows", "outbox operations at 1,000 and 1,000,000 rows", "ratio at most 1.3", WHY["rows"]),
    Row(
        "start",
        "start to first open port, empty store (with about 1 GB stored: reported)",
        "at most 0.5 s",
        WHY["start"],
    ),
    Row("memory", "idle memory", "at most 45 MiB without the page, 60 MiB with", WHY["memory"]),
    Row(
        "idle",
        "analysers that say nothing, a broker that is away",
        "no polling: under 0.2 % of a core",
        "It was met when this was written: profile it.",
    ),
)

# Each measures one row or several at once, in this order.
BENCHMARKS: dict[str, Callable[[Size], list[Finding]]] = {
    "decode": decode.measure,
    "hl7": hl7_build.measure,
    "receive": receive.measure,
    "waiting": waiting.measure,
    "filing": filing.measure,
    "drain": filing.measure_drain,
    "slow-disk": slow_disk.measure,
    "rows": outbox_size.measure,
    "start": starting.measure,
    "idle": starting.measure_idle,
}
