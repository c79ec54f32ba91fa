"""Storage that fails just when a message's turn has come: it goes when storage works again, without a restart.

What the broker has had, the store does not hand out by itself: only the publisher knows that it is to go once more.
"""

from support_whole_publisher import Whole

from edge_agent.publisher.events import Cause, Connected
from edge_agent.states import MessageState


def fails_and_works_again(whole: Whole, seconds: float) -> None:
    """What falls due within that time meets a store that does not work; then there is another connection."""
    whole.lane.failing = True
    whole.wait(seconds)
    comes_back(whole)


def comes_back(whole: Whole) -> None:
    assert whole.now.closed, "the connection was given up"
    whole.ended(Cause.CLOSED)
    whole.lane.failing = whole.lane.lying = False
    whole.wait(5)
    whole.connect()


def test_one_without_an_answer(whole: Whole) -> None:
    whole.connect()
    message = whole.at_broker()
    whole.wait(60)
    fails_and_works_again(whole, 10)
    whole.live(300)
    assert message in whole.sent()


def test_one_the_broker_would_not_have_yet(whole: Whole) -> None:
    whole.connect()
    message = whole.queue()
    whole.puback(message, 0x97)
    fails_and_works_again(whole, 10)
    whole.live(300)
    assert message in whole.sent()


def test_the_one_on_trial_for_its_topic(whole: Whole) -> None:
    whole.connect()
    message = whole.queue()
    whole.puback(message, 0x87)
    fails_and_works_again(whole, 40)
    whole.live(600)
    assert message in whole.sent()


def test_the_one_that_asks_whether_somebody_is_back(whole: Whole) -> None:
    whole.connect()
    message = whole.at_broker()
    whole.wait(60)
    whole.consumer_says(False, 1)
    fails_and_works_again(whole, 61)
    whole.live(600)
    assert message in whole.sent()


def test_one_whose_commit_reported_an_error_and_was_made(whole: Whole) -> None:
    whole.connect()
    message = whole.queue()
    whole.lane.lying = True
    whole.puback(message)
    assert whole.state(message) is MessageState.AT_BROKER
    comes_back(whole)
    whole.live(300)
    assert message in whole.sent()


def test_what_waits_already_is_not_put_off_by_it(whole: Whole) -> None:
    """A store that fails every minute would otherwise put every answer off for ever."""
    whole.connect()
    message = whole.at_broker()
    whole.live(3600)  # by now it goes every six minutes at most
    tried = len(whole.made)
    for _ in range(8):
        whole.wait(50)
        whole.lane.failing = True
        whole.queue()
        comes_back(whole)
    assert any(message in whole.sent(connection) for connection in whole.made[tried:])


def test_what_a_smaller_limit_blocked_goes_when_the_limit_is_gone(whole: Whole) -> None:
    whole.now.post(Connected(whole.now.number, 0, True, 100, 5000))
    whole.wait(0)
    whole.ended()
    message = whole.put(filler=20_000)
    whole.store.block(message, "blocked", "too large")
    whole.wait(5)
    whole.lane.failing = True
    whole.now.post(Connected(whole.now.number, 0, True, 100, None))
    whole.wait(0)
    assert whole.state(message) is MessageState.BLOCKED
    comes_back(whole)
    assert whole.sent() == [message]
