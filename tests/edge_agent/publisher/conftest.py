"""A broker, agents and management systems for one test each."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support_broker import Broker, running
from support_publisher import Agent, Central, MakeAgent, MakeCentral


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with running(Broker(tmp_path / "broker")) as one:
        yield one


@pytest.fixture
def make_agent(tmp_path: Path) -> Iterator[MakeAgent]:
    """Starts an agent on a data directory of its own; the same directory again after `stop`."""
    made: list[Agent] = []

    def make(broker: Broker, *, start: bool = True, data: str = "data", **options: Any) -> Agent:
        timing = {name: options.pop(name) for name in ("proof_timeout_s", "probe_s") if name in options}
        agent = Agent(tmp_path / data, broker, seed=len(made) + 1, **options)
        agent.timing = timing
        made.append(agent)
        return agent.start() if start else agent

    yield make
    for agent in made:
        if hasattr(agent, "loop") and not agent.loop.is_closed():
            agent.stop()


@pytest.fixture
def make_central() -> Iterator[MakeCentral]:
    made: list[Central] = []

    def make(broker: Broker, **how: Any) -> Central:
        central = Central(broker.port, **how)
        made.append(central)
        return central.start()

    yield make
    for central in made:
        central.stop()
