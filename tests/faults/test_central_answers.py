"""The management system's answers are lost, doubled, late, forged or refusals: nothing is lost or doubled."""

from collections.abc import Callable, Iterator

import pytest
from end_to_end.lab import PREFIX, until
from faults.broker_lab import PATIENCE_S, BrokerLab, broker_lab
from faults.outcomes_file import RANDOM, Outcomes
from faults.scale import chance, many, one_in

from simulators.central_desk import Answer, Reply
from simulators.oracle import Verdict

pytestmark = [pytest.mark.broker, pytest.mark.slow]

ACKS = f"{PREFIX}/down/ack/ivd"
FORGED = "0" * 64
LOST, OTHER_BYTES, GUESSED = "answers lost", "answers that confirm other bytes", "answers that guess what comes next"


class FirstAnswers:
    """A script: of so many messages the first delivery is answered otherwise, every later one as it should be."""

    def __init__(self, answer: Callable[[str], Answer], count: int) -> None:
        self._answer, self._count = answer, count
        self.spoiled: set[str] = set()

    def __call__(self, msh10: str) -> Answer:
        if msh10 in self.spoiled or self.done:
            return None
        self.spoiled.add(msh10)
        return self._answer(msh10)

    @property
    def done(self) -> bool:
        return len(self.spoiled) >= self._count


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerLab]:
    with broker_lab(tmp_path_factory.mktemp("central")) as lab:
        yield lab


def spoiled(lab: BrokerLab, scenario: str, answer: Callable[[str], Answer], count: int, alarm: str = "") -> Verdict:
    script = FirstAnswers(answer, count)

    def work() -> None:
        lab.central.set_script(script)
        until(lambda: script.done, PATIENCE_S + count, f"{count} answers are spoiled")
        if alarm:
            lab.comes(alarm)

    try:
        return lab.judged(scenario, work)
    finally:
        lab.central.set_script(None)


def other_id(msh10: str, steps: int = 1) -> str:
    """One that this gateway may have given, or will give, to another message."""
    store, _, number = msh10.partition("-")
    return f"{store}-{int(number) + steps:0{len(number)}d}"


def ahead(msh10: str) -> list[Reply]:
    """The right answer, late, so that others wait; and answers to what this store sends next, without a digest."""
    ids = [other_id(msh10, steps) for steps in range(1, 25)]
    return [
        Reply("AA", after_s=0.8),
        *(Reply("AA", control_id=id_, correlation=id_.encode(), digest="") for id_ in ids),
    ]


delays = chance("answers")

SPOILED: dict[str, tuple[Callable[[str], Answer], str]] = {
    LOST: (lambda id_: "none", ""),
    "answers doubled": (lambda id_: [Reply("AA"), Reply("AA", after_s=delays.uniform(0.0, 0.5))], ""),
    "answers late": (lambda id_: Reply("AA", after_s=delays.uniform(1.0, 2.5)), ""),
    "answers out of order": (lambda id_: Reply("AA", after_s=delays.uniform(0.0, 0.9)), ""),
    OTHER_BYTES: (lambda id_: Reply("AA", digest=FORGED), "digest-mismatch"),
    "answers that name another message": (lambda id_: Reply("AA", control_id=other_id(id_, -1)), "foreign-ack"),
    "answers whose correlation is another message's": (
        lambda id_: Reply("AA", correlation=other_id(id_, -1).encode()),
        "foreign-ack",
    ),
    "answers to another gateway's messages": (
        lambda id_: Reply("AA", control_id="OTHERGW1-00000000001", correlation=b"OTHERGW1-00000000001"),
        "foreign-ack",
    ),
    "answers without correlation": (lambda id_: Reply("AA", correlation=b""), "foreign-ack"),
    "answers on another consumer's topic": (lambda id_: Reply("AA", topic=f"{PREFIX}/down/ack/other"), ""),
    GUESSED: (ahead, ""),
    "commit accepts only (CA)": (lambda id_: Reply("CA"), ""),
    "refusals that may pass (AE 207)": (lambda id_: Reply("AE", "207^Application internal error^HL70357"), "rejected"),
    "refusals without a reason (AR)": (lambda id_: Reply("AR"), "rejected"),
    "refusals of the enhanced mode (CE 206)": (lambda id_: Reply("CE", "206^Record locked^HL70357"), "rejected"),
}


def test_first_answers_that_are_not_right(lab: BrokerLab, outcomes: Outcomes) -> None:
    for scenario in one_in(3, [*SPOILED]):
        outcomes.begin()
        answer, alarm = SPOILED[scenario]
        count = many(sample=20 if scenario == GUESSED else 5, full=100)
        verdict = spoiled(lab, scenario, answer, count, alarm)
        if alarm == "rejected":
            lab.goes(alarm)
        outcomes.verdict(scenario, RANDOM, count, verdict)


def test_answers_that_lie_retained_at_the_broker(lab: BrokerLab, outcomes: Outcomes) -> None:
    scenario, count = "answers retained", many(sample=5, full=100)
    verdict = spoiled(lab, scenario, lambda id_: Reply("AA", retain=True), count, "retained-command")
    lab.say(ACKS, b"", retain=True)
    outcomes.verdict(scenario, RANDOM, count, verdict)


def test_what_is_no_answer_on_the_topic_of_answers(lab: BrokerLab, outcomes: Outcomes) -> None:
    scenario, count, noise = "noise on the topic of answers", many(sample=5, full=100), chance("noise on acks")

    def work() -> None:
        for _ in range(count):
            lab.say(ACKS, noise.randbytes(noise.randrange(0, 300)))
        lab.comes("foreign-ack")

    outcomes.verdict(scenario, RANDOM, count, lab.judged(scenario, work))


def test_refusals_for_good_until_a_person_says_send_it_again(lab: BrokerLab, outcomes: Outcomes) -> None:
    scenario, count = "refused for good, then sent again by a person (AE 101)", many(sample=5, full=100)
    script = FirstAnswers(lambda id_: Reply("AE", "101^Required field missing^HL70357"), count)

    def work() -> None:
        lab.central.set_script(script)
        until(lambda: script.done, PATIENCE_S + count, f"{count} are refused")
        until(lambda: len(refused()) == count, PATIENCE_S, f"{count} are rejected")
        lab.comes("rejected")
        lab.agent.ask("retry", ids=refused())
        lab.goes("rejected")

    def refused() -> list[str]:
        return [row["id"] for row in lab.agent.ask("queue", state="rejected", limit=1000)["messages"]]

    try:
        outcomes.verdict(scenario, RANDOM, count, lab.judged(scenario, work))
    finally:
        lab.central.set_script(None)


@pytest.mark.parametrize("clean", [True, False], ids=["leaves", "is cut off"])
def test_a_management_system_that_is_away_while_the_broker_keeps(
    lab: BrokerLab, outcomes: Outcomes, clean: bool
) -> None:
    """One message goes out as a probe while it is away; all others wait here."""

    def fault() -> None:
        lab.central.go_offline(clean=clean)
        lab.comes("consumer-offline")
        lab.central.go_online()
        lab.goes("consumer-offline")
        lab.something_filed()

    lab.tried(outcomes, f"management system {'leaves' if clean else 'is cut off'} and comes back", 100, fault)


# The controls: a protection switched off, the same count


@pytest.mark.every(3)
def test_the_same_count_finds_what_a_forged_answer_closes(
    tmp_path_factory: pytest.TempPathFactory, outcomes: Outcomes
) -> None:
    with broker_lab(tmp_path_factory.mktemp("digest"), defect="ignore-digest") as lab:
        verdict = spoiled(lab, OTHER_BYTES, SPOILED[OTHER_BYTES][0], 5)
    found = len(verdict.of("unfiled"))
    assert found > 0, verdict.table()
    outcomes.control(OTHER_BYTES, "digest not compared", f"{found} of {verdict.acknowledged} never filed")


@pytest.mark.every(3)
def test_the_same_count_finds_what_a_guess_closes(tmp_path_factory: pytest.TempPathFactory, outcomes: Outcomes) -> None:
    with broker_lab(tmp_path_factory.mktemp("guess"), defect="believe-guesses") as lab:
        verdict = spoiled(lab, GUESSED, ahead, 25)
    found = len(verdict.of("lost"))
    assert found > 0, verdict.table()
    outcomes.control(GUESSED, "answered before it was sent is believed", f"{found} of {verdict.acknowledged} lost")


@pytest.mark.every(3)
def test_the_same_count_finds_what_a_new_id_at_each_try_doubles(
    tmp_path_factory: pytest.TempPathFactory, outcomes: Outcomes
) -> None:
    with broker_lab(tmp_path_factory.mktemp("ids"), defect="rename-retries") as lab:
        script = FirstAnswers(lambda id_: "none", 5)

        def work() -> None:
            lab.central.set_script(script)
            until(lambda: script.done, PATIENCE_S, "five answers are lost")
            known = lab.central.ledger.totals()["filed_messages"]
            lab.central.wait_until(lambda totals: totals["filed_messages"] > known + 100, PATIENCE_S)

        verdict = lab.judged(LOST, work, drained=False)
    found = len(verdict.of("doubled"))
    assert found > 0, verdict.table()
    outcomes.control_of_all("another MSH-10 at each try", f"{found} of {verdict.acknowledged} doubled")
