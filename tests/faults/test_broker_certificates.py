"""A certificate ends while analysers send, and is renewed: nothing is lost, and the agent needs nobody for it."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from end_to_end.lab import GATEWAY, until
from faults.broker_lab import PATIENCE_S, BrokerLab, broker_lab, lost_by_resets
from faults.outcomes_file import Outcomes
from support_broker import Authority

pytestmark = [pytest.mark.broker, pytest.mark.slow]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[BrokerLab]:
    with broker_lab(tmp_path_factory.mktemp("tls"), authority=authority) as lab:
        yield lab


def reason(lab: BrokerLab) -> str:
    return str(lab.agent.ask("status")["broker"]["reason"])


def test_a_gateway_whose_certificate_ends(lab: BrokerLab, authority: Authority, outcomes: Outcomes) -> None:
    """A connection that stands goes on with it; the next is refused. The files are replaced, as a renewal does."""

    def fault() -> None:
        authority.issue(GATEWAY, lasts=timedelta(seconds=-1))
        lab.something_filed()
        lab.line.reset()
        lab.comes("broker-down")
        until(lambda: "certificate" in reason(lab), 20, "the certificate is named")
        authority.issue(GATEWAY)
        lab.something_filed()

    lab.tried(outcomes, "the gateway's certificate ends and is renewed", 20, fault)


@pytest.mark.every(2)
def test_a_broker_whose_certificate_ends(lab: BrokerLab, authority: Authority, outcomes: Outcomes) -> None:
    def fault() -> None:
        lab.central.go_offline()  # it would refuse the broker, too
        authority.issue("broker", lasts=timedelta(seconds=-1))
        lab.broker.restart()
        until(lambda: "certificate" in reason(lab), PATIENCE_S, "the agent refuses the broker")
        lab.comes("broker-down")
        authority.issue("broker")
        lab.broker.restart()
        lab.central.go_online()
        lab.something_filed()

    lab.tried(outcomes, "the broker's certificate ends and is renewed", 20, fault)


@pytest.mark.every(3)
def test_the_same_count_finds_what_is_lost_where_nothing_is_sent_twice(
    tmp_path_factory: pytest.TempPathFactory, authority: Authority, outcomes: Outcomes
) -> None:
    with broker_lab(tmp_path_factory.mktemp("control"), authority=authority, defect="file-unanswered") as lab:
        lost, verdict = lost_by_resets(lab)
    assert lost > 0, verdict.table()
    outcomes.control_of_all("filed without an answer", f"{lost} of {verdict.acknowledged} lost")
