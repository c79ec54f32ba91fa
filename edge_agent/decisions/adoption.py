"""A person puts another profile in the place of the one an analyser's results are read by, and back.

Promised: nothing changes before the person has named the profile by its hash and said why; then the decision is in the
audit trail, the old profile in the history and the new pin on the disk, in this order, before anything is read by it;
a crash leaves the old pin or the new one, whole. What was sent stays as it was sent. Not promised: that a result which
the analyser sends again is recognised when the new profile reads it otherwise; how many would not be is counted before.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from drivers.sdk import Device
from edge_agent.clock import Clock
from edge_agent.control import Answer
from edge_agent.converter import Reader
from edge_agent.decisions.configured import configured
from edge_agent.decisions.person import needed_note, who_asks
from edge_agent.decisions.profile_difference import Difference, Touches, profile_differences
from edge_agent.decisions.reading_difference import Outcome, Pair, Reading, pairs, read
from edge_agent.decisions.recent import last_received, later
from edge_agent.decisions.taking_effect import Reload, take_into_use
from edge_agent.errors import AgentError
from edge_agent.pin_history import Change, Former, former_pins
from edge_agent.pins import replace_pin
from edge_agent.states import ItemState
from edge_agent.store.rows import Group, ObservationKey, Transmission
from edge_agent.store.store import Store
from edge_agent.store.thread import StoreThread
from edge_agent.times import rfc3339

log = logging.getLogger(__name__)

Plain = dict[str, Any]

MOST_LAST = 200
LEAST_HASH = 12  # characters of it that a person has to give
_MOST_LISTED = 1000
_KEYS_AT_A_TIME = 500  # looked up in one job: a few milliseconds
_WAITING = (ItemState.HELD, ItemState.FAILED)


@dataclass(frozen=True, slots=True)
class Choice:
    """The profile in use and the one to be used instead."""

    analyser: str
    old: Reader
    new: Reader
    former: Former | None = None  # set when it goes back to one of the history

    def facts(self) -> Plain:
        return {
            "analyser": self.analyser,
            "profile": self.new.device.name,
            "old": _device(self.old.device),
            "new": _device(self.new.device),
            "former": _former(self.former) if self.former else None,
        }


@dataclass(slots=True)
class Effect:
    """What the last transmissions would have become."""

    transmissions: int = 0
    results: int = 0
    different: int = 0
    again: int = 0  # were sent, and would not be recognised if the analyser sent them again
    stuck: int = 0  # transmissions with something held whose sent part is read otherwise: they could not be released
    what: Counter[str] = field(default_factory=Counter)
    listed: list[Plain] = field(default_factory=list)

    def plain(self) -> Plain:
        return {
            "transmissions": self.transmissions,
            "results": self.results,
            "different": self.different,
            "what": dict(self.what.most_common()),
            "list": self.listed[:_MOST_LISTED],
            "sent_again": self.again,
            "stuck": self.stuck,
        }


class Adoption:
    def __init__(self, config: Path, folder: Path, store: StoreThread, clock: Clock, reload: Reload) -> None:
        """``folder`` holds the pins. ``reload(who)`` takes what lies on the disk into use."""
        self._config = config
        self._folder = folder
        self._store = store
        self._clock = clock
        self._reload = reload
        self._one_at_a_time = asyncio.Lock()

    def answers(self) -> Mapping[str, Answer]:
        return {"profile": self.profile, "profile-compare": self.compare, "profile-adopt": self.adopt}

    async def profile(self, request: Mapping[str, Any]) -> Plain:
        """The profile in use, the one installed, and those before."""
        analyser = str(request.get("analyser"))
        return await asyncio.to_thread(self._shown, analyser)

    async def compare(self, request: Mapping[str, Any]) -> Plain:
        """What would change, in the profile and for the last transmissions. Nothing is applied."""
        last = request.get("last")
        if not isinstance(last, int) or not 0 < last <= MOST_LAST:
            raise AgentError(f"1 to {MOST_LAST} transmissions are compared.", code="usage", action="Change --last.")
        choice = await asyncio.to_thread(self._choice, str(request.get("analyser")), request.get("back") is True)
        differences = profile_differences(choice.old.device.profile, choice.new.device.profile)
        effect = await self._effect(choice, last)
        return {
            **choice.facts(),
            "changes": [_change(d) for d in differences],
            "link": any(d.touches is Touches.LINK for d in differences),
            "identity": [d.path for d in differences if d.touches is Touches.IDENTITY],
            "effect": effect.plain(),
            "waiting": await self._waiting(choice.analyser),
        }

    async def adopt(self, request: Mapping[str, Any]) -> Plain:
        """Pin the profile whose hash the person names, and take it into use."""
        note, named = needed_note(request), str(request.get("hash") or "").lower()
        who = await who_asks(request)
        async with self._one_at_a_time:
            choice = await asyncio.to_thread(self._choice, str(request.get("analyser")), request.get("back") is True)
            old, new = choice.old.device, choice.new.device
            if len(named) < LEAST_HASH or not new.hash.startswith(named):
                raise _another(choice.analyser)
            await later(self._store, _deciding(choice, who, note))
            change = Change(rfc3339(self._clock.now()), who, note)
            try:
                await asyncio.to_thread(replace_pin, self._folder, choice.analyser, old, new, change)
            except OSError as error:
                raise _unwritten(choice.analyser, error.strerror or "") from error
            log.info("%s: profile %s is pinned in the place of %s.", choice.analyser, new.hash[:12], old.hash[:12])
            reloaded = await take_into_use(self._reload, who)
        return {**choice.facts(), "reloaded": reloaded, "waiting": await self._waiting(choice.analyser)}

    async def _waiting(self, analyser: str) -> int:
        """Results of the analyser that are held or failed."""
        counts = await later(self._store, lambda s: s.counts())
        return counts.held.get(analyser, 0) + counts.failed.get(analyser, 0)

    def _shown(self, analyser: str) -> Plain:
        found = configured(self._config, analyser)
        old = found.pin(self._folder)
        return {
            "analyser": analyser,
            "profile": old.name,
            "pinned": _device(old),
            "installed": _device(found.installed),
            "former": [_former(former) for former in reversed(former_pins(self._folder, analyser))],
        }

    def _choice(self, analyser: str, back: bool) -> Choice:
        """Reads files. Raises AgentError where there is nothing to choose."""
        found = configured(self._config, analyser)
        old = found.pin(self._folder)
        former = self._before(analyser, old) if back else None
        new = former.device if former else found.installed
        if new.hash == old.hash:
            raise AgentError(
                f"{analyser} is read by the installed profile already.",
                code="nothing-to-adopt",
                action="None; if devices.d was to change something, look at it with `edge-agent device list`.",
            )
        return Choice(analyser, found.reader(old), found.reader(new), former)

    def _before(self, analyser: str, old: Device) -> Former:
        """What was used last before; an entry that a crash left without its change equals the pin and is passed by."""
        for former in reversed(former_pins(self._folder, analyser)):
            if former.device.name == old.name and former.device.hash != old.hash:
                return former
        raise AgentError(
            f"{analyser} had no other profile before.",
            code="nothing-to-adopt",
            action="See which there are with `edge-agent profile show`.",
        )

    async def _effect(self, choice: Choice, last: int) -> Effect:
        effect = Effect()
        async for transmission in last_received(self._store, choice.analyser, last):
            old, new = await asyncio.to_thread(_both, transmission, choice)
            stored = await later(self._store, _groups(transmission.id))
            await self._count(effect, transmission, old, new, stored)
        return effect

    async def _count(
        self, effect: Effect, transmission: Transmission, old: Reading, new: Reading, stored: Sequence[Group]
    ) -> None:
        found = pairs(old, new)
        effect.transmissions += 1
        effect.results += len(found)
        if old.whole != new.whole:
            _list(effect, transmission, Outcome("", "", {}, None, False), (("as a whole", old.whole, new.whole),))
        for pair in found:
            if changes := pair.changes():
                effect.different += 1
                outcome = pair.old or pair.new
                assert outcome is not None
                _list(effect, transmission, outcome, changes)
        effect.again += await self._unrecognised(transmission.source.analyser, found)
        sent = {o.key for group in stored for o in group.observations if o.message_id}
        waits = any(o.state in _WAITING for group in stored for o in group.observations)
        effect.stuck += waits and not sent <= {o.key for o in new.outcomes.values()}

    async def _unrecognised(self, analyser: str, found: Sequence[Pair]) -> int:
        """Observations that a message carried, and that under the new profile would be new ones."""
        moved = [
            (pair.old.key, pair.new.key)
            for pair in found
            if pair.old
            and pair.old.key
            and pair.new
            and pair.new.key
            and pair.new.free
            and pair.old.key != pair.new.key
        ]
        if not moved:
            return 0
        keys = tuple(dict.fromkeys(key for both in moved for key in both))
        known: set[ObservationKey] = set()
        for start in range(0, len(keys), _KEYS_AT_A_TIME):
            known |= await later(self._store, _lookup(analyser, keys[start : start + _KEYS_AT_A_TIME]))
        return sum(old in known and new not in known for old, new in moved)


def _both(transmission: Transmission, choice: Choice) -> tuple[Reading, Reading]:
    """In a thread: a transmission may take long to read, and analysers are served meanwhile."""
    return read(transmission, choice.old), read(transmission, choice.new)


def _groups(number: int) -> Callable[[Store], list[Group]]:
    return lambda s: s.groups(number)


def _lookup(analyser: str, keys: Sequence[ObservationKey]) -> Callable[[Store], set[ObservationKey]]:
    return lambda s: set(s.lookup(analyser, keys))


def _list(
    effect: Effect, transmission: Transmission, outcome: Outcome, changes: Sequence[tuple[str, str, str]]
) -> None:
    effect.what.update(what for what, _, _ in changes)
    if len(effect.listed) < _MOST_LISTED:
        effect.listed.append(
            {
                "transmission": transmission.id,
                "specimen": outcome.specimen,
                "code": outcome.code,
                "changes": [{"what": what, "old": old, "new": new} for what, old, new in changes],
            }
        )


def _deciding(choice: Choice, who: str, note: str) -> Callable[[Store], None]:
    facts = {
        "analyser": choice.analyser,
        "profile": choice.new.device.name,
        "from": choice.old.device.hash,
        "to": choice.new.device.hash,
        "revision": str(choice.new.device.profile.revision),
        "who": who,
        "note": note,
    }
    return lambda s: s.audit("profile-put-back" if choice.former else "profile-adopted", facts)


def _device(device: Device) -> Plain:
    return {"hash": device.hash, "revision": device.profile.revision, "grade": device.profile.grade}


def _former(former: Former) -> Plain:
    change = former.change
    return {**_device(former.device), "until": change.at, "who": change.who, "note": change.note}


def _change(difference: Difference) -> Plain:
    return {"key": difference.path, "old": difference.old, "new": difference.new, "touches": difference.touches.value}


def _another(analyser: str) -> AgentError:
    return AgentError(
        f"The profile to be used for {analyser} is not the one that was shown.",
        code="another-profile",
        action="Look at it again with `edge-agent profile adopt`, and give the hash that is shown then.",
    )


def _unwritten(analyser: str, why: str) -> AgentError:
    return AgentError(
        f"The profile of {analyser} could not be written: {why}. The one before stays in use.",
        code="pin",
        action="Check the disk and the owner of the data directory, then adopt it again.",
    )
