"""The management system is killed between taking a result off the broker and filing it: nothing is lost or doubled."""

from collections.abc import Iterator

import pytest
from faults.broker_lab import BrokerLab, broker_lab
from faults.mortal_central import POINTS, CentralProcess
from faults.outcomes_file import RANDOM, Outcomes
from faults.scale import chance, many

from simulators.oracle import Verdict

SCENARIO = "management system killed"
pytestmark = [pytest.mark.broker, pytest.mark.slow]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerLab]:
    folder = tmp_path_factory.mktemp("mortal")
    with broker_lab(folder, central=lambda url: CentralProcess(url, folder / "central.db")) as lab:
        yield lab


def test_a_management_system_that_is_killed_between_receiving_and_filing(lab: BrokerLab, outcomes: Outcomes) -> None:
    kills = many(sample=4, full=100)
    outcomes.verdict(SCENARIO, RANDOM, kills, killed(lab, kills))


def killed(lab: BrokerLab, kills: int) -> Verdict:
    central, moments = lab.central, chance(SCENARIO)
    assert isinstance(central, CentralProcess)

    def work() -> None:
        for number in range(kills):
            central.kill()
            central.start(POINTS[number % len(POINTS)], moments.randrange(1, 20))
            central.dies()
        central.start()
        lab.something_filed()

    return lab.judged(SCENARIO, work)


@pytest.mark.every(2)
def test_the_same_count_finds_what_is_lost_where_the_brokers_word_is_enough(
    tmp_path_factory: pytest.TempPathFactory, outcomes: Outcomes
) -> None:
    folder = tmp_path_factory.mktemp("control")
    made = broker_lab(folder, central=lambda url: CentralProcess(url, folder / "central.db"), defect="puback-files")
    with made as lab:
        verdict = killed(lab, 4)
    lost = len(verdict.of("lost"))
    assert lost > 0, verdict.table()
    outcomes.control_of_all("PUBACK taken for filed", f"{lost} of {verdict.acknowledged} lost")
