"""A connection that is gone takes nothing, also while messages go one at a time."""

from random import Random
from types import SimpleNamespace

import pytest

from edge_agent.clock import SystemClock
from edge_agent.monitor.alarms import Alarms
from edge_agent.monitor.payloads import Info
from edge_agent.monitor.presence import Presence
from edge_agent.publisher.link import Link
from edge_agent.publisher.options import MqttOptions
from edge_agent.publisher.poison import Suspicion
from edge_agent.publisher.proof import Proof


@pytest.mark.parametrize("suspected", [False, True])
@pytest.mark.parametrize(("left", "pending", "room"), [(0, 0, 0), (16, 0, 1), (15, 1, 0)])
def test_the_room_of_a_link_is_never_more_than_its_connections(
    suspected: bool, left: int, pending: int, room: int
) -> None:
    clock, rng, suspicion = SystemClock(), Random(1), Suspicion()
    alarms = Alarms(clock)
    presence = Presence("0", alarms, Info(version="0", site="s", gateway="g"))
    options = MqttOptions(("mqtt://b",), "s", "g")
    link = Link(options, presence, alarms, suspicion, Proof(clock, rng), clock, rng, lambda event: None, lambda: None)
    link.up, link._connection = True, SimpleNamespace(room=left, pending=pending)  # type: ignore[assignment]
    if suspected:
        suspicion.disconnected(["m1", "m2"], None, network=False)
    assert link.room == (room if suspected else left)
