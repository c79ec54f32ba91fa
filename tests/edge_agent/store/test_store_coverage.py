"""The digests that stand in entries: over these columns in this order, for every later version as well."""

import hashlib

from store_helpers import START, converted, digest, held, message, source

from edge_agent.states import ItemState, TransmissionEvent
from edge_agent.store import coverage
from edge_agent.store.rows import Chunk, ChunkKind, NewGroup, Settlement

T = 1709287200000000  # START in microseconds; the store's own time begins there, too
assert START.timestamp() * 1_000_000 == T


def short(*lines: str) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:32]


def blob(value: bytes) -> str:
    """As SQLite's quote() writes it."""
    return f"X'{value.hex().upper()}'"


def test_a_received_transmission_is_covered_by_its_bytes_its_frames_and_its_profile(store, clock):
    number = store.open_transmission(source())
    store.append(number, [Chunk(ChunkKind.FRAME, b"\x021ab'\x03", b"ab'", 1, last=True)])
    clock.advance(seconds=1)
    store.append(number, [Chunk(ChunkKind.REFUSED, b"xy", b"other", None, reason="checksum")])
    store.end(number, TransmissionEvent.ENDED, "L")
    frames = (
        f"0,{T},6,2,3,1,'frame',NULL,1,''\n"  # place, time, length, where its text is, last; kind, text, number, why
        f"1,{T + 1_000_000},2,0,5,0,'refused',{blob(b'other')},NULL,'checksum'\n"
    )
    facts = coverage.end_facts(store.database, number)
    assert facts == {
        "raw": hashlib.sha256(b"\x021ab'\x03xy").hexdigest(),
        "frames": hashlib.sha256(frames.encode()).hexdigest()[:32],
        "row": short(
            f"1,1,{T},{T},'xn1','10.0.0.5','lis02_generic','{'0' * 64}','production',"
            f"{T + 1_000_000},{T + 1_000_000},'L'"
        ),
    }
    told = store.audit_entries()[-1].facts
    assert {name: told[name] for name in facts} == facts


def test_what_became_of_it_is_covered_by_its_specimens_observations_and_messages(store):
    number = store.open_transmission(source())
    store.end(number, TransmissionEvent.ENDED, "L")
    one, two = message(store, "S1", payload=b"one"), message(store, "S1", payload=b"two", graphics=True, stat=True)
    first = NewGroup("S1", "P", ItemState.CONVERTED, "", "it's", True, (converted("a", one.id), held("b")), (one, two))
    store.settle(Settlement(number, (first, NewGroup("S2", "Q", ItemState.HELD, "role"))))
    assert coverage.reading_digest(store.database, number) == short(
        "1,'complete',NULL",
        f"1,{T},1,1,0,0,'xn1','S1','P','converted','','it''s'",
        f"2,{T},0,1,0,0,'xn1','S2','Q','held','role',''",
        f"1,0,0,{blob(digest('a'))},'a','converted','','','{one.id}'",
        f"1,1,0,{blob(digest('b'))},'b','held','unknown-test-held','',''",
        "1,1",
        "2,1",
    )
    assert coverage.message_digest(store.database, two.id) == short(
        f"2,2,1,1,{T},{T},0,1,'{two.id}','TESTSTOR','xn1','result',{blob(digest('xn1/S1'))},"
        f"'{hashlib.sha256(b'two').hexdigest()}','',''"
    )
    facts = coverage.all_facts(store.database, number)
    assert [item.partition(":")[0] for item in facts["messages"].split()] == [one.id, two.id]
    assert facts["states"] == f"{one.id}:{coverage.QUEUED} {two.id}:{coverage.QUEUED}"
    assert facts["readings"] == f"{number}:{coverage.reading_digest(store.database, number)}"


def test_a_state_is_covered_with_its_reason_and_times_but_not_with_what_a_queued_one_was_refused_for(store, clock):
    number = store.open_transmission(source())
    store.end(number, TransmissionEvent.ENDED, "L")
    out = message(store, "S1")
    store.settle(Settlement(number, (NewGroup("S1", "P", ItemState.CONVERTED, messages=(out,)),)))

    def now() -> str:
        return coverage.state_digest(store.database, out.id)

    assert now() == coverage.QUEUED == short("'queued','','',NULL,NULL")
    clock.advance(seconds=2)
    store.puback(out.id, 0)
    assert now() == short(f"'at-broker','','',{T + 2_000_000},NULL")
    store.puback(out.id, 0x97, "quota")
    assert store.message(out.id).code == "0x97"
    assert now() == coverage.QUEUED
    store.acknowledged(out.id, code="AA", detail="thanks", consumer="ivd", digest_ok=True)
    assert now() == short(f"'filed','AA','thanks',NULL,{T + 2_000_000}")


def test_a_transmission_that_led_to_nothing_tells_of_no_message(store):
    number = store.open_transmission(source())
    store.end(number, TransmissionEvent.ENDED, "L")
    assert sorted(coverage.all_facts(store.database, number)) == ["frames", "raw", "readings", "row", "transmission"]
