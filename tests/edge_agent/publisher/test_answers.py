"""Judging an acknowledgement, without a broker: every way it can be wrong."""

from dataclasses import replace

import pytest
from support_publisher import outbox_row

from edge_agent.publisher.answers import AckMessage, Wrong, judge, read
from edge_agent.publisher.events import Received
from edge_agent.publisher.options import MqttOptions, Version
from edge_agent.publisher.verdicts import Answer
from edge_agent.store.rows import OutboxRow, Route

OPTIONS = MqttOptions(("mqtt://b",), "s", "g")
ROW: OutboxRow = outbox_row("ABCD1234-00000000001")
ACK = AckMessage("ivd", "AA", ROW.id, "", "", ROW.id.encode(), ROW.digest)


def test_the_right_one_closes() -> None:
    outcome = judge(ACK, ROW, OPTIONS)
    assert outcome.decides
    assert (outcome.answer, outcome.digest_ok) == (Answer.FILED, True)


@pytest.mark.parametrize(
    ("ack", "wrong"),
    [
        (replace(ACK, consumer="billing"), Wrong.FOREIGN),
        (replace(ACK, correlation=b"ABCD1234-00000000002"), Wrong.FOREIGN),
        (replace(ACK, correlation=None), Wrong.FOREIGN),
        (replace(ACK, digest="0" * 64), Wrong.DIGEST),
        (replace(ACK, digest=""), Wrong.DIGEST),
    ],
)
def test_a_wrong_one_decides_nothing(ack: AckMessage, wrong: Wrong) -> None:
    outcome = judge(ack, ROW, OPTIONS)
    assert outcome.wrong is wrong
    assert not outcome.decides


def test_one_for_a_message_that_never_went_out_decides_nothing() -> None:
    """Ids follow one another: whoever has seen one can name the next, and may leave the digest out."""
    for guess in (ACK, replace(ACK, digest=None)):
        outcome = judge(guess, replace(ROW, attempts=0), OPTIONS)
        assert outcome.wrong is Wrong.FOREIGN
        assert not outcome.decides


def test_one_for_no_message_of_ours_decides_nothing() -> None:
    assert judge(ACK, None, OPTIONS).wrong is Wrong.FOREIGN


def test_a_digest_may_be_missing_unless_it_is_required() -> None:
    bare = replace(ACK, digest=None)
    assert judge(bare, ROW, OPTIONS).decides
    assert judge(bare, ROW, replace(OPTIONS, require_digest=True)).wrong is Wrong.DIGEST


def test_mqtt_3_1_1_has_no_correlation_to_compare() -> None:
    assert judge(replace(ACK, correlation=None, digest=None), ROW, replace(OPTIONS, version=Version.V311)).decides


def test_each_route_has_its_own_consumer() -> None:
    options = replace(OPTIONS, consumers={Route.RESULT: "ivd", Route.QC: "qc", Route.VALIDATION: "ivd"})
    control = replace(ROW, route=Route.QC)
    assert judge(ACK, control, options).wrong is Wrong.FOREIGN
    assert judge(replace(ACK, consumer="qc"), control, options).decides


def test_commit_accept_decides_nothing() -> None:
    outcome = judge(replace(ACK, code="CA"), ROW, OPTIONS)
    assert outcome.answer is Answer.RECEIVED
    assert not outcome.decides


def _received(payload: bytes, *user: tuple[str, str]) -> Received:
    return Received(1, 1, 1, "t", payload, False, b"X-1", user)


def test_an_acknowledgement_is_read_with_its_error_and_digest() -> None:
    payload = (
        b"MSH|^~\\&|IVD|C|||20240301||ACK^R22^ACK|9|P|2.5.1\rMSA|AE|X-1|not known: KIM\r"
        b"ERR|||204^Unknown key identifier^HL70357|E\r"
    )
    ack = read(_received(payload, ("digest", "AB" * 32)), "ivd")
    assert ack is not None
    assert (ack.code, ack.control_id, ack.error, ack.correlation) == ("AE", "X-1", "204", b"X-1")
    assert ack.digest == "ab" * 32
    assert ack.detail == "204 E not known: KIM"
    assert "KIM" not in repr(ack), "what a consumer wrote may name a patient"


@pytest.mark.parametrize("payload", [b"", b"{}", b"\xff\xfe", b"MSH|^~\\&|a\r", b"MSH|^~\\&|a\rMSA|OK|X-1\r"])
def test_what_is_no_acknowledgement_is_read_as_none(payload: bytes) -> None:
    assert read(_received(payload), "ivd") is None


def test_no_more_of_a_consumers_words_is_kept_than_a_person_reads() -> None:
    payload = b"MSH|^~\\&|IVD|C|||20240301||ACK^R22^ACK|9|P|2.5.1\rMSA|AA|X-1|" + b"x" * 301 + b"\r"
    ack = read(_received(payload), "ivd")
    assert ack is not None
    assert ack.detail == "x" * 300
    assert (ack.error, ack.digest, ack.farewells) == ("", None, 0)


def test_the_first_of_two_digests_counts() -> None:
    payload = b"MSH|^~\\&|IVD|C|||20240301||ACK^R22^ACK|9|P|2.5.1\rMSA|AA|X-1\r"
    ack = read(_received(payload, ("other", "c"), ("digest", "a"), ("digest", "b")), "ivd", 7)
    assert ack is not None
    assert (ack.digest, ack.farewells) == ("a", 7)
