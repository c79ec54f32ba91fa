"""Where every message that has left the outbox's queue for the broker is right now.

Pure book-keeping: no message is on the board that the store does not know, and nothing here decides anything.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from random import Random

from edge_agent.clock import Clock
from edge_agent.publisher.options import Confirm, MqttOptions
from edge_agent.publisher.pauses import Pauses
from edge_agent.publisher.retries import Retries, Waiting
from edge_agent.publisher.tally import Tally
from edge_agent.publisher.window import Window
from edge_agent.states import MessageState
from edge_agent.store.rows import Route


@dataclass(slots=True)
class Sent:
    """A message that holds a slot: published, its answer not yet seen."""

    entry: Waiting  # what its next try will be
    outlet: "Outlet"
    analyser: str
    topic: str
    state: MessageState  # in the store, as far as we know
    at: float = 0.0  # monotonic, when it was published


@dataclass(slots=True)
class Outlet:
    """One management system."""

    name: str
    window: Window
    retries: Retries
    fresh_since: datetime | None = None  # results queued before are backlog


class Board:
    def __init__(self, options: MqttOptions, clock: Clock, rng: Random) -> None:
        self._options = options
        self.tally = Tally()
        self.pauses = Pauses(options.retry_max_s, clock, rng)
        slots = options.unfiled if options.confirm is Confirm.APPLICATION else options.window
        self.outlets: Mapping[str, Outlet] = {
            name: Outlet(
                name,
                Window(slots, options.ack_timeout_s, clock),
                Retries(options.retry_max_s, clock, rng),
            )
            for name in options.consumer_names
        }
        self.flights: dict[int, str] = {}  # packet id -> message whose PUBACK is not yet seen
        self.sent: dict[str, Sent] = {}
        self.refused: set[str] = set()  # queued in the store; their next try is in ``retries``
        self.parked: dict[str, str] = {}  # queued in the store; their consumer cannot take them: message -> consumer

    def outlet(self, route: Route) -> Outlet:
        return self.outlets[self._options.consumers[route]]

    def in_flight(self, message: str) -> bool:
        return message in self.flights.values()

    def give_back(self, message: str) -> Sent | None:
        """Its slot is free again."""
        sent = self.sent.pop(message, None)
        if sent is not None:
            sent.outlet.window.give_back(message)
        return sent

    def close(self, message: str) -> None:
        """Nothing is waited for any more: filed, blocked, set aside."""
        self.give_back(message)
        for outlet in self.outlets.values():
            outlet.retries.remove(message)
        self.pauses.forget(message)
        self.refused.discard(message)
        self.parked.pop(message, None)

    def held_back(self) -> set[str]:
        """Messages the store would hand out that must not be handed out now."""
        return {*self.flights.values(), *self.refused, *self.parked, *self.pauses.ids(), *self.sent}
