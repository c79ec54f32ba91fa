"""When a manifest goes and when it waits, and how long what a request led to stands; on a clock moved by hand."""

import json
from typing import Any

import pytest
from support_whole_publisher import MakeWhole, Owed, Whole

from edge_agent.monitor.payloads import AnalyserState
from edge_agent.publisher import reconcile
from edge_agent.publisher.events import Cause

HOUR, DAY = 3600.0, 86_400.0


def manifests(whole: Whole) -> int:
    """How many have gone, over all connections."""
    return sum(len(whole.said("up/manifest", on=one)) for one in whole.made)


def asks(whole: Whole, *gaps: tuple[int, int], last_filed: int = 0, pad: int = 0, **other: str) -> Owed:
    request = {"store": whole.store.identity, "analyser": "xn1", "last_filed": last_filed, "gaps": gaps, **other}
    return whole.comes("down/reconcile", json.dumps(request).encode() + b" " * pad)


def filed(whole: Whole, count: int) -> list[str]:
    messages = []
    for _ in range(count):
        messages.append(whole.at_broker())
        whole.ack(messages[-1])
    return messages


@pytest.fixture
def connected(whole: Whole) -> Whole:
    """The first manifest has gone just now."""
    whole.connect()
    whole.wait(2)
    whole.take_notes()
    assert manifests(whole) == 1
    return whole


def test_the_first_goes_two_seconds_after_the_broker_was_seen_to_deliver_and_then_one_an_hour(whole: Whole) -> None:
    whole.wait(100)
    whole.connect()
    whole.wait(1.9)
    assert manifests(whole) == 0
    whole.wait(0.1)
    assert manifests(whole) == 1
    whole.take_notes()
    whole.live(HOUR - 1)
    assert manifests(whole) == 1
    whole.live(1)
    assert manifests(whole) == 2


def test_it_is_a_word_of_the_moment_that_expires_after_an_hour(connected: Whole) -> None:
    (said,) = [one for one in connected.now.said if one.topic.endswith("up/manifest")]
    assert not said.retain
    assert said.properties.MessageExpiryInterval == 3600


def test_a_new_connection_brings_another_one_at_most_every_ten_minutes(connected: Whole) -> None:
    connected.wait(30)
    connected.ended(Cause.NETWORK)
    connected.wait(5)
    connected.connect()
    connected.wait(500)
    assert manifests(connected) == 1
    connected.wait(100)
    assert manifests(connected) == 2
    connected.wait(601)
    connected.ended(Cause.NETWORK)
    connected.wait(5)
    connected.connect()
    connected.wait(1.9)
    assert manifests(connected) == 2
    connected.wait(0.1)
    assert manifests(connected) == 3


def test_requests_that_bring_nothing_back_are_answered_ever_more_slowly(connected: Whole) -> None:
    """Two that disagree for ever must not talk for ever: 2 s after the one before, then 4, 8, ... up to an hour."""
    filed(connected, 1)
    for wait in (2, 4, 8, 16):
        count = manifests(connected)
        assert asks(connected, last_filed=1).acknowledged
        connected.wait(wait - 0.1)
        assert manifests(connected) == count
        connected.wait(0.1)
        assert manifests(connected) == count + 1
        connected.take_notes()


def test_a_request_that_comes_late_is_answered_at_once(connected: Whole) -> None:
    filed(connected, 1)
    connected.wait(100)
    asks(connected, last_filed=1)
    assert manifests(connected) == 2


def test_one_that_brings_something_back_is_answered_quickly_again_when_that_was_answered(connected: Whole) -> None:
    (message,) = filed(connected, 1)
    for _ in range(3):
        asks(connected, last_filed=1)
        connected.wait(20)
    connected.take_notes()
    count = manifests(connected)
    asks(connected, (1, 1), last_filed=0)
    assert connected.sent() == [message, message]
    connected.wait(10)
    assert manifests(connected) == count, "it would say what is not so yet"
    connected.puback(message)
    connected.ack(message)
    connected.wait(1)
    assert manifests(connected) == count + 1
    connected.take_notes()
    asks(connected, last_filed=1)
    connected.wait(4)
    assert manifests(connected) == count + 2, "twice the first wait, and not what it had grown to"


def test_what_was_brought_back_and_is_never_answered_holds_a_manifest_up_for_an_hour(connected: Whole) -> None:
    (message,) = filed(connected, 1)
    connected.wait(10)
    asks(connected, (1, 1))
    connected.puback(message)
    connected.live(HOUR - 20)
    assert manifests(connected) == 1
    connected.live(20)
    assert manifests(connected) == 2


def test_one_that_answers_nobody_does_not_wait_for_what_a_person_sent_again(connected: Whole) -> None:
    (message,) = filed(connected, 1)
    connected.live(601)
    connected.store.send_again(message, who="kim", note="lost there")
    connected.ended(Cause.NETWORK)
    connected.wait(5)
    connected.connect()
    connected.wait(2)
    assert manifests(connected) == 2


def test_it_waits_for_room(whole: Whole) -> None:
    whole.connect()
    message = whole.queue()
    whole.now.most = len(whole.now.flying)
    jobs = whole.lane.jobs
    whole.wait(30)
    assert manifests(whole) == 0
    assert whole.lane.jobs - jobs <= 2, "and asks nobody meanwhile"
    whole.puback(message)
    assert manifests(whole) == 1


def test_one_the_broker_forbids_is_tried_again_after_a_minute(whole: Whole) -> None:
    whole.connect()
    whole.wait(2)
    mid = next(one.mid for one in whole.now.said if one.topic.endswith("up/manifest"))
    whole.puback_mid(mid, 0x87)
    assert "broker-refused" in whole.codes()
    whole.wait(59)
    assert manifests(whole) == 1
    whole.wait(1)
    assert manifests(whole) == 2
    whole.take_notes()
    assert "broker-refused" not in whole.codes()


def test_storage_that_does_not_work_is_left_alone_for_a_minute(whole: Whole) -> None:
    whole.connect()
    whole.wait(1.9)
    whole.lane.failing = True
    whole.wait(0.1)
    whole.lane.failing = False
    assert whole.now.closed == [], "nothing was owed to anybody"
    whole.wait(59)
    assert manifests(whole) == 0
    whole.wait(1)
    assert manifests(whole) == 1


def test_nobody_is_told_while_all_management_systems_are_away(make_whole: MakeWhole) -> None:
    whole = make_whole()
    whole.connect()
    whole.consumer_says(False, at=1)
    whole.wait(30)
    assert manifests(whole) == 0
    whole.consumer_says(True, at=2)
    assert manifests(whole) == 1


@pytest.mark.parametrize("options", [{"confirm": "broker"}, {"version": "3.1.1"}])
def test_where_nothing_is_confirmed_or_numbered_there_is_none(make_whole: MakeWhole, options: dict[str, str]) -> None:
    whole = make_whole(**options)
    whole.connect()
    whole.wait(60)
    jobs = whole.lane.jobs
    whole.wait(30)
    assert manifests(whole) == 0
    assert whole.lane.jobs == jobs


def test_a_long_request_is_worked_through_in_portions(connected: Whole, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others wait for the store, too: three numbers at a time here, whatever the gaps are."""
    monkeypatch.setattr(reconcile, "_AT_A_TIME", 3)
    messages = filed(connected, 9)
    portions: list[list[tuple[int, int]]] = []
    real = connected.store.send_missing

    def noted(identity: str, analyser: str, spans: list[tuple[int, int]]) -> Any:
        portions.append(spans)
        return real(identity, analyser, spans)

    monkeypatch.setattr(connected.store, "send_missing", noted, raising=False)
    asks(connected, (1, 1), (3, 6), (8, 9))
    assert portions == [[(1, 1), (3, 4)], [(5, 6), (8, 8)], [(9, 9)]]
    again: list[str] = []
    while waits := [message for message in connected.sent()[9:] if message not in again]:
        again.append(waits[0])
        connected.puback(waits[0])
        connected.ack(waits[0])
    assert sorted(again) == sorted(m for n, m in enumerate(messages, 1) if n not in (2, 7))


@pytest.mark.parametrize(("length", "refused"), [(65_536, False), (65_537, True)])
def test_how_long_a_request_may_be(connected: Whole, length: int, refused: bool) -> None:
    filed(connected, 1)
    request = {"store": connected.store.identity, "analyser": "xn1", "last_filed": 1, "gaps": []}
    asks(connected, last_filed=1, pad=length - len(json.dumps(request)))
    assert ("reconcile-refused" in connected.codes()) is refused


@pytest.mark.parametrize(
    ("other", "gaps", "last_filed", "refused"),
    [
        ({}, [(2, 2)], 0, False),
        ({}, [(2, 3)], 0, True),  # 3 was never given
        ({}, [(2, 3)], 3, False),  # to us, but they say that they have it
        ({}, [(2, 4)], 3, True),
        ({"store": "ZZZZZZZZ"}, [], 2, True),
        ({"analyser": "an9"}, [], 2, True),
    ],
)
def test_what_a_request_may_ask_for(
    connected: Whole, other: dict[str, str], gaps: list[tuple[int, int]], last_filed: int, refused: bool
) -> None:
    filed(connected, 2)
    assert asks(connected, *gaps, last_filed=last_filed, **other).acknowledged, "or it would come for ever"
    assert ("reconcile-refused" in connected.codes()) is refused
    assert ("results-missing-after-restore" in connected.codes()) is (last_filed == 3 and not refused)


def test_an_analyser_that_is_there_and_has_sent_nothing_yet_may_be_asked_about(connected: Whole) -> None:
    """As a management system does after a restore: what it has of it is more than nothing."""
    state = AnalyserState(link="up", protocol="idle", since=connected.clock.now())
    connected.presence.set_analyser("an9", state)
    asks(connected, analyser="an9", last_filed=5)
    assert "reconcile-refused" not in connected.codes()
    alarm = next(a for a in connected.alarms.active() if a.code == "results-missing-after-restore")
    assert (alarm.analyser, alarm.params["last"], alarm.params["last_filed"]) == ("an9", "0", "5")


def test_what_the_management_system_has_and_we_do_not_is_alarmed_for_a_week_over_restarts(connected: Whole) -> None:
    filed(connected, 2)
    asks(connected, (4, 5), last_filed=6)
    alarm = next(a for a in connected.alarms.active() if a.code == "results-missing-after-restore")
    assert (alarm.analyser, alarm.params["last"], alarm.params["last_filed"], alarm.params["lacks"]) == (
        "xn1", "2", "6", "2",
    )  # fmt: skip
    connected.clock.seconds += 6 * DAY
    connected.wait(61)
    assert "results-missing-after-restore" in connected.codes()
    connected.publisher.stop()
    connected.wait(5)
    connected.begin()
    connected.connect()
    assert "results-missing-after-restore" in connected.codes()
    connected.clock.seconds += DAY
    connected.wait(61)
    assert "results-missing-after-restore" not in connected.codes()
    assert connected.store.ahead() == []


def test_it_stands_as_long_as_it_was_last_told(connected: Whole) -> None:
    filed(connected, 2)
    asks(connected, last_filed=6)
    connected.clock.seconds += 4 * DAY
    asks(connected, last_filed=7)
    connected.clock.seconds += 4 * DAY
    connected.wait(61)
    assert "results-missing-after-restore" in connected.codes()


def test_a_manifest_says_what_was_heard_of_numbers_we_never_gave(connected: Whole) -> None:
    filed(connected, 2)
    asks(connected, last_filed=6)
    connected.wait(10)
    (entry,) = json.loads(connected.said("up/manifest")[-1])["analysers"]
    assert (entry["last"], entry["last_filed"]) == (2, 6)


def test_what_is_not_kept_any_more_is_said_for_a_day_and_a_refusal_for_an_hour(connected: Whole) -> None:
    filed(connected, 2)
    connected.wait(1)
    now = connected.clock.now()
    while connected.store.purge(filed_before=now, identities_before=now):
        pass
    filed(connected, 1)
    asks(connected, (1, 2))
    asks(connected, store="ZZZZZZZZ")
    gone = next(a for a in connected.alarms.active() if a.code == "reconcile-gone")
    assert (gone.analyser, gone.params) == ("xn1", {"count": "2"})
    connected.clock.seconds += HOUR
    connected.wait(61)
    assert "reconcile-refused" not in connected.codes()
    assert "reconcile-gone" in connected.codes()
    connected.clock.seconds += DAY
    connected.wait(61)
    assert "reconcile-gone" not in connected.codes()


def test_a_request_the_store_could_not_take_is_not_acknowledged(connected: Whole) -> None:
    filed(connected, 1)
    connected.lane.failing = True
    owed = asks(connected, (1, 1))
    assert not owed.acknowledged
    assert connected.now.closed == [False]
