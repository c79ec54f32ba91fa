"""What the broker should hold about us: the set of retained topics that are true now.

Others put facts in (alarms, health, analyser states), the publisher brings them to the broker. Keeps the newest
payload per topic, so a flapping fact never grows a queue; names that went away stay as empty payloads until told.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Literal

from edge_agent.monitor.alarms import Alarm, Alarms
from edge_agent.monitor.payloads import AlarmState, AnalyserState, Health, Info, State

# Alarms under which the agent still runs, but not as it should: shown as ``degraded``.
DEGRADING = (
    "storage",
    "disk-low",
    "audit-broken",
    "subscription-unproven",
    "broker-refused",
    "no-subscriber",
    "consumer-offline",
    "unconfirmed",
    "clock-wrong",
)

Changed = Callable[[str, bytes], None]


class Presence:
    """Names are topics under our root: ``info``, ``health``, ``alarm/{id}``, ``analyser/{id}/state``."""

    def __init__(self, version: str, alarms: Alarms, info: Info) -> None:
        self._version = version
        self._alarms = alarms
        self._facts: dict[str, bytes] = {"info": info.encode()}
        self._analysers: dict[str, AnalyserState] = {}
        self._phase: Literal["starting", "running", "stopping"] = "starting"
        self.on_fact: Changed | None = None  # (name, payload); set by the publisher
        alarms.on_change = self._alarm_changed
        for alarm in alarms.active():
            self._alarm_changed(alarm, up=True)

    def set_health(self, health: Health) -> None:
        self._set("health", health.encode())

    def set_analyser(self, analyser: str, state: AnalyserState) -> None:
        self._analysers[analyser] = state
        self._set(f"analyser/{analyser}/state", state.encode())

    def analyser(self, analyser: str) -> AnalyserState | None:
        """What was last told of it."""
        return self._analysers.get(analyser)

    def forget_analyser(self, analyser: str) -> None:
        """It is configured no more."""
        self._remove(f"analyser/{analyser}/state")

    def set_info(self, info: Info) -> None:
        self._set("info", info.encode())

    def running(self) -> None:
        """Everything is built: from now on the state is ready or degraded."""
        self._phase = "running"

    def stopping(self) -> None:
        self._phase = "stopping"

    def facts(self) -> Mapping[str, bytes]:
        """Every name with its payload."""
        return dict(self._facts)

    def is_true(self, name: str) -> bool:
        return name in self._facts

    def state(self, session: str, now: datetime) -> State:
        if self._phase != "running":
            return State(state=self._phase, session=session, ts=now, version=self._version)
        reason = next((a.id for a in self._alarms.active() if a.code in DEGRADING), "")
        word: Literal["ready", "degraded"] = "degraded" if reason else "ready"
        return State(state=word, session=session, ts=now, version=self._version, reason=reason)

    def word(self, state: Literal["offline", "lost"], session: str, now: datetime, reason: str = "") -> State:
        """The last words: said by us at a clean stop, or by the broker as our will."""
        return State(state=state, session=session, ts=now, version=self._version, reason=reason)

    def _alarm_changed(self, alarm: Alarm, up: bool) -> None:
        name = f"alarm/{alarm.id}"
        if up:
            self._set(name, AlarmState.of(alarm).encode())
        else:
            self._remove(name)

    def _set(self, name: str, payload: bytes) -> None:
        if self._facts.get(name) != payload:
            self._facts[name] = payload
            self._tell(name, payload)

    def _remove(self, name: str) -> None:
        if self._facts.pop(name, None) is not None:
            self._tell(name, b"")

    def _tell(self, name: str, payload: bytes) -> None:
        if self.on_fact is not None:
            self.on_fact(name, payload)
