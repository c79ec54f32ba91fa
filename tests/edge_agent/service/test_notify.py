"""What goes to the service manager's socket (sd_notify(3)), and that it never holds anybody up."""

import os
import socket
import uuid
from typing import Any

import pytest

from edge_agent.service.notify import Notifier


def test_the_facts_of_one_datagram_stand_on_a_line_each(manager: Any) -> None:
    Notifier(manager.address).tell(READY="1", STATUS="All is well.")
    assert manager.listen() == [{"READY": "1", "STATUS": "All is well."}]


def test_an_abstract_name_begins_with_an_at_sign(manager: Any) -> None:
    address = f"@edge-agent-test-{uuid.uuid4().hex}"
    abstract = type(manager)(address)
    Notifier(address).tell(READY="1")
    assert abstract.listen() == [{"READY": "1"}]
    abstract.close()


def test_a_peers_text_in_a_sentence_cannot_feed_the_watchdog(manager: Any) -> None:
    Notifier(manager.address).tell(STATUS="The port is down: no\nWATCHDOG=1\u2028.")
    assert manager.listen() == [{"STATUS": "The port is down: no WATCHDOG=1 ."}]


def test_without_a_service_manager_nothing_is_said() -> None:
    notifier = Notifier.from_environment({})
    assert not notifier.listened_to
    notifier.tell(READY="1")


def test_a_socket_of_another_kind_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    assert not Notifier.from_environment({"NOTIFY_SOCKET": "vsock:2:1234"}).listened_to
    assert "unknown kind" in caplog.text


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "77"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "78"}, 0.0),  # it is on another process
        ({"WATCHDOG_USEC": "soon"}, 0.0),
        ({}, 0.0),
    ],
)
def test_the_watchdog_of_this_process_is_taken_from_the_environment(environ: dict[str, str], seconds: float) -> None:
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": "/run/notify", **environ}, pid=77)
    assert notifier.watchdog_s == seconds


def test_a_manager_that_is_gone_is_a_warning_once_and_a_word_when_it_is_back(
    manager: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    notifier = Notifier(manager.address)
    manager.close()
    notifier.tell(WATCHDOG="1")
    notifier.tell(WATCHDOG="1")
    assert [r.levelname for r in caplog.records] == ["WARNING"]
    os.unlink(manager.address)
    again = type(manager)(manager.address)
    notifier.tell(WATCHDOG="1")
    again.close()
    assert [r.levelname for r in caplog.records] == ["WARNING", "INFO"]


def test_a_manager_that_does_not_read_keeps_nobody_waiting(manager: Any) -> None:
    notifier = Notifier(manager.address)
    for _ in range(2000):  # more than a socket's queue takes
        notifier.tell(WATCHDOG="1")
    assert 0 < manager.heard("WATCHDOG") < 2000


def test_a_blocking_sender_would_have_waited_there(manager: Any) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.settimeout(0.05)
        with pytest.raises(TimeoutError):
            all(sender.sendto(b"WATCHDOG=1", manager.address) for _ in range(2000))
