"""What is queued while the outbox is being read is published with the next look, not with the next minute's review."""

import asyncio
from collections.abc import Collection, Sequence
from datetime import datetime
from random import Random
from types import SimpleNamespace
from typing import Any

from support_publisher import outbox_row

from edge_agent.clock import SystemClock
from edge_agent.monitor.alarms import Alarms
from edge_agent.publisher.delivery import Delivery
from edge_agent.publisher.gate import Gate
from edge_agent.publisher.options import MqttOptions
from edge_agent.publisher.outbox import Ready
from edge_agent.publisher.poison import Suspicion
from edge_agent.publisher.topics import Topics
from edge_agent.publisher.troubles import Troubles


class SlowOutbox:
    """An outbox that is asked, and into which a message is queued before it has answered."""

    def __init__(self) -> None:
        self.delivery: Any = None
        self.rows: list[Any] = []
        self.reads = 0

    async def ready(self, limit: int, since: datetime | None, skip: Collection[str]) -> Ready:
        self.reads += 1
        found = [row for row in self.rows if row.id not in skip]  # the store's thread has read
        await asyncio.sleep(0)
        if self.reads == 1:
            self.rows.append(outbox_row("AAAAAAAA-1"))
            self.delivery.look()  # what Publisher.kick does, in the event loop, before the answer is back
        return Ready(found, None)

    def note_published(self, sent: Sequence[tuple[str, str]]) -> None:
        pass


class OpenLink:
    """A connection that takes everything."""

    may_deliver, room, maximum_packet = True, 16, None
    topics = Topics("ivd/v1", "seoul-01", "gw-01")

    def __init__(self) -> None:
        self.published: list[bytes] = []

    def publish(self, topic: str, payload: bytes, properties: object) -> int:
        self.published.append(payload)
        return len(self.published)


def delivery_of(outbox: SlowOutbox, link: OpenLink) -> Delivery:
    clock = SystemClock()
    options = MqttOptions(urls=("mqtt://127.0.0.1",), site="seoul-01", gateway="gw-01")
    gate, troubles = Gate(options.consumer_names, clock), Troubles(Alarms(clock), clock)
    world: Any = SimpleNamespace(outbox=outbox, link=link)
    return Delivery(options, world.outbox, world.link, gate, Suspicion(), troubles, clock, Random(1))


def test_a_message_queued_during_the_read_is_looked_for_at_once() -> None:
    outbox, link = SlowOutbox(), OpenLink()
    outbox.delivery = delivery_of(outbox, link)

    async def two_steps() -> None:
        await outbox.delivery.pump()
        assert link.published == []  # the read was over before it was queued
        await outbox.delivery.pump()

    asyncio.run(two_steps())
    assert link.published == [outbox.rows[0].payload]


def test_without_news_the_outbox_is_not_read_again() -> None:
    """The negative control: a flag that is always up would pass the test above, and poll."""
    outbox, link = SlowOutbox(), OpenLink()
    outbox.delivery = delivery_of(outbox, link)

    async def three_steps() -> None:
        for _ in range(3):
            await outbox.delivery.pump()

    asyncio.run(three_steps())
    assert outbox.reads == 2
