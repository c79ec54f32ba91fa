"""Three days without a broker, in virtual time: then everything that waited goes out once, the oldest first."""

from itertools import pairwise

import pytest
from faults.defective import newest_first
from faults.outcomes_file import RANDOM, Outcome, Outcomes
from faults.scale import many, seed
from faults.simulation.laboratory import Laboratory

from edge_agent.store.connection import Database
from simulators.oracle import Verdict

HOURS = 72
AWAY = "no broker for 72 hours, the power gone once meanwhile, in virtual time"


def away(hourly: int, hours: int = HOURS) -> tuple[Verdict, float]:
    """Each analyser has so many results an hour. Also the share that came before an older one, as a STAT may."""
    lab = Laboratory(seed())
    lab.management.say(online=True)
    lab.wait(1)
    lab.broker.stop(forgets=True)
    for hour in range(hours):
        for analyser in lab.analysers.values():
            for _ in range(hourly):
                analyser.measure()
        lab.wait(3600)
        if hour == hours // 2:
            lab.power_cut()
    lab.look()
    assert not list(lab.management.ledger.filings())
    verdict = lab.end()
    ids = dict.fromkeys(f.msh10 for f in lab.management.ledger.filings() if f.analyser == "xn1")
    lab.close()
    return verdict, sum(later < earlier for earlier, later in pairwise(ids)) / len(ids)


@pytest.mark.every(3)
def test_what_waited_for_three_days_is_filed_once_and_in_order(outcomes: Outcomes) -> None:
    hourly = many(sample=1, full=30)
    verdict, overtaken = away(hourly)
    assert verdict.acknowledged >= HOURS * 2 * hourly
    assert verdict.flawless, verdict.table()
    assert overtaken < 0.2
    outcomes.add(Outcome(AWAY, RANDOM, 1, acknowledged=verdict.acknowledged))


@pytest.mark.every(3)
def test_the_count_finds_what_goes_newest_first(outcomes: Outcomes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Database, "rows", Database.rows)  # put back afterwards
    newest_first()
    _, overtaken = away(1, hours=20)
    assert overtaken > 0.3
    outcomes.control(AWAY, "newest first", f"{overtaken:.0%} before an older one")
