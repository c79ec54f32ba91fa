"""Manifests and requests at a real broker: what was confirmed and got lost comes again, and nothing else does."""

import json
from pathlib import Path
from typing import Any

import pytest
from support_broker import Broker, running
from support_publisher import ROOT, Agent, Central, MakeAgent, MakeCentral, until

from edge_agent.publisher import reconcile

pytestmark = pytest.mark.broker

MISSING = "results-missing-after-restore"


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Manifests are not waited for; what is tested here is what leads to them."""
    for name in ("SOON_S", "ANSWER_FIRST_S"):
        monkeypatch.setattr(reconcile, name, 0.0)
    monkeypatch.setattr(reconcile, "LOOK_AGAIN_S", 0.05)


def ask(central: Central, payload: bytes | dict[str, Any], *, retain: bool = False) -> None:
    text = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    central.client.publish(f"{ROOT}/down/reconcile", text, qos=1, retain=retain).wait_for_publish(5)


def manifest(central: Central) -> dict[str, Any]:
    """The newest one's entry of xn1."""
    said = json.loads(central.seen.get("up/manifest", b'{"analysers": []}'))
    return next((entry for entry in said["analysers"] if entry["analyser"] == "xn1"), {})


def store_of(agent: Agent) -> str:
    return agent.store.urgent(lambda s: s.identity).result()


def filed(agent: Agent, count: int) -> list[str]:
    messages = [agent.queue() for _ in range(count)]
    until(lambda: agent.filed(*messages), "filed")
    return messages


def lost(agent: Agent, *gaps: tuple[int, int], last_filed: int = 0, store: str = "") -> dict[str, Any]:
    return {"store": store or store_of(agent), "analyser": "xn1", "last_filed": last_filed, "gaps": gaps}


def settled(agent: Agent) -> bool:
    return not agent.store.urgent(lambda s: s.replays_wait()).result()


def test_a_manifest_comes_soon_after_connecting_and_after_a_request_that_asks_for_nothing(
    broker: Broker, make_agent: MakeAgent, make_central: MakeCentral
) -> None:
    central, agent = make_central(broker), make_agent(broker)
    until(lambda: "up/manifest" in central.seen, "the first")
    filed(agent, 3)
    ask(central, lost(agent, last_filed=3))
    until(lambda: manifest(central).get("last") == 3, "the one that was asked for")
    entry = manifest(central)
    assert (entry["store"], entry["oldest"], entry["last_filed"]) == (store_of(agent), 1, None)
    [interval] = entry["intervals"]
    assert (interval["route"], interval["first"], interval["last"], interval["count"]) == ("result", 1, 3, 3)
    assert len(central.arrived) == 3  # and nothing was sent again


def test_what_is_asked_for_comes_once_more_with_the_same_id_and_bytes_and_then_a_manifest(
    broker: Broker, make_agent: MakeAgent, make_central: MakeCentral
) -> None:
    central, agent = make_central(broker), make_agent(broker)
    messages = filed(agent, 6)
    first = {m.correlation.decode(): m.payload for m in central.arrived}
    ask(central, lost(agent, (2, 3), (5, 5), last_filed=6))
    until(lambda: len(central.arrived) == 9 and settled(agent), "sent again and answered")
    again = central.arrived[6:]
    assert sorted(m.correlation.decode() for m in again) == sorted([messages[1], messages[2], messages[4]])
    assert {m.user["replay"] for m in again} == {"operator"}
    assert all(first[m.correlation.decode()] == m.payload for m in again)
    assert agent.filed(*messages)
    until(lambda: manifest(central).get("last") == 6, "the manifest that answers")
    assert [alarm.code for alarm in agent.alarms.active()] == []


def test_without_the_handling_of_requests_the_gap_stays(
    broker: Broker, make_agent: MakeAgent, make_central: MakeCentral, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: the same request to an agent that only asks the question back."""

    async def nothing(*_: object) -> reconcile.Missed:
        return reconcile.Missed()

    monkeypatch.setattr(reconcile.Reconciler, "_send_again", nothing)
    central, agent = make_central(broker), make_agent(broker)
    filed(agent, 3)
    ask(central, lost(agent, (2, 2), last_filed=3))
    until(lambda: manifest(central).get("last") == 3, "the manifest that answers")
    assert len(central.arrived) == 3


def test_more_than_one_portion_comes_back_whole(
    broker: Broker, make_agent: MakeAgent, make_central: MakeCentral, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile, "_AT_A_TIME", 3)
    central, agent = make_central(broker), make_agent(broker, unfiled=16)
    messages = filed(agent, 20)
    ask(central, lost(agent, (1, 7), (9, 10), (12, 20), last_filed=20))
    until(lambda: len(central.arrived) >= 38 and settled(agent), "sent again")
    again = [m.correlation.decode() for m in central.arrived[20:]]
    assert sorted(again) == sorted([*messages[:7], *messages[8:10], *messages[11:]])


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff\xfe",
        b"{",
        b"[" * 60_000,
        b"null",
        b'{"store": "x"}',
        b"MSH|^~\\&|",
        {"store": "ZZZZZZZZ", "analyser": "xn1", "last_filed": 900, "gaps": [[1, 900]]},
        {"store": "", "analyser": "an9", "last_filed": 5, "gaps": []},
        {"store": "", "analyser": "xn1", "last_filed": 3, "gaps": [[2, 4]]},
        {"store": "", "analyser": "xn1", "last_filed": 3, "gaps": [[1, 3]], "extra": True},
        {"store": "", "analyser": "xn1", "last_filed": 3, "gaps": [[1, 3]], "pad": "x" * 70_000},
        {"store": "", "analyser": "xn1", "last_filed": 99_999_999_999, "gaps": [[1, 99_999_999_999]]},
    ],
    ids=lambda p: str(p)[:30],
)
def test_what_cannot_be_right_does_nothing_and_is_alarmed(
    broker: Broker, make_agent: MakeAgent, make_central: MakeCentral, payload: bytes | dict[str, Any]
) -> None:
    central, agent = make_central(broker), make_agent(broker)
    filed(agent, 3)
    if isinstance(payload, dict):
        payload = payload | {"store": payload["store"] or store_of(agent)}
    ask(central, payload)
    alarm = until(lambda: agent.alarm("reconcile-refused"), "the alarm")
    assert alarm.analyser == ""
    ask(central, lost(agent, (2, 2), last_filed=3))  # a good one behind it: the bad one is out of the way
    until(lambda: len(central.arrived) == 4 and settled(agent), "only this is sent again")
    assert {a.code for a in agent.alarms.active()} == {"reconcile-refused"}


def test_a_retained_request_is_refused(broker: Broker, make_agent: MakeAgent, make_central: MakeCentral) -> None:
    central, agent = make_central(broker), make_agent(broker)
    filed(agent, 3)
    ask(central, lost(agent, (1, 3), last_filed=3), retain=True)
    until(lambda: agent.alarm("retained-command"), "the alarm")
    ask(central, lost(agent, last_filed=3))
    until(lambda: manifest(central).get("last") == 3, "a request behind it was answered")
    assert len(central.arrived) == 3


def test_what_is_not_kept_any_more_is_said(broker: Broker, make_agent: MakeAgent, make_central: MakeCentral) -> None:
    central, agent = make_central(broker), make_agent(broker)
    filed(agent, 2)
    now = agent.clock.now()
    while agent.store.later(lambda s: s.purge(filed_before=now, identities_before=now)).result():
        pass
    filed(agent, 1)
    ask(central, lost(agent, (1, 3), last_filed=0))
    until(lambda: len(central.arrived) == 4 and settled(agent), "the one that is kept comes")
    alarm = until(lambda: agent.alarm("reconcile-gone"), "the alarm")
    assert (alarm.analyser, alarm.params) == ("xn1", {"count": "2"})
    until(lambda: manifest(central).get("oldest") == 3, "and the manifest says from where on")


def test_a_management_system_that_has_more_than_the_store_raises_an_alarm_that_outlives_a_restart(
    broker: Broker, make_agent: MakeAgent, make_central: MakeCentral, monkeypatch: pytest.MonkeyPatch
) -> None:
    central, agent = make_central(broker), make_agent(broker)
    filed(agent, 2)
    ask(central, lost(agent, (4, 5), last_filed=6))
    alarm = until(lambda: agent.alarm("results-missing-after-restore"), "the alarm")
    facts = dict(alarm.params)
    assert facts.pop("since").endswith("Z")
    assert facts == {"store": store_of(agent), "last": "2", "last_filed": "6", "lacks": "2"}
    until(lambda: manifest(central).get("last_filed") == 6, "the manifest says that it was heard")
    agent.stop()
    agent = make_agent(broker)
    assert until(lambda: agent.alarm(MISSING), "up again").params == alarm.params
    agent.stop()
    monkeypatch.setattr(reconcile, "REMEMBERED", reconcile.REMEMBERED * 0)
    agent = make_agent(broker)
    until(lambda: "up/manifest" in central.seen and agent.publisher.status().connected, "at work")
    filed(agent, 1)
    assert agent.alarm(MISSING) is None  # after a week
    assert agent.store.urgent(lambda s: s.ahead()).result() == []


def test_requests_that_were_refused_or_came_too_late_are_over_after_a_while(
    broker: Broker, make_agent: MakeAgent, make_central: MakeCentral, monkeypatch: pytest.MonkeyPatch
) -> None:
    central, agent = make_central(broker), make_agent(broker)
    filed(agent, 1)
    now = agent.clock.now()
    while agent.store.later(lambda s: s.purge(filed_before=now, identities_before=now)).result():
        pass
    ask(central, b"nothing")
    ask(central, lost(agent, (1, 1), last_filed=0))
    until(lambda: agent.alarm("reconcile-refused") and agent.alarm("reconcile-gone"), "both are up")
    since = agent.clock.monotonic()
    monkeypatch.setattr(agent.clock, "monotonic", lambda: since + 3601)
    agent.call(agent.publisher.kick)
    until(lambda: not agent.alarm("reconcile-refused"), "over after an hour")
    assert agent.alarm("reconcile-gone")
    monkeypatch.setattr(agent.clock, "monotonic", lambda: since + 86_401)
    agent.call(agent.publisher.kick)
    until(lambda: not agent.alarm("reconcile-gone"), "over after a day")


def test_no_manifest_goes_while_the_management_system_says_it_is_away(
    broker: Broker, make_agent: MakeAgent, make_central: MakeCentral
) -> None:
    central = make_central(broker)
    central.say(online=False)
    agent = make_agent(broker)
    until(lambda: agent.alarm("consumer-offline"), "the gate is closed")
    ask(central, lost(agent))
    until(lambda: agent.publisher.status().proven == "yes", "results could flow")
    assert "up/manifest" not in central.seen
    central.say(online=True)
    until(lambda: "up/manifest" in central.seen, "it comes when somebody is there")


@pytest.mark.parametrize("options", [{"confirm": "broker"}, {"version": "3.1.1"}])
def test_where_nothing_is_confirmed_or_numbered_there_is_no_manifest(
    broker: Broker, make_agent: MakeAgent, make_central: MakeCentral, options: dict[str, Any]
) -> None:
    from edge_agent.publisher.options import Confirm, Version

    words = {"confirm": Confirm, "version": Version}
    central, agent = make_central(broker), make_agent(broker, **{n: words[n](v) for n, v in options.items()})
    message = agent.queue()
    until(lambda: message in central.ids(), "it came")
    until(lambda: agent.row(message).state in ("filed", "at-broker"), "and was heard of")
    assert "up/manifest" not in central.seen


def test_a_request_is_acknowledged_only_after_the_store_has_it(
    broker: Broker, make_agent: MakeAgent, make_central: MakeCentral, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A storage error while it is acted on: the broker brings it again."""
    from edge_agent.store.errors import StorageFailedError

    tries: list[int] = []
    real = reconcile.Reconciler._send_again

    async def fails_once(self: Any, *more: Any) -> reconcile.Missed:
        tries.append(1)
        if len(tries) == 1:
            raise StorageFailedError("a test")
        return await real(self, *more)

    monkeypatch.setattr(reconcile.Reconciler, "_send_again", fails_once)
    central, agent = make_central(broker), make_agent(broker)
    messages = filed(agent, 1)
    ask(central, lost(agent, (1, 1), last_filed=1))
    until(lambda: len(central.arrived) == 2 and settled(agent), "sent again after the second delivery")
    assert central.ids() == messages * 2
    assert len(tries) == 2


def test_a_manifest_the_broker_forbids_is_alarmed_and_tried_again(
    tmp_path: Path, make_agent: MakeAgent, make_central: MakeCentral, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile, "REFUSED_AGAIN_S", 0.1)
    everything = "topic readwrite #\n"
    with running(Broker(tmp_path / "forbids", acl=f"topic deny {ROOT}/up/manifest\n{everything}")) as broker:
        central, agent = make_central(broker), make_agent(broker)
        until(lambda: agent.alarm("broker-refused"), "it is forbidden")
        assert "up/manifest" in agent.alarm("broker-refused").sentence
        message = agent.queue()
        until(lambda: agent.filed(message), "results pass all the same")
        broker.set_acl(everything)
        broker.reload()
        until(lambda: not agent.alarm("broker-refused"), "it is allowed")
        until(lambda: manifest(central).get("last") == 1, "and there")
