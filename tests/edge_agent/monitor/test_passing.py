"""What happened once is over when it has not happened again for a while."""

from datetime import UTC, datetime, timedelta

from edge_agent.monitor.alarms import Alarms
from edge_agent.monitor.passing import Passing


class Steps:
    """A clock moved by hand; its wall clock stands still."""

    seconds = 0.0

    def now(self) -> datetime:
        return datetime(2024, 3, 1, tzinfo=UTC)

    def monotonic(self) -> float:
        return self.seconds


def test_each_time_it_happens_the_while_begins_anew() -> None:
    clock = Steps()
    alarms = Alarms(clock)
    passing = Passing(alarms, clock, timedelta(hours=24))
    passing.happened("unknown-test", "an1", test="GLU")
    passing.happened("query-unanswered", "an2")
    clock.seconds = 23 * 3600
    passing.happened("unknown-test", "an1", test="NA")
    clock.seconds = 24 * 3600
    passing.expire()
    assert [(a.code, a.params) for a in alarms.active()] == [("unknown-test", {"test": "NA"})]
    clock.seconds = 47 * 3600
    passing.expire()
    assert alarms.active() == []
