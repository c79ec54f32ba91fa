"""A broker, agents and management systems for one test each."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support_broker import Broker, running
from support_byte_broker import TAKEN, Desk, MakeDesk
from support_byte_broker import Broker as ByteBroker
from support_delivery import ACK_TIMEOUT_S, Rig, Steps
from support_publisher import Agent, Central, MakeAgent, MakeCentral
from support_whole_publisher import MakeWhole, Whole

from edge_agent.store.store import Store


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


@pytest.fixture(scope="session")
def new_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store nothing has come into. To make one takes longer than most of what is done with it."""
    folder = tmp_path_factory.mktemp("new") / "data"
    Store.open(folder, Steps(), reserve_mb=0, low_water_mb=0, allow_unsafe=True).close()
    return folder


@pytest.fixture
def make_whole(tmp_path: Path, new_store: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeWhole]:
    made: list[Whole] = []

    def make(**options: Any) -> Whole:
        folder = tmp_path / f"whole-{len(made)}"
        shutil.copytree(new_store, folder)
        made.append(Whole(folder, monkeypatch, **options))
        return made[-1]

    yield make
    for whole in made:
        whole.end()


@pytest.fixture
def whole(make_whole: MakeWhole) -> Whole:
    return make_whole()


@pytest.fixture
def make_desk() -> Iterator[MakeDesk]:
    made: list[Desk] = []

    def make(connack: bytes = TAKEN, **options: Any) -> Desk:
        made.append(Desk(ByteBroker(connack), **options))
        return made[-1]

    yield make
    for desk in made:
        desk.end()


@pytest.fixture
def data(tmp_path: Path, new_store: Path) -> Path:
    """A data directory with a store nothing has come into."""
    folder = tmp_path / "data"
    shutil.copytree(new_store, folder)
    return folder


@pytest.fixture
def rig(data: Path) -> Iterator[Rig]:
    """Eight slots: four kept for what is received since the connection came up, two at most for what goes again."""
    made = Rig(data, ack_timeout_s=ACK_TIMEOUT_S, unfiled=8)
    yield made
    made.end()
