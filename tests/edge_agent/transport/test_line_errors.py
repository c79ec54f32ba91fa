"""What a UART's driver counts, by a call that is made up here: no machine of a test has a bad line.

The structure is that of linux/serial.h: cts, dsr, rng, dcd, rx, tx, frame, overrun, parity, brk, buf_overrun, and
nine more.
"""

import errno
import logging
import os
import struct

import pytest
from support_ports import Pty, run, until
from support_transport import build, running

from edge_agent.transport import line_errors, serial_port
from edge_agent.transport.line_errors import TIOCGICOUNT, Counters, LineErrors


class Driver:
    """Counts what it is told."""

    def __init__(self) -> None:
        self.counts = [3, 1, 0, 2, 100, 50, 0, 0, 0, 7, 0]
        self.error: OSError | None = None

    def __call__(self, fd: int, request: int, room: bytes) -> bytes:
        assert (request, len(room)) == (TIOCGICOUNT, 80)
        if self.error is not None:
            raise self.error
        return struct.pack("20i", *self.counts, *[0] * 9)

    def damage(self, *, frame: int = 0, overrun: int = 0, parity: int = 0, buffer: int = 0) -> None:
        for place, by in ((6, frame), (7, overrun), (8, parity), (10, buffer)):
            self.counts[place] += by


def test_what_was_counted_before_the_port_was_opened_is_not_this_lines() -> None:
    driver = Driver()
    driver.damage(frame=5, parity=9)
    counters = Counters(0, driver)
    assert counters.look() == LineErrors()
    driver.damage(frame=1, overrun=2, parity=3, buffer=4)
    assert counters.look() == LineErrors(framing=1, overrun=6, parity=3)


@pytest.mark.parametrize("number", [errno.ENOTTY, errno.EINVAL, errno.EIO, errno.EBADF])
def test_a_port_that_counts_nothing_has_no_figures(number: int) -> None:
    driver = Driver()
    driver.error = OSError(number, os.strerror(number))
    assert Counters(0, driver).look() is None


def test_a_pseudo_terminal_counts_nothing() -> None:
    with Pty() as pty:
        counters = line_errors.counters(pty.master)
        assert counters is not None
        assert counters.look() is None


def test_a_rise_is_seen_at_the_next_read_and_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    driver = Driver()
    monkeypatch.setattr(serial_port, "counters", lambda fd: Counters(fd, driver))

    async def main() -> None:
        with Pty() as pty:
            transport = build(f"serial://{pty.path}")
            async with running(transport) as watch:
                await until(lambda: watch.up)
                assert transport.line_errors == LineErrors()  # type: ignore[attr-defined]
                driver.damage(parity=2)
                await pty.send(b"x")
                await until(lambda: transport.line_errors == LineErrors(parity=2))  # type: ignore[attr-defined]
                driver.damage(frame=1)
                await pty.send(b"x")
                await until(lambda: transport.line_errors == LineErrors(parity=2, framing=1))  # type: ignore[attr-defined]

    with caplog.at_level(logging.WARNING):
        run(main())
    said = [record.getMessage() for record in caplog.records if "bad line" in record.getMessage()]
    assert len(said) == 1
    assert "2 parity errors, 0 framing errors, 0 overruns" in said[0]
