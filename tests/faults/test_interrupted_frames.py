"""A message of three patients is cut behind every frame, in every way, before the whole agent: its process and all.

All cuts are made first, then what went out is compared with what was saved, then every message is sent again.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from end_to_end.bad_input_cases import ENQ, EOT, Line, frame
from end_to_end.lab import ROOT, AgentProcess, Bench, running_broker, started, until
from faults.defective import DefectiveAgent
from faults.outcomes_file import ENUMERATED, Outcomes
from faults.scale import share
from faults.test_line_serial import REPLUGGED
from faults.three_patients import CUTS, Sheet, came, saved, wire

from edge_agent.errors import AgentError
from simulators.analyser_ledger import Row
from simulators.central import Central, CentralOptions
from simulators.oracle import Verdict, compare

pytestmark = [pytest.mark.broker, pytest.mark.slow]

EVERY_FRAME = "three patients' message cut behind every frame, nine ways to end, whole agent"
ENDINGS = ("link", "silence", "eot", "enq", "nak", "killed", "T", "R", "E")
AT_ONCE = 12  # connections of one analyser; the port takes 16
QUICK = "ack_timeout_s = 5"
GENERIC = ROOT / "drivers/devices/lis02_generic/profile.toml"


@dataclass(frozen=True)
class Case:
    number: int
    behind: int  # frames acknowledged before the end
    ending: str
    in_part: bool

    @property
    def sheet(self) -> Sheet:
        return Sheet(self.number)

    @property
    def aborted(self) -> bool:
        return self.ending in ("T", "R", "E")

    def at_once(self, analyser: str) -> list[Row]:
        """What goes out before anything comes again."""
        if not self.aborted:
            return self.sheet.rows(analyser, last=saved(self.behind))
        alone = self.sheet.without_its_comment(analyser, self.behind)
        return [*self.sheet.rows(analyser, last=came(self.behind) - len(alone)), *alone]

    def in_the_end(self, analyser: str) -> list[Row]:
        alone = self.sheet.without_its_comment(analyser, self.behind) if self.aborted else []
        return [*self.sheet.rows(analyser), *alone]

    def resend(self) -> list[str]:
        return self.sheet.rest(self.behind) if self.in_part else self.sheet.whole()


def cases() -> list[Case]:
    points = [(behind, ending, part) for behind in CUTS for ending in ENDINGS for part in (False, True)]
    return [Case(number, *point) for number, point in enumerate(points, start=1)]


class Ward:
    """The agent, and one analyser for as many cases as its port takes at once."""

    def __init__(self, agent: AgentProcess, benches: Sequence[Bench], chosen: Sequence[Case]) -> None:
        self.agent = agent
        self.place = {case: benches[place // AT_ONCE] for place, case in enumerate(chosen)}

    def line(self, case: Case) -> Line:
        return Line(self.place[case].port, [])

    def begin(self, line: Line, case: Case) -> None:
        line.say(ENQ)
        for piece in wire(case.sheet.whole())[: case.behind]:
            line.say(piece)
        assert line.answers == "A" * (case.behind + 1)

    def cut(self, case: Case) -> None:
        with self.line(case) as line:
            self.begin(line, case)
            following = case.behind + 1
            if case.aborted:
                assert line.say(frame(following, f"L|1|{case.ending}")) == "A"
            elif case.ending == "nak":
                assert line.say(frame(following, case.sheet.record(following), off_by=1)) == "N"
            elif case.ending == "enq":
                assert line.say(ENQ) == "A"
            if case.ending != "link":
                line.tell(EOT)

    def fall_silent(self, silent: Sequence[Case]) -> None:
        with contextlib.ExitStack() as open_lines:
            for case in silent:
                self.begin(open_lines.enter_context(self.line(case)), case)
            until(lambda: self.reasons().count("timeout") == len(silent), 20, f"given up: {self.reasons()}")

    def die(self, dying: Sequence[Case]) -> None:
        lines = [self.line(case) for case in dying]
        for line, case in zip(lines, dying, strict=True):
            self.begin(line, case)
        self.agent.kill()
        for line in lines:
            line.__exit__(OSError)
        self.agent.start()

    def resend(self, case: Case) -> None:
        with self.line(case) as line:
            line.send(case.resend())
        assert set(line.answers) == {"A"}

    def transmissions(self) -> Iterator[Any]:
        number = 0
        while True:
            number += 1
            try:
                found = self.agent.ask("trace", id=f"t{number}")["transmissions"]
            except AgentError:  # the number after the last
                return
            yield from found

    def reasons(self) -> list[str]:
        return [t["reason"] for t in self.transmissions()]

    def states(self) -> set[str]:
        return {t["state"] for t in self.transmissions()}

    def rows(self, kind: str) -> list[Row]:
        return [row for case, bench in self.place.items() for row in getattr(case, kind)(bench.id)]


def benches_for(folder: Path, chosen: Sequence[Case]) -> list[Bench]:
    """With a device of the site's own that waits one second instead of thirty."""
    patience = folder / "agent/devices.d/short_patience"
    patience.mkdir(parents=True)
    text = GENERIC.read_text(encoding="utf-8").replace("[link]\n", "[link]\nreceive_s = 2.0\n")
    (patience / "profile.toml").write_text(text, encoding="utf-8")
    return [Bench(f"an{n}", "short_patience") for n in range(len(chosen) // AT_ONCE + 1)]


def cut_and_sent_again(ward: Ward, central: Central) -> tuple[Verdict, Verdict]:
    """What had gone out before anything came again, and what in the end."""
    agent, chosen = ward.agent, list(ward.place)
    for case in chosen:
        if case.ending not in ("silence", "killed"):
            ward.cut(case)
    ward.fall_silent([case for case in chosen if case.ending == "silence"])
    ward.die([case for case in chosen if case.ending == "killed"])
    until(lambda: agent.nothing_waits() and "receiving" not in ward.states(), 60, "what was saved is filed")
    before = compare(ward.rows("at_once"), list(central.ledger.filings()))
    for case in chosen:
        ward.resend(case)
    until(agent.nothing_waits, 60, "what was sent again is filed")
    return before, compare(ward.rows("in_the_end"), list(central.ledger.filings()))


def test_what_was_saved_goes_out_and_the_resend_completes_it(tmp_path: Path, outcomes: Outcomes) -> None:
    points = cases()
    chosen = share(points)
    benches = benches_for(tmp_path, chosen)
    with (
        running_broker(tmp_path / "broker") as broker,
        started(AgentProcess(tmp_path / "agent", broker.url, benches, mqtt=QUICK)) as agent,
        Central(CentralOptions(broker.url, validate="none")) as central,
    ):
        ward = Ward(agent, benches, chosen)
        before, verdict = cut_and_sent_again(ward, central)
        assert before.flawless, before.table()
        assert ward.states() == {"complete", "completed-by"}
        until(lambda: "interrupted" not in agent.alarms(), 20, "nothing of it is missing any more")
    outcomes.verdict(EVERY_FRAME, ENUMERATED, len(chosen), verdict, points=len(points))


@pytest.mark.every(2)
def test_control_an_interruption_thrown_away_is_found(tmp_path: Path, outcomes: Outcomes) -> None:
    chosen = [Case(n, behind, "eot", n % 2 == 0) for n, behind in enumerate(range(7, 19), start=1)]
    benches = benches_for(tmp_path, chosen)
    with running_broker(tmp_path / "broker") as broker:
        agent = DefectiveAgent(tmp_path / "agent", broker.url, benches, mqtt=QUICK)
        agent.switch_off("drop-interrupted")
        with started(agent), Central(CentralOptions(broker.url, validate="none")) as central:
            before, verdict = cut_and_sent_again(Ward(agent, benches, chosen), central)
    lost = len(verdict.of("lost"))
    assert before.of("lost")
    assert lost > 0
    for scenario in (EVERY_FRAME, REPLUGGED):  # the same cuts, the same loss, whatever ends the line
        outcomes.control(scenario, "interruption thrown away", f"{lost} of {verdict.acknowledged} lost")
