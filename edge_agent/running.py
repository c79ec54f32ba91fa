"""The parts of the running agent that follow the configuration, and their way from one generation to the next.

Promised: what did not change is not touched; an analyser that is removed or changed stores the end of what it was
sending before anything of it is replaced; a conversion under way is finished as it was begun, the next one goes by the
new reader. What a removed analyser had stored is still read and delivered as it was configured last, until a restart.
Not promised: going back. Everything that can be wrong is found before ``become``.
"""

from dataclasses import dataclass
from datetime import timedelta

from edge_agent.converter import Reader
from edge_agent.generation import Generation
from edge_agent.links import Line, Links
from edge_agent.metrics.port import MetricsPort
from edge_agent.monitor.housekeeping import Housekeeping
from edge_agent.monitor.presence import Presence
from edge_agent.pins import Pinned
from edge_agent.publisher.publisher import Publisher
from edge_agent.watch import Watch


@dataclass(frozen=True, slots=True)
class Changes:
    """What a reload did; analysers by id."""

    started: tuple[str, ...] = ()
    stopped: tuple[str, ...] = ()
    restarted: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    reread: tuple[str, ...] = ()  # of those kept: their results are read by other settings from now on
    connection: bool = False  # to the broker: made anew

    @classmethod
    def between(cls, old: Generation, new: Generation) -> "Changes":
        before, after = _by_analyser(old.lines()), _by_analyser(new.lines())
        kept = tuple(name for name in after if before.get(name) == after[name])
        readers, known = new.readers(), old.readers()
        one, other = old.configuration, new.configuration
        return cls(
            started=tuple(name for name in after if name not in before),
            stopped=tuple(name for name in before if name not in after),
            restarted=tuple(name for name in after if name in before and name not in kept),
            kept=kept,
            reread=tuple(name for name in kept if not _same(readers[name], known[name])),
            connection=(one.options, one.credentials) != (other.options, other.credentials),
        )


class Running:
    def __init__(
        self,
        generation: Generation,
        identity: str,
        links: Links,
        watch: Watch,
        publisher: Publisher,
        presence: Presence,
        housekeeping: Housekeeping,
        metrics: MetricsPort,
        readers: dict[str, Reader],
        pins: dict[str, Pinned],
    ) -> None:
        """``readers`` and ``pins`` are live: whoever holds them sees them change, all at once."""
        self.generation = generation
        self._identity = identity
        self._links = links
        self._watch = watch
        self._publisher = publisher
        self._presence = presence
        self._housekeeping = housekeeping
        self._metrics = metrics
        self._readers = readers
        self._pins = pins

    async def become(self, new: Generation) -> Changes:
        """Returns when it is so; a new connection to the broker may still be under way. Raises nothing foreseen."""
        changes = Changes.between(self.generation, new)
        lines = new.lines()
        self._housekeeping.retention = timedelta(days=new.settings.store.retention_days)
        await self._links.stop(lines)
        self._readers.update(new.readers())
        self._pins.update(new.pins)
        self._links.start(lines)
        self.generation = new
        await self._watch.change(self._links.links, new.usual_gaps(), new.hours())
        self._metrics.use(new)
        self._presence.set_info(new.info(self._identity))
        await self._watch.look()
        if changes.connection:
            await self._publisher.use(new.configuration.options)
        else:
            self._publisher.resume()  # what kept it from the broker may have been put right elsewhere
        return changes


def _by_analyser(lines: list[Line]) -> dict[str, list[Line]]:
    found: dict[str, list[Line]] = {}
    for line in lines:
        found.setdefault(line.analyser, []).append(line)
    return found


def _same(one: Reader, other: Reader) -> bool:
    return one.device.hash == other.device.hash and one.policy == other.policy
