"""A USB adapter is pulled out in the middle of a message and comes back under another number."""

import os
import select
import tty
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import pytest
from end_to_end.bad_input_cases import ACK, ENQ, EOT
from end_to_end.lab import AgentProcess, Bench, running_broker, started, until
from faults.defective import DefectiveAgent
from faults.outcomes_file import ENUMERATED, Outcomes
from faults.scale import share
from faults.three_patients import CUTS, Sheet, wire

from simulators.central import Central, CentralOptions
from simulators.oracle import Verdict, compare

pytestmark = [pytest.mark.broker, pytest.mark.slow]

REPLUGGED = "USB adapter pulled out behind every frame, back under another number"
QUICK = "ack_timeout_s = 5"
NAME = "usb-FTDI_FT232R-if00-port0"


class Adapter:
    """A pseudo-terminal behind a steady name; ``number`` is what the system calls it this time."""

    def __init__(self, name: Path) -> None:
        self._name = name
        self._line, self._port = os.openpty()
        tty.setraw(self._port)
        self.number = os.ttyname(self._port)
        name.symlink_to(self.number)

    def pull_out(self) -> None:
        self._name.unlink()
        for end in (self._line, self._port):
            os.close(end)

    def told(self, *pieces: bytes) -> bool:
        """Whether each was acknowledged."""
        for piece in pieces:
            self.say(piece)
            if not select.select([self._line], [], [], 20)[0] or os.read(self._line, 1) != ACK:
                return False
        return True

    def say(self, piece: bytes) -> None:
        os.write(self._line, piece)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.pull_out()


@contextmanager
def laboratory(folder: Path, name: Path, defect: str = "") -> Iterator[tuple[AgentProcess, Central]]:
    (folder / "agent").mkdir()
    bench = Bench("usb1", "lis02_generic", transport=f"serial://{name}?baudrate=9600")
    with running_broker(folder / "broker") as broker:
        agent = DefectiveAgent(folder / "agent", broker.url, [bench], mqtt=QUICK)
        if defect:
            agent.switch_off(defect)
        with started(agent), Central(CentralOptions(broker.url, validate="none")) as central:
            yield agent, central


def pulled_out_and_back(folder: Path, chosen: Sequence[int], defect: str = "") -> Verdict:
    sheets = [Sheet(number) for number, _ in enumerate(chosen, start=1)]
    numbers, name = set(), folder / NAME
    with laboratory(folder, name, defect) as (agent, central):
        for sheet, behind in zip(sheets, chosen, strict=True):
            with plugged_in(agent, name) as adapter:
                numbers.add(adapter.number)
                assert adapter.told(ENQ, *wire(sheet.whole())[:behind])
            kept = os.openpty()  # takes the number that is free again
            with plugged_in(agent, name) as adapter:
                numbers.add(adapter.number)
                assert adapter.told(ENQ, *wire(sheet.rest(behind)))
                adapter.say(EOT)
                until(agent.nothing_waits, 20, "it is filed")
            for end in kept:
                os.close(end)
        assert len(numbers) > 1
        return compare([row for s in sheets for row in s.rows("usb1")], list(central.ledger.filings()))


@contextmanager
def plugged_in(agent: AgentProcess, name: Path) -> Iterator[Adapter]:
    with Adapter(name) as adapter:
        until(lambda: "usb1" in agent.ports_up(), 20, "the port is open")
        yield adapter
    until(lambda: "link-down" in agent.alarms(), 20, "the plug is missed")


def test_a_message_cut_by_the_plug_is_completed_after_it(tmp_path: Path, outcomes: Outcomes) -> None:
    chosen = share(list(CUTS))
    verdict = pulled_out_and_back(tmp_path, chosen)
    outcomes.verdict(REPLUGGED, ENUMERATED, len(chosen), verdict, points=len(CUTS))


@pytest.mark.every(3)
def test_the_same_count_finds_what_is_lost_where_an_interruption_is_thrown_away(
    tmp_path: Path, outcomes: Outcomes
) -> None:
    verdict = pulled_out_and_back(tmp_path, list(CUTS)[-2:], "drop-interrupted")
    lost = len(verdict.of("lost"))
    assert lost > 0, verdict.table()
    outcomes.control_of_all("interruption thrown away", f"{lost} of {verdict.acknowledged} lost")
