"""A person takes an analyser from validation into production, or back: the evidence before, the decision after.

The configuration file is the single truth and the command writes it, as the user who runs it; the agent shows what the
validation led to, writes down who decided and why before the file is changed, and takes the file into use.

Promised: nothing that was received in validation reaches the result route by this: a transmission carries the mode it
was received in, and a queued message its route. Not promised: that the evidence is enough; that is the person's to say.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

from drivers.sdk import Device
from edge_agent.control import Answer
from edge_agent.converter import Reader
from edge_agent.decisions.configured import Configured, configured
from edge_agent.decisions.person import needed_note, who_asks
from edge_agent.decisions.reading_difference import read
from edge_agent.decisions.recent import ended, last_received, later, spans
from edge_agent.decisions.taking_effect import Reload, take_into_use
from edge_agent.errors import AgentError
from edge_agent.states import ItemState, MessageState
from edge_agent.store.rows import Route
from edge_agent.store.store import Store
from edge_agent.store.tally import Span
from edge_agent.store.thread import StoreThread
from edge_agent.times import shown

Plain = dict[str, Any]

MODES = ("validation", "production")
_LAST = 100  # transmissions looked through for tests that the profile does not know
_HELD_AT_A_TIME = 50


class Promotion:
    def __init__(
        self, config: Path, folder: Path, store: StoreThread, readers: Mapping[str, Reader], reload: Reload
    ) -> None:
        """``folder`` holds the pins. ``reload(who)`` takes the configuration file into use."""
        self._config = config
        self._folder = folder
        self._store = store
        self._readers = readers
        self._reload = reload

    def answers(self) -> Mapping[str, Answer]:
        return {"mode": self.evidence, "mode-decided": self.decided, "mode-written": self.written}

    async def evidence(self, request: Mapping[str, Any]) -> Plain:
        """What is known of the analyser's time in validation, as far as the store goes back."""
        analyser = str(request.get("analyser"))
        found, pin = await asyncio.to_thread(self._found, analyser)
        running = self._readers.get(analyser)
        first, count = await self._in_validation(analyser)
        since = await later(self._store, lambda s: s.transmission(first).opened) if first else None
        messages = await self._messages(analyser)
        unknown, looked = await self._unknown(analyser, found.reader(pin))
        profile = pin.profile
        return {
            "analyser": analyser,
            "file": str(self._config.resolve()),
            "configured": found.analyser.mode,
            "running": running.policy.mode if running else "",
            "since": shown(since),
            "transmissions": count,
            "messages": {state.value: messages[state] for state in MessageState if messages[state]},
            "held": dict(await self._held(analyser)),
            "unknown_tests": list(unknown),
            "looked_through": looked,
            "profile": pin.name,
            "revision": profile.revision,
            "hash": pin.hash,
            "grade": profile.grade,
            "newer_profile": "" if found.installed.hash == pin.hash else found.installed.hash,
        }

    async def decided(self, request: Mapping[str, Any]) -> Plain:
        """Write the decision down; the file is changed after. Raises AgentError for one there is no need of."""
        note, analyser, mode = needed_note(request), str(request.get("analyser")), _mode(request)
        who = await who_asks(request)
        found, pin = await asyncio.to_thread(self._found, analyser)
        if found.analyser.mode == mode:
            raise AgentError(
                f"The configuration has {analyser} in {mode} already.",
                code="mode",
                action="None; where the agent does not run it so, `edge-agent reload`.",
            )
        facts = {
            "analyser": analyser,
            "from": found.analyser.mode,
            "to": mode,
            "profile": pin.name,
            "hash": pin.hash,
            "who": who,
            "note": note,
        }
        await later(self._store, lambda s: s.audit("mode-decided", facts))
        return {"analyser": analyser, "from": found.analyser.mode, "to": mode}

    async def written(self, request: Mapping[str, Any]) -> Plain:
        """The file was changed: take it into use."""
        return await take_into_use(self._reload, await who_asks(request))

    def _found(self, analyser: str) -> tuple[Configured, Device]:
        found = configured(self._config, analyser)
        return found, found.pin(self._folder)

    async def _in_validation(self, analyser: str) -> tuple[int, int]:
        """First transmission and number of them since the analyser was in production last; 0, 0 when it is."""
        first = count = 0
        async with aclosing(ended(self._store, analyser)) as found:
            async for number, mode in found:
                if mode != "validation":
                    break
                first, count = number, count + 1
        return first, count

    async def _messages(self, analyser: str) -> Counter[MessageState]:
        _, newest = await later(self._store, lambda s: s.newest())
        total = Counter[MessageState]()
        for span in spans(newest):
            total += await later(self._store, _sent_of(analyser, span))
        return total

    async def _held(self, analyser: str) -> Counter[str]:
        """Codes of what is held or failed now, each with its number of results."""
        numbers = await later(self._store, lambda s: s.held_transmissions(analyser=analyser))
        total = Counter[str]()
        for start in range(0, len(numbers), _HELD_AT_A_TIME):
            some = numbers[start : start + _HELD_AT_A_TIME]
            total += await later(self._store, _held_of(analyser, (some[0], some[-1])))
        return total

    async def _unknown(self, analyser: str, reader: Reader) -> tuple[tuple[str, ...], int]:
        unknown: dict[str, None] = {}
        looked = 0
        async with aclosing(last_received(self._store, analyser, _LAST)) as found:
            async for transmission in found:
                looked += 1
                unknown |= dict.fromkeys((await asyncio.to_thread(read, transmission, reader)).unknown)
        return tuple(sorted(unknown)), looked


def _mode(request: Mapping[str, Any]) -> str:
    mode = str(request.get("mode"))
    if mode not in MODES:
        raise AgentError("There is no such mode.", code="usage", action="Update command and agent.")
    return mode


def _sent_of(analyser: str, span: Span) -> Callable[[Store], Counter[MessageState]]:
    return lambda s: s.sent_of(analyser, Route.VALIDATION, span)


def _held_of(analyser: str, span: Span) -> Callable[[Store], Counter[str]]:
    return lambda s: _codes(s, analyser, span)


def _codes(store: Store, analyser: str, span: Span) -> Counter[str]:
    codes = Counter[str]()
    for group in store.held(analyser=analyser, between=span, limit=_HELD_AT_A_TIME * 100):
        waiting = [o.hold for o in group.observations if o.state in (ItemState.HELD, ItemState.FAILED)]
        codes.update(waiting or [group.hold])
    return codes
