"""A small fleet: presence, each result filed once, and who is gone is seen. `make fleet` has a large one."""

from pathlib import Path

import pytest
from end_to_end.example_consumer import consumer
from end_to_end.lab import until
from fleet.parts import broker_config, gateways
from fleet.run import faults
from fleet.trial import Size, trial
from support_broker import HOST, Broker, running

pytestmark = [pytest.mark.broker, pytest.mark.slow]


def test_every_gateway_is_present_filed_once_and_missed_when_it_is_gone(tmp_path: Path) -> None:
    size = Size(gateways=50, agents=1, keepalive_s=1, will_delay_s=0, ack_timeout_s=2)
    outcome = trial(tmp_path, size)
    assert outcome.present == size.results
    assert (outcome.filed, outcome.specimens) == (size.results, size.results)
    assert outcome.killed_at > 0
    assert [one.who for one in outcome.losses] == ["gw-00048", "agent-0", "gw-00049"]
    assert [f for f in faults(size, outcome) if "filed" in f] == []


def test_consumers_that_share_a_subscription_and_not_a_database_file_a_result_twice(tmp_path: Path) -> None:
    """The negative control of counting: what the contract warns of happens, and is seen."""
    with (
        running(Broker(tmp_path / "broker", config=broker_config(4))) as broker,
        consumer(HOST, broker.port, tmp_path / "a.sqlite", "a", "fleet") as one,
        consumer(HOST, broker.port, tmp_path / "b.sqlite", "b", "fleet") as other,
        gateways(broker.url, tmp_path, gateways=4, ack_timeout=0.3) as fleet,
    ):
        one.start(killed_instead_of_answer=1)
        until(lambda: one.ended() == -9, what="killed between filing and answering")
        other.start()
        until(lambda: fleet.has_said("filed"), what="all filed, as far as gateways can tell")
        ids = [*(row[0] for row in one.filed()), *(row[0] for row in other.filed())]
        assert len(ids) > len(set(ids)) == 4
