"""The configuration read anew while the agent runs.

Promised: a file that is wrong, or that needs a restart, changes nothing, is said with every mistake, and stands as an
alarm until a good one is loaded; what is loaded is loaded whole; two at the same moment go one after the other; who
asked is in the audit trail before anything changes; should a defect leave it half done, the agent ends and starts by
the new file. Not promised: noticing a file by itself; somebody asks, by
``edge-agent reload`` or SIGHUP.
"""

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge_agent.control import Answer, user
from edge_agent.errors import AgentError, ConfigurationError
from edge_agent.generation import Configuration, Generation
from edge_agent.monitor.alarms import Alarms
from edge_agent.running import Changes, Running
from edge_agent.store.store import Store
from edge_agent.store.thread import StoreThread

log = logging.getLogger(__name__)

BY_SIGNAL = "SIGHUP"
# What a defect raises while the file is only read: nothing was changed, so the agent goes on as it was.
_DEFECTS = (ArithmeticError, AssertionError, AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError)


class RestartNeededError(AgentError):
    """The file is right, and cannot be used by an agent that runs."""

    def __init__(self, keys: str) -> None:
        super().__init__(
            f"Nothing was loaded: another {keys} needs a restart.",
            code="restart-needed",
            action="Restart the agent, or put the old value back and reload.",
        )
        self.keys = keys


class Reload:
    def __init__(self, path: Path, running: Running, store: StoreThread, alarms: Alarms, asked: asyncio.Event) -> None:
        """``asked`` is set by whoever cannot wait for an answer: SIGHUP."""
        self._path = path
        self._running = running
        self._store = store
        self._alarms = alarms
        self._one = asyncio.Lock()
        self._asked = asked
        self._closed = False
        self._half_way = False
        self._said: tuple[str, ...] = ()

    def answers(self) -> Mapping[str, Answer]:
        return {"reload": self.answer}

    async def answer(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """The name may come from a directory service, so it is not looked up in the event loop."""
        return await self.reload(await asyncio.to_thread(user, int(request["uid"])))

    async def reload(self, who: str) -> Mapping[str, Any]:
        """Load the file; what was done. Raises ConfigurationError, AgentError; then nothing was."""
        async with self._one:
            if self._closed:
                raise AgentError("The agent is stopping.", code="stopping", action="It reads the file when it starts.")
            new = await self._read()
            await asyncio.wrap_future(self._store.later(lambda s: _enter(s, new, who)))
            changes = await self._become(new)
            self._alarms.clear("configuration")
            self._said = ()
            log.info("Reloaded for %s: %s", who, _sentence(changes))
            return _told(new, changes)

    async def run(self) -> None:
        """Follow signals until cancelled. Several that come during one reload are one."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            if self._half_way:
                raise RuntimeError("A reload ended half way. The next start loads the file whole.")
            try:
                await self.reload(BY_SIGNAL)
            except AgentError as error:
                self._say(error)

    async def close(self) -> None:
        """Returns when the one under way is done; there is no other."""
        async with self._one:
            self._closed = True

    async def _become(self, new: Generation) -> Changes:
        """A defect on the way leaves parts of two configurations: whoever asked is told, and ``run`` ends the agent."""
        self._half_way = True
        try:
            changes = await self._running.become(new)
            self._half_way = False
        finally:
            if self._half_way:
                self._asked.set()
        return changes

    async def _read(self) -> Generation:
        try:
            configuration = await asyncio.to_thread(Configuration.read, self._path)
            self._refuse_restart(configuration)
            return await asyncio.to_thread(Generation.of, configuration)
        except AgentError as error:
            self._alarms.raise_("configuration", reason=_reason(error))
            raise
        except _DEFECTS as error:
            self._alarms.raise_("configuration", reason=f"the agent cannot read it ({type(error).__name__})")
            raise _unreadable(error) from error

    def _refuse_restart(self, new: Configuration) -> None:
        """One state of the whole file, or the old one: never a part of it."""
        old = self._running.generation.configuration
        keys = [key for key in ("site", "gateway") if _agent(new, key) != _agent(old, key)]
        keys += ["data_dir"] if new.data_dir != old.data_dir else []
        if keys:
            raise RestartNeededError(" and ".join(keys))

    def _say(self, error: AgentError) -> None:
        """To nobody but the log; the same mistakes once."""
        problems = error.problems if isinstance(error, ConfigurationError) else ()
        lines = (error.sentence, *map(str, problems))
        if lines != self._said:
            self._said = lines
            log.error("Asked by %s to reload: %s", BY_SIGNAL, " ".join(lines))


def _enter(store: Store, new: Generation, who: str) -> None:
    """On record, and the store's own limits, in one job: it is all of a reload that can be refused by then."""
    store.audit("reload", {"who": who, "config": new.configuration.hash})
    limits = new.settings.store
    store.limit_disk(reserve_mb=limits.reserve_mb, low_water_mb=limits.low_water_mb)


def _unreadable(error: Exception) -> AgentError:
    return AgentError(
        f"The configuration cannot be read, and why cannot be told ({type(error).__name__}). Nothing was loaded.",
        code="internal",
        action="Put the old file back and reload; report the new one, without its passwords.",
    )


def _agent(configuration: Configuration, key: str) -> str:
    return str(getattr(configuration.settings.agent, key))


def _reason(error: AgentError) -> str:
    if isinstance(error, ConfigurationError):
        first = error.problems[0].line
        count = len(error.problems)
        return f"it has {count} mistake{'s' if count > 1 else ''}" + (f", the first in line {first}" if first else "")
    if isinstance(error, RestartNeededError):
        return f"another {error.keys} needs a restart"
    return error.sentence.rstrip(".")


def _sentence(changes: Changes) -> str:
    counts = {
        "started": changes.started,
        "stopped": changes.stopped,
        "restarted": changes.restarted,
        "kept": changes.kept,
    }
    analysers = ", ".join(f"{len(names)} {word}" for word, names in counts.items() if names) or "none"
    return f"analysers {analysers}; connection to the broker {_broker(changes)}."


def _broker(changes: Changes) -> str:
    return "new" if changes.connection else "kept"


def _told(new: Generation, changes: Changes) -> dict[str, Any]:
    return {
        "sentence": f"The configuration is loaded: {_sentence(changes)}",
        "config": str(new.configuration.path),
        "config_hash": new.configuration.hash,
        "started": list(changes.started),
        "stopped": list(changes.stopped),
        "restarted": list(changes.restarted),
        "kept": list(changes.kept),
        "reread": list(changes.reread),
        "broker": _broker(changes),
    }
