"""What delivery has done since the start, in numbers."""

from dataclasses import dataclass, field

from edge_agent.histogram import Histogram

# A management system that files at once answers in milliseconds; at 60 s the slot is given back.
FILING_BOUNDS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


@dataclass(slots=True)
class Tally:
    published: int = 0  # handed to the broker, each try
    taken: int = 0  # PUBACK below 0x80
    refused: int = 0  # PUBACK of 0x80 and above
    filed: int = 0
    rejected: int = 0
    unanswered: int = 0  # no answer of the management system within the time limit
    filing: Histogram = field(default_factory=lambda: Histogram(FILING_BOUNDS_S))  # from publishing to "filed"
