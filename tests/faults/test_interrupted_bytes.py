"""A message of three patients is cut at every byte, in every way a transmission can end.

What is saved goes out and nothing else; another patient's message in between keeps its own values; the resend, whole
or from where the sender may presume us to stand, brings the rest and doubles nothing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import pytest
from end_to_end.bad_input_cases import ENQ, EOT, plain
from faults.in_process import ANALYSER, SILENT_S, Desk, desk
from faults.outcomes_file import ENUMERATED, Outcomes
from faults.scale import share
from faults.three_patients import CUTS, LAST, Sheet, came, saved, wire

from edge_agent import converter
from edge_agent.pipeline import Plan
from edge_agent.session import Session
from edge_agent.states import TransmissionEvent, TransmissionState
from edge_agent.store.conversion import Conversion
from simulators.analyser_ledger import Row
from simulators.central_ledger import Filing
from simulators.oracle import Verdict, compare

EVERY_BYTE = "three patients' message cut at every byte, six ways to end"
ABORTED = "three patients' message aborted by L|1|T, R and E behind every record"
ENDINGS = ("link", "silence", "eot", "enq", "nak", "killed")
FRAMES = wire(Sheet(0).whole())
LENGTH = sum(map(len, FRAMES))


@dataclass(frozen=True)
class Cut:
    number: int
    at: int  # bytes of the frames that came
    ending: str
    whole: bool  # the resend: everything, or from the last level decrease

    @property
    def sheet(self) -> Sheet:
        return Sheet(self.number)

    def __str__(self) -> str:
        return f"cut behind byte {self.at}, {self.ending}, resent {'whole' if self.whole else 'in part'}"


def cuts() -> list[Cut]:
    """Every byte with every ending; the two forms of the resend take turns, so that each byte sees both."""
    places = [(at, ending) for at in range(LENGTH) for ending in range(len(ENDINGS))]
    return [Cut(n, at, ENDINGS[e], (at + e) % 2 == 0) for n, (at, e) in enumerate(places, start=1)]


def sample() -> Sequence[Cut]:
    """Of a tenth of the bytes, one ending each."""
    found = list(share(cuts()))
    return found if len(found) > LENGTH * len(ENDINGS) // 2 else found[:: len(ENDINGS) - 1]


def frames_in(at: int) -> int:
    """Whole frames, up to their check digits, in so many bytes: the CR LF behind them tells nothing more."""
    done, whole = 0, 0
    for frame in FRAMES:
        done += len(frame)
        whole += done - 2 <= at
    return whole


def script(cut: Cut) -> Iterator[bytes | float]:
    frames = wire(cut.sheet.whole())
    sent = b"".join(frames)[: cut.at]
    yield from (ENQ, sent) if sent else (ENQ,)
    if cut.ending == "nak":  # the sender goes on with a frame whose sum is wrong, and gives up
        rest = frames[min(frames_in(cut.at), LAST - 1)]
        yield 1.0
        yield rest[:-4] + b"\x30\x47\r\n"  # "0G" is no sum
    if cut.ending in ("eot", "nak"):
        yield from (1.0, EOT)
    elif cut.ending == "silence":
        yield SILENT_S
    elif cut.ending == "enq":
        yield from (1.0, EOT, ENQ, 1.0)
    if cut.ending == "nak":
        yield 1.0


def whole(records: Sequence[str]) -> tuple[bytes, ...]:
    return (ENQ, *wire(records), EOT)


@dataclass
class Tried:
    """One cut, and everything that came of it."""

    owed: list[Row]
    filings: list[Filing]
    wrong: str  # "" if what was saved went out, and nothing else, before the resend


def tried(lab: Desk, cut: Cut) -> Tried:
    answers = lab.hear(*script(cut), killed=cut.ending == "killed")
    lab.convert()
    first = lab.filings()
    acknowledged = min(answers.count(b"\x06") - 1 - (cut.ending == "enq"), LAST)
    allowed = {saved(acknowledged), saved(frames_in(cut.at))}
    wrong = "" if any(_are(first, cut.sheet, count) for count in allowed) else f"{cut}: {len(first)} went out"
    told = max(acknowledged, 0)
    other = plain(f"OTHER-{cut.number:05}", f"9.{cut.number:05}")
    lab.hear(*whole(other))
    lab.convert()
    between = lab.filings()
    lab.time.passed += 600.0
    assert lab.hear(*whole(cut.sheet.whole() if cut.whole else cut.sheet.rest(told))).count(b"\x06") > 1
    lab.convert()
    rows = [*cut.sheet.rows(ANALYSER), _other(cut)]
    return Tried(rows, [*first, *between, *lab.filings()], wrong)


def _other(cut: Cut) -> Row:
    """The patient in between."""
    return replace(
        cut.sheet.rows(ANALYSER)[0],
        specimen=f"OTHER-{cut.number:05}",
        patient="CANARY-7741",
        value=f"9.{cut.number:05}",
        time="20260301115500",
    )


def _are(filings: Sequence[Filing], sheet: Sheet, count: int) -> bool:
    """Exactly the first ``count`` results."""
    return compare(sheet.rows(ANALYSER, last=count), filings).flawless


def aborted(lab: Desk, number: int, behind: int, code: str, *, in_part: bool) -> Tried:
    """The sender says itself that it gives up. Its L is a decrease of the level: all before it is saved."""
    sheet = Sheet(number)
    lab.hear(*whole(sheet.aborted(behind, code)))
    lab.convert()
    first = lab.filings()
    alone = sheet.without_its_comment(ANALYSER, behind)
    at_once = [*sheet.rows(ANALYSER, last=came(behind) - len(alone)), *alone]
    wrong = "" if compare(at_once, first).flawless else f"L|1|{code} behind record {behind}: {len(first)} went out"
    lab.time.passed += 600.0
    lab.hear(*whole(sheet.rest(behind) if in_part else sheet.whole()))
    lab.convert()
    return Tried([*sheet.rows(ANALYSER), *alone], [*first, *lab.filings()], wrong)


def judged(found: Sequence[Tried]) -> Verdict:
    return compare([row for t in found for row in t.owed], [f for t in found for f in t.filings])


def test_what_was_saved_goes_out_and_the_resend_completes_it(outcomes: Outcomes) -> None:
    chosen = sample()
    with desk() as lab:
        found = [tried(lab, cut) for cut in chosen]
        assert lab.broken() == []  # each was completed by its resend
        assert {alarm.code for alarm in lab.alarms.active()} <= {"interrupted", "nak-limit"}
    assert [t.wrong for t in found if t.wrong] == []
    outcomes.verdict(EVERY_BYTE, ENUMERATED, len(chosen), judged(found), points=len(cuts()))


def test_what_a_sender_that_gives_up_has_sent_goes_out_and_is_said(outcomes: Outcomes) -> None:
    points = [(behind, code, part) for behind in CUTS for code in "TRE" for part in (False, True)]
    chosen = share(points)
    with desk() as lab:
        found = [aborted(lab, n, behind, code, in_part=p) for n, (behind, code, p) in enumerate(chosen, start=1)]
        assert lab.told == ["interrupted"] * len(chosen)
    assert [t.wrong for t in found if t.wrong] == []
    note = "a result that was sent without its comment, and then with it, is two contents and goes out twice"
    outcomes.verdict(ABORTED, ENUMERATED, len(chosen), judged(found), points=len(points), note=note)


# The protections off: the same cuts, and the same count.

SHOWN = [Cut(n, at, "eot", n % 2 == 0) for n, at in enumerate(range(100, LENGTH, 61), start=1)]


def counted() -> tuple[Verdict, int]:
    """Also how often something else than what was saved had gone out before the resend."""
    with desk() as lab:
        found = [tried(lab, cut) for cut in SHOWN]
    return judged(found), sum(bool(t.wrong) for t in found)


def test_control_nothing_is_wrong_with_these_cuts_as_it_is() -> None:
    verdict, wrong = counted()
    assert (verdict.flawless, wrong) == (True, 0)


def test_control_an_interruption_taken_for_an_end_is_found(monkeypatch: pytest.MonkeyPatch, outcomes: Outcomes) -> None:
    async def end(self: Session, reason: str) -> None:
        await self._intake.close(TransmissionEvent.ENDED, reason)

    monkeypatch.setattr(Session, "_interrupt", end)
    verdict, wrong = counted()
    doubled = len(verdict.of("doubled"))
    assert wrong > 0
    assert doubled > 0
    said = f"{wrong} of {len(SHOWN)} cuts published what was not saved, {doubled} results doubled"
    outcomes.control(EVERY_BYTE, "interruption taken for an end", said)


def test_control_an_interruption_thrown_away_is_found(monkeypatch: pytest.MonkeyPatch, outcomes: Outcomes) -> None:
    read = converter.plan

    def nothing(transmission, *words, everything=False, **more):
        if transmission.state is TransmissionState.INTERRUPTED and not everything:
            return Plan(transmission)
        return read(transmission, *words, everything=everything, **more)

    monkeypatch.setattr(converter, "plan", nothing)
    verdict, _ = counted()
    lost = len(verdict.of("lost"))
    assert lost > 0
    outcomes.control(EVERY_BYTE, "interruption thrown away", f"{lost} of {verdict.acknowledged} lost")


def test_control_resends_that_nobody_recognises_are_found(monkeypatch: pytest.MonkeyPatch, outcomes: Outcomes) -> None:
    monkeypatch.setattr(Conversion, "lookup", lambda self, analyser, keys: {})
    verdict, _ = counted()
    doubled = len(verdict.of("doubled"))
    assert doubled > 0
    outcomes.control(EVERY_BYTE, "de-duplication off", f"{doubled} doubled of {verdict.acknowledged}")
    outcomes.control(ABORTED, "de-duplication off", f"{doubled} doubled of {verdict.acknowledged} in other cuts")
