"""The comparison by itself: a store written by hand against what an analyser was told."""

from random import Random

import pytest
from support_session import MESSAGE, RECORDS

from edge_agent.selftest.checking import Findings, check
from edge_agent.selftest.ledger import Attempt, Ledger
from edge_agent.selftest.messages import Message, frame, messages
from edge_agent.states import ItemState, TransmissionEvent
from edge_agent.store.rows import Chunk, ChunkKind, NewGroup, NewMessage, Route, Settlement, Source
from edge_agent.store.store import Store

SOURCE = Source("selftest", "", "lis02_generic", 1, "00", "validation")
RESULTS = {("S-1", "T1"): "1.5", ("S-1", "T2"): "2.5"}
TEXTS = (b"P|1\r", b"O|1|S-1\r", b"R|1|^^^T1|1.5\r", b"R|2|^^^T2|2.5\r", b"L|1|N\r")
OUL = "MSH|^~\\&|a\rSPM|1|S-1||SER\rOBX|1|NM|T1^^99LOC||1.5|\rOBX|2|NM|T2^^99LOC||2.5|\r"


@pytest.fixture
def ledger() -> Ledger:
    """One message, acknowledged to its end."""
    made = Ledger()
    attempt = made.begin(Message(1, RESULTS, TEXTS))
    attempt.sent = attempt.acknowledged = len(attempt.frames)
    return made


def stored(store: Store, *frames: bytes, end: str | None = "L") -> int:
    number = store.open_transmission(SOURCE)
    if frames:
        store.append(number, [Chunk(ChunkKind.FRAME, raw, raw[2:]) for raw in frames], end=end)
    return number


def queued(store: Store, number: int, *payloads: str) -> None:
    made = [
        NewMessage(one.id, one.at, "selftest", Route.VALIDATION, b"k%d" % place, text.encode())
        for place, (one, text) in enumerate(zip(store.reserve(len(payloads)), payloads, strict=True))
    ]
    store.settle(Settlement(number, (NewGroup("S-1", "P", ItemState.CONVERTED, messages=tuple(made)),)))


def counts(findings: Findings) -> tuple[int, int, int, int]:
    """Lost, altered, doubled, misplaced."""
    return findings.lost, findings.altered, findings.doubled, findings.misplaced


def attempt(ledger: Ledger) -> Attempt:
    return ledger.attempts[0]


def test_what_is_as_it_should_be_is_counted_and_nothing_is_found(store: Store, ledger: Ledger) -> None:
    queued(store, stored(store, *attempt(ledger).frames), OUL)
    findings = check(store, ledger)
    assert findings.flawless
    assert (findings.frames, findings.results) == (6, 2)


def test_an_oru_has_its_specimen_behind_the_results(store: Store, ledger: Ledger) -> None:
    head, specimen, *results = OUL.split("\r")[:-1]
    queued(store, stored(store, *attempt(ledger).frames), "\r".join([head, *results, specimen, ""]))
    assert check(store, ledger).flawless


def test_an_acknowledged_frame_that_is_not_there_is_lost_and_so_are_the_results(store: Store, ledger: Ledger) -> None:
    stored(store, *attempt(ledger).frames[:-1], end=None)
    assert counts(check(store, ledger)) == (1 + 2, 0, 0, 0)


def test_a_transmission_that_is_not_there_is_lost_with_its_results(store: Store, ledger: Ledger) -> None:
    assert counts(check(store, ledger)) == (6 + 2, 0, 0, 0)


def test_a_frame_that_was_not_acknowledged_may_be_there_or_not(store: Store, ledger: Ledger) -> None:
    attempt(ledger).acknowledged -= 1
    number = stored(store, *attempt(ledger).frames[:-1], end=None)
    store.end(number, TransmissionEvent.BROKEN, "restart")
    assert check(store, ledger).flawless


@pytest.mark.parametrize("place", [0, 3])
def test_a_changed_byte_is_an_alteration(store: Store, ledger: Ledger, place: int) -> None:
    frames = list(attempt(ledger).frames)
    frames[place] = frames[place][:-4] + b"!" + frames[place][-3:]
    queued(store, stored(store, *frames), OUL)
    assert counts(check(store, ledger)) == (0, 1, 0, 0)


def test_a_transmission_that_is_there_twice_is_doubled(store: Store, ledger: Ledger) -> None:
    queued(store, stored(store, *attempt(ledger).frames), OUL)
    stored(store, *attempt(ledger).frames)
    assert counts(check(store, ledger)) == (0, 0, 6, 0)


def test_frames_nobody_sent_are_misplaced(store: Store, ledger: Ledger) -> None:
    queued(store, stored(store, *attempt(ledger).frames), OUL)
    stored(store, *MESSAGE)
    assert counts(check(store, ledger)) == (0, 0, 0, 4)


@pytest.mark.parametrize(
    ("payloads", "found"),
    [
        ((OUL, OUL), (0, 0, 2, 0)),
        ((OUL.replace("1.5", "1.50"),), (0, 1, 0, 0)),
        ((OUL.replace("S-1", "S-2"),), (2, 0, 0, 2)),
        ((OUL.replace("OBX|2|NM|T2^^99LOC||2.5|\r", ""),), (1, 0, 0, 0)),
    ],
    ids=["twice", "another value", "another specimen", "one is missing"],
)
def test_results_are_looked_for_in_the_outbox(
    store: Store, ledger: Ledger, payloads: tuple[str, ...], found: tuple[int, ...]
) -> None:
    queued(store, stored(store, *attempt(ledger).frames), *payloads)
    assert counts(check(store, ledger)) == found


def test_a_message_that_is_not_as_its_digest_says_is_altered(store: Store, ledger: Ledger) -> None:
    queued(store, stored(store, *attempt(ledger).frames), OUL)
    store.database.execute("UPDATE payload SET payload = CAST(replace(payload, 'SER', 'SEX') AS BLOB)")
    assert counts(check(store, ledger)) == (0, 1, 0, 0)


def test_a_broken_audit_chain_is_said(store: Store, ledger: Ledger) -> None:
    queued(store, stored(store, *attempt(ledger).frames), OUL)
    store.database.execute("UPDATE audit SET at = at + 1 WHERE entry = 1")
    assert check(store, ledger).broken == ["Audit entry 1 was changed."]


def test_a_state_that_does_not_fit_the_frames_is_said(store: Store, ledger: Ledger) -> None:
    attempt(ledger).acknowledged -= 1
    stored(store, *attempt(ledger).frames[:-1])
    assert check(store, ledger).broken == ["A transmission with 5 of 6 frames is complete."]


def test_frames_are_written_as_the_standard_says() -> None:
    """Beside frames from the published examples."""
    assert [frame(number, text) for number, text in enumerate(RECORDS, start=1)] == [raw[:-2] for raw in MESSAGE]


def test_a_long_record_goes_on_in_the_next_frame_and_no_two_attempts_are_equal() -> None:
    message = Message(1, {}, (b"C|1|I|" + b"x" * 300 + b"|G\r", b"L|1|N\r"))
    _, first, second, last = message.frames(1)
    assert (len(first), first[-3:-2], second[-3:-2]) == (2 + 240 + 3, b"\x17", b"\x03")
    assert last == frame(4, b"L|1|N\r")
    assert message.frames(1)[0] != message.frames(2)[0]
    assert message.frames(1)[1:] == message.frames(2)[1:]


def test_every_value_is_sent_once_and_the_same_seed_sends_the_same() -> None:
    source = messages(Random(3))
    sent = [next(source) for _ in range(50)]
    values = [value for message in sent for value in message.results.values()]
    assert len(values) == len(set(values)) > 50
    assert next(messages(Random(3))) == sent[0]
