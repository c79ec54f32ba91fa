"""The topic table: every topic of the contract with the management system, in one place.

Documentation and the broker's access list are made from it. Nothing under ``up/`` or ``down/`` is ever retained, and
no level ever carries anything of a patient.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from edge_agent.store.rows import Route

HEALTH_EXPIRY_S = 180
MANIFEST_EXPIRY_S = 3600  # the next one says more; a queue of old ones would take the place of results
_WEEK_S = 7 * 86_400


class Writer(StrEnum):
    GATEWAY = "gateway"
    CENTRAL = "central"
    BOTH = "both"  # only echo: the gateway writes to itself


@dataclass(frozen=True, slots=True)
class TopicRow:
    """One line. ``pattern`` hangs under {prefix}/{site}/{gateway}/; braces stand for exactly one level."""

    pattern: str
    writer: Writer
    payload: str
    retained: bool = False
    expiry_s: int = 0  # 0 = never expires
    note: str = ""
    reads_back: bool = False  # the gateway reads what it holds there itself: to clear it, or to notice a namesake


ACK = "down/ack/{consumer}"
_G, _C = Writer.GATEWAY, Writer.CENTRAL

TOPICS: tuple[TopicRow, ...] = (
    TopicRow("state", _G, "JSON", True, 0, "starting, ready, degraded, stopping, offline; the will says lost", True),
    TopicRow("info", _G, "JSON", True, note="versions, profiles and their revisions, hash of the configuration"),
    TopicRow("health", _G, "JSON", True, HEALTH_EXPIRY_S, "every 60 s"),
    TopicRow("alarm/{id}", _G, "JSON", True, note="an empty payload clears", reads_back=True),
    TopicRow("analyser/{analyser}/state", _G, "JSON", True, note="one analyser's link", reads_back=True),
    TopicRow("up/{analyser}/result", _G, "HL7 ER7", note="patient results"),
    TopicRow("up/{analyser}/qc", _G, "HL7 ER7", note="control results"),
    TopicRow("up/{analyser}/validation", _G, "HL7 ER7", note="results of an analyser not yet in production"),
    TopicRow("up/{analyser}/query", _G, "HL7 QBP^Q11", note="a host query the gateway could not answer"),
    TopicRow("up/{analyser}/order-reply", _G, "HL7 ORL^O34 or ACK"),
    TopicRow("up/manifest", _G, "JSON", False, MANIFEST_EXPIRY_S, "what was confirmed; hourly, for reconciliation"),
    TopicRow("up/event", _G, "JSON", note="audit facts without patient data"),
    TopicRow("up/command-reply/{name}", _G, "JSON"),
    TopicRow(ACK, _C, "HL7 ACK", note="closes messages of that consumer's routes"),
    TopicRow("down/reconcile", _C, "JSON", False, _WEEK_S, "what the management system misses"),
    TopicRow("down/echo", Writer.BOTH, "nonce", note="proves a subscription"),
    TopicRow("down/order/{analyser}", _C, "HL7 OML^O33", note="acknowledged after it is stored; also order/any"),
    TopicRow("down/reply/{analyser}", _C, "HL7 RSP^K11 or OML^O33"),
    TopicRow("down/command/{name}", _C, "JSON", False, 60, "only commands the site enabled"),
)

CENTRAL_STATE = (
    "_central/{consumer}/{instance}/state"  # under {prefix}/; JSON {online, timestamp}, retained, and a will
)


@dataclass(frozen=True, slots=True)
class Topics:
    """The table's names for one gateway."""

    prefix: str
    site: str
    gateway: str

    @property
    def root(self) -> str:
        return f"{self.prefix}/{self.site}/{self.gateway}/"

    @property
    def state(self) -> str:
        return self.root + "state"

    @property
    def echo(self) -> str:
        return self.root + "down/echo"

    @property
    def reconcile(self) -> str:
        return self.root + "down/reconcile"

    def own(self, name: str) -> str:
        """A topic of ours by its name under the root, such as "health" or "alarm/storage"."""
        return self.root + name

    def up(self, analyser: str, route: Route) -> str:
        return f"{self.root}up/{analyser}/{route}"

    def ack(self, consumer: str) -> str:
        return f"{self.root}down/ack/{consumer}"

    def acking_consumer(self, topic: str) -> str | None:
        """Whose acknowledgement comes on ``topic``; None when it is not an acknowledgement topic of ours."""
        start = self.root + "down/ack/"
        name = topic.removeprefix(start)
        return name if topic.startswith(start) and name and "/" not in name else None

    def is_down(self, topic: str) -> bool:
        return topic.startswith(self.root + "down/")

    def own_name(self, topic: str) -> str | None:
        """The name under the root of one of our retained topics, else None."""
        name = topic.removeprefix(self.root)
        return name if topic.startswith(self.root) and not name.startswith(("up/", "down/")) else None

    def central_states(self, consumer: str) -> str:
        """The filter for every instance of a management system."""
        return f"{self.prefix}/_central/{consumer}/+/state"

    def central_instance(self, topic: str) -> tuple[str, str] | None:
        """(consumer, instance) of a management system's STATE topic."""
        start = f"{self.prefix}/_central/"
        levels = topic.removeprefix(start).split("/")
        if not topic.startswith(start) or len(levels) != 3 or levels[2] != "state":
            return None
        return levels[0], levels[1]

    def wanted(self, consumers: Collection[str], *, answered: bool) -> list[tuple[str, bool]]:
        """What to subscribe, and whether what the broker retains of it is wanted. ``answered``: by applications."""
        found = [(self.echo, False)]
        if answered:
            found += [(topic, False) for topic in (*map(self.ack, consumers), self.reconcile)]
        found += [(self.central_states(name), True) for name in consumers]
        return found + [(topic, True) for topic in self.read_back()]

    def read_back(self) -> tuple[str, ...]:
        """Filters of our own retained topics that we read ourselves."""
        return tuple(self.root + _wildcard(row.pattern) for row in TOPICS if row.reads_back)


# The access list as shipped: the management system, and a system that gets control results alone.
CONSUMERS: Mapping[str, Collection[Route]] = {"ivd": tuple(Route), "qc-system": (Route.QC,)}


def access_list(prefix: str, consumers: Mapping[str, Collection[Route]] = CONSUMERS) -> str:
    """A Mosquitto access list for every gateway (user name = gateway id), the consumers, and monitoring."""
    parts = [
        _gateway_rules(prefix),
        *(_consumer_rules(prefix, name, routes) for name, routes in consumers.items()),
        _noc_rules(prefix),
    ]
    return "\n\n".join("\n".join(rules) for rules in parts) + "\n"


def _gateway_rules(prefix: str) -> Iterator[str]:
    yield "# gateways: %u is the user name, or the certificate's CN with use_identity_as_username true"
    for row in TOPICS:
        right = {Writer.GATEWAY: "write", Writer.CENTRAL: "read", Writer.BOTH: "readwrite"}[row.writer]
        right = "readwrite" if row.reads_back else right
        yield f"pattern {right} {prefix}/+/%u/{_wildcard(row.pattern)}"
    yield f"pattern read {prefix}/{_wildcard(CENTRAL_STATE)}"


def _consumer_rules(prefix: str, consumer: str, routes: Collection[Route]) -> Iterator[str]:
    everything = set(routes) == set(Route)
    task = "reads all, writes answers" if everything else f"reads {', '.join(routes)} results, writes receipts"
    yield f"# the management system {consumer!r}: {task} and its own state"
    yield f"user {consumer}"
    for row in TOPICS:
        if row.writer is Writer.GATEWAY and (everything or row.retained or row.pattern in _part(routes)):
            yield f"topic read {prefix}/+/+/{_wildcard(row.pattern)}"
        elif row.pattern == ACK:
            yield f"topic write {prefix}/+/+/{row.pattern.replace('{consumer}', consumer)}"
        elif row.writer is Writer.CENTRAL and everything:
            yield f"topic write {prefix}/+/+/{_wildcard(row.pattern)}"
    yield f"topic readwrite {prefix}/_central/{consumer}/+/state"
    yield _no_gateway(prefix, consumer)


def _part(routes: Collection[Route]) -> set[str]:
    return {"up/manifest", *(f"up/{{analyser}}/{route}" for route in routes)}


def _noc_rules(prefix: str) -> Iterator[str]:
    yield "# monitoring staff: no results"
    yield "user noc"
    for row in TOPICS:
        if row.retained:
            yield f"topic read {prefix}/+/+/{_wildcard(row.pattern)}"
    yield _no_gateway(prefix, "noc")


def _no_gateway(prefix: str, user: str) -> str:
    """Patterns hold for every user: without this a system could send results as a gateway of its own name."""
    return f"topic deny {prefix}/+/{user}/up/#"


def _wildcard(pattern: str) -> str:
    return "/".join("+" if level.startswith("{") else level for level in pattern.split("/"))
