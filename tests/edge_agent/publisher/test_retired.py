"""A gateway that has been forgotten by the broker says nothing more, unless it is taken into service again."""

import asyncio

import pytest
from support_broker import Broker
from support_publisher import Agent, MakeAgent, MakeCentral, until

pytestmark = pytest.mark.broker


def retired(agent: Agent) -> bool:
    return asyncio.run_coroutine_threadsafe(agent.publisher.retire(), agent.loop).result(20)


async def sent_next_after_an_alarm(agent: Agent) -> list[str]:
    agent.alarms.raise_("link-down", "xn1", reason="no carrier")
    agent.publisher.say_state()
    return list(agent.publisher._link._notes)


def test_an_alarm_after_the_retirement_is_not_retained_for_ever_and_the_next_birth_says_it(
    broker: Broker, make_agent: MakeAgent, make_central: MakeCentral
) -> None:
    central, agent = make_central(broker), make_agent(broker)
    until(lambda: central.seen.get("state"), "a birth")
    assert retired(agent)
    until(lambda: (central.seen["state"], central.seen["info"]) == (b"", b""), "forgotten")
    assert asyncio.run_coroutine_threadsafe(sent_next_after_an_alarm(agent), agent.loop).result(20) == []
    agent.call(agent.publisher.unretire)
    until(lambda: central.seen.get("alarm/link-down.xn1"), "said at the birth")
    until(lambda: central.seen["state"], "born again")
