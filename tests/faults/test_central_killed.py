"""The management system is killed between taking a result off the broker and filing it: nothing is lost or doubled."""

from collections.abc import Iterator

import pytest
from faults.broker_lab import BrokerLab, broker_lab
from faults.mortal_central import POINTS, CentralProcess
from faults.outcomes_file import RANDOM, Outcomes
from faults.scale import chance, many

pytestmark = [pytest.mark.broker, pytest.mark.slow]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerLab]:
    folder = tmp_path_factory.mktemp("mortal")
    with broker_lab(folder, central=lambda url: CentralProcess(url, folder / "central.db")) as lab:
        yield lab


def test_a_management_system_that_is_killed_between_receiving_and_filing(lab: BrokerLab, outcomes: Outcomes) -> None:
    scenario, kills, moments = "management system killed", many(sample=4, full=100), chance("central killed")
    central = lab.central
    assert isinstance(central, CentralProcess)

    def work() -> None:
        for number in range(kills):
            central.kill()
            central.start(POINTS[number % len(POINTS)], moments.randrange(1, 20))
            central.dies()
        central.start()
        lab.something_filed()

    outcomes.verdict(scenario, RANDOM, kills, lab.judged(scenario, work))
