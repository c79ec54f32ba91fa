"""The publisher as `status` shows it."""

from dataclasses import dataclass
from datetime import datetime

from edge_agent.publisher.proof import Proven


@dataclass(frozen=True, slots=True)
class PublisherStatus:
    """For people: what is connected, and why nothing moves if nothing moves."""

    connected: bool
    url: str
    since: datetime | None
    reason: str  # why there is no connection
    proven: Proven
    gates: dict[str, datetime | None]  # consumer -> offline since; None = open
    in_flight: int  # published, PUBACK not yet seen
    unanswered: int  # slots held
    weakness: str
