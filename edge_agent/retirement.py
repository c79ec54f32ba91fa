"""Taking the gateway out of service: no more results in, nothing of it left at the broker, the directory marked.

Promised: while anything is unfiled, held or unread nothing is done unless a person said to abandon it, with a note; the
broker's retained topics are gone and its session has ended before the directory is marked; the audit chain says who
and why. From a stop on nothing more is acknowledged until the end of it, or it does not come to its end: what came in
behind a last backup would not be in that, nor have the same id on another PC. Results are not deleted here. Not
promised: that a broker that is away forgets anything; then only a person who abandons goes on, and is told what stays
there.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from edge_agent.clock import Clock
from edge_agent.control import Answer, user
from edge_agent.errors import AgentError
from edge_agent.publisher.publisher import Publisher
from edge_agent.states import OPEN_MESSAGE_STATES
from edge_agent.store import figures
from edge_agent.store.decommission import mark
from edge_agent.store.errors import DirectoryError, NoteRequiredError, StoreError
from edge_agent.store.store import Store
from edge_agent.store.thread import StoreThread
from edge_agent.times import rfc3339

log = logging.getLogger(__name__)

T = TypeVar("T")
Plain = dict[str, Any]

QUIET_S = 10.0
REFUSES_S = 1800.0  # long enough for a large backup
_NOT_WAITED_FOR = ("interrupted",)  # what came of it went out; the rest only the analyser can send
_LOOK_S = 0.1
_ANSWER_S = 0.2  # for the answer to go out before the agent ends
_LONGEST_NOTE = 500


class Retirement:
    def __init__(
        self,
        data_dir: Path,
        gateway: str,
        store: StoreThread,
        publisher: Publisher,
        clock: Clock,
        end: Callable[[], None],
    ) -> None:
        """``end`` stops the agent."""
        self._refuses_until = clock.monotonic()
        self._stops = 0
        self._data_dir = data_dir
        self._gateway = gateway
        self._store = store
        self._publisher = publisher
        self._clock = clock
        self._end = end

    @property
    def refusing(self) -> bool:
        """Whether analysers are told to wait. Ends by itself: the command may die before it could take it back."""
        return self._clock.monotonic() < self._refuses_until

    def _refuse_for(self, seconds: float) -> None:
        self._refuses_until = self._clock.monotonic() + seconds

    def answers(self) -> Mapping[str, Answer]:
        return {"decommission-plan": self.plan, "decommission-stop": self.stop, "decommission": self.decommission}

    async def plan(self, request: Mapping[str, Any]) -> Plain:
        """What waits, and what the broker holds."""
        return {
            "gateway": self._gateway,
            "data_dir": str(self._data_dir),
            "connected": self._publisher.status().connected,
            "topics": self._publisher.retained(),
            "waiting": await self._waiting(),
        }

    async def stop(self, request: Mapping[str, Any]) -> Plain:
        """Take nothing more from analysers; ``undo``: take again. Raises AgentError while anything waits.

        ``copy``: a backup comes next. The newest stop's number is in force: a command that was overtaken by another
        cannot have analysers served while that one makes its backup.
        """
        if request.get("undo") is True:
            if request.get("stop") == self._stops:
                self._take_back()
            return {}
        log.warning("Analysers are refused: this gateway is being taken out of service.")
        self._stops += 1
        number = self._stops
        self._refuse_for(REFUSES_S)
        await self._quiet()
        try:
            waiting = await self._refuse(request)
            if request.get("copy") is True and waiting["unread"]:
                raise _incomplete(waiting["unread"])
        except AgentError:
            if number == self._stops:
                self._take_back()
            raise
        return {"stop": number}

    async def decommission(self, request: Mapping[str, Any]) -> Plain:
        """The end of it. Raises AgentError; then the agent goes on as before."""
        if not self.refusing or request.get("stop") != self._stops:
            raise AgentError(
                "Analysers were served again meanwhile, or another command has begun the same.",
                code="decommission-waiting",
                action="Nothing was done; start it again. Where a backup takes too long, make it before: --no-backup.",
            )
        who, note = await asyncio.to_thread(user, int(request["uid"])), _note(request)
        waiting = await self._refuse(request)
        cleared = await self._publisher.retire()
        if not cleared and request.get("abandon") is not True:
            self._take_back()
            raise AgentError(
                "The broker cannot be reached, so this gateway's topics would stay there for ever.",
                code="decommission-broker",
                action="Try again when it is back; or leave them there with --abandon and a note.",
            )
        facts = {"who": who, "note": note, "cleared": str(cleared).lower(), **{k: str(v) for k, v in waiting.items()}}
        try:
            await self._do(lambda s: s.audit("decommissioned", facts))
            mark(self._data_dir, {"gateway": self._gateway, "at": rfc3339(self._clock.now()), "who": who, "note": note})
        except (StoreError, OSError) as error:
            self._take_back()
            raise DirectoryError("the mark that it is out of service cannot be written") from error
        asyncio.get_running_loop().call_later(_ANSWER_S, self._end)
        return {"cleared": cleared, "topics": [] if cleared else self._publisher.retained()}

    def _take_back(self) -> None:
        if self.refusing:
            log.warning("Analysers are served again.")
        self._refuse_for(0.0)
        self._publisher.unretire()

    async def _refuse(self, request: Mapping[str, Any]) -> Mapping[str, int]:
        waiting = await self._waiting()
        if any(count for what, count in waiting.items() if what not in _NOT_WAITED_FOR):
            if request.get("abandon") is not True:
                raise AgentError(
                    f"Not everything is filed: {said(waiting)}.",
                    code="decommission-waiting",
                    action="Wait, or decide on it (`edge-agent queue`); or give it up with --abandon and a note.",
                )
            if not _note(request):
                raise NoteRequiredError
        return waiting

    async def _quiet(self) -> None:
        """Until what came is read, or a while."""
        for _ in range(int(QUIET_S / _LOOK_S)):
            if not (await self._waiting())["unread"]:
                return
            await asyncio.sleep(_LOOK_S)

    async def _waiting(self) -> Mapping[str, int]:
        return await self._do(_count)

    def _do(self, job: Callable[[Store], T]) -> Awaitable[T]:
        return asyncio.wrap_future(self._store.later(job))


def _count(store: Store) -> Mapping[str, int]:
    counts = store.counts()
    return {
        "unfiled": sum(counts.messages.get(state, 0) for state in OPEN_MESSAGE_STATES),
        "held": sum(counts.held.values()),
        "failed": sum(counts.failed.values()),
        "unread": figures.unread(store.database),
        "interrupted": sum(counts.interrupted.values()),
    }


def _incomplete(unread: int) -> AgentError:
    return AgentError(
        f"{unread} transmissions are still coming in or being read, and a backup made now would not have all of them.",
        code="decommission-waiting",
        action="Wait for their end and start it again; or give them up with --no-backup, --abandon and a note.",
    )


def said(waiting: Mapping[str, int]) -> str:
    """``2 unfiled, 1 held``."""
    return ", ".join(f"{count} {what}" for what, count in waiting.items() if count) or "nothing"


def _note(request: Mapping[str, Any]) -> str:
    return str(request.get("note") or "").strip()[:_LONGEST_NOTE]
