"""One connection: stored, then acknowledged; every way a transmission can end."""

import asyncio

import pytest
from support_ports import run, until
from support_session import ACK, ENQ, EOT, MESSAGE, NAK, RECORDS, TEXT, bad, frame, kinds, rig, store_in, talk

from drivers.protocols.lis01 import Dialect
from edge_agent.states import TransmissionState
from edge_agent.store.rows import ChunkKind

WHOLE = (ENQ, *MESSAGE)
F, R, X, N = ChunkKind.FRAME, ChunkKind.REPEAT, ChunkKind.REFUSED, ChunkKind.NOISE


def test_a_message_is_stored_frame_by_frame_and_complete_before_its_last_acknowledgement(tmp_path):
    async def main(store):
        async with rig(store) as r:
            wire = await r.call()
            assert await talk(wire, *WHOLE) == [ACK] * 5
            (transmission,) = await r.ended()  # before EOT
            await wire.send(EOT)
            await wire.close()
        assert transmission.state is TransmissionState.COMPLETE
        assert transmission.reason == "L"
        assert transmission.text() == TEXT
        assert [c.chunk.raw for c in transmission.chunks] == list(MESSAGE)
        assert [c.chunk.number for c in transmission.chunks] == [1, 2, 3, 4]
        assert transmission.source.analyser == "xn1"
        assert transmission.source.peer.startswith("127.0.0.1:")
        assert r.codes() == set()
        assert r.stored == 1

    with store_in(tmp_path) as store:
        run(main(store))


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_how_the_bytes_are_cut_does_not_matter(tmp_path, size):
    async def main(store):
        async with rig(store) as r:
            wire = await r.call()
            for part in WHOLE:
                for start in range(0, len(part), size):
                    await wire.send(part[start : start + size])
                    await asyncio.sleep(0)
                assert await wire.answer() == ACK
            (transmission,) = await r.ended()
            await wire.close()
        assert transmission.text() == TEXT

    with store_in(tmp_path) as store:
        run(main(store))


def test_everything_glued_into_one_write_is_received_too(tmp_path):
    async def main(store):
        async with rig(store) as r:
            wire = await r.call()
            second = (ENQ, *MESSAGE, EOT)
            await wire.send(b"".join((*WHOLE, EOT, *second)))
            assert await wire.answer(9) == ACK * 9  # nobody waits for that of the L: the next ENQ is there
            first, other = await r.ended(2)
            await wire.close()
        assert first.text() == other.text() == TEXT

    with store_in(tmp_path) as store:
        run(main(store))


def test_two_messages_in_one_session_are_two_transmissions(tmp_path):
    async def main(store):
        async with rig(store) as r:
            wire = await r.call()
            again = tuple(frame(n, text) for n, text in zip((5, 6, 7, 8), RECORDS, strict=True))
            assert await talk(wire, *WHOLE, *again) == [ACK] * 9
            first, second = await r.ended(2)
            await wire.send(EOT)
            await wire.close()
        assert first.text() == second.text() == TEXT

    with store_in(tmp_path) as store:
        run(main(store))


def test_a_session_with_nothing_in_it_stores_nothing(tmp_path):
    async def main(store):
        async with rig(store) as r:
            wire = await r.call()
            assert await talk(wire, ENQ) == [ACK]
            await wire.send(EOT)
            assert await talk(wire, ENQ) == [ACK]
            await wire.send(EOT)
            await wire.close()
            await until(lambda: not r.link.status().connections)
            assert await r.transmissions() == []
            assert r.stored == 0

    with store_in(tmp_path) as store:
        run(main(store))


def test_a_retransmitted_frame_is_acknowledged_and_stored_once(tmp_path):
    async def main(store):
        async with rig(store) as r:
            wire = await r.call()
            assert await talk(wire, ENQ, MESSAGE[0], MESSAGE[1], MESSAGE[1], *MESSAGE[2:], MESSAGE[3]) == [ACK] * 7
            await wire.send(EOT)
            await wire.close()
            await until(lambda: not r.link.status().connections)
            (transmission,) = await r.ended()
        assert kinds(transmission) == [F, F, R, F, F]  # the last frame's repeat came when all of it was stored
        assert transmission.text() == TEXT

    with store_in(tmp_path) as store:
        run(main(store))


def test_a_repeat_of_the_last_frame_that_came_damaged_first_leaves_nothing_held(tmp_path):
    async def main(store):
        async with rig(store) as r:
            wire = await r.call()
            assert await talk(wire, *WHOLE, bad(4, RECORDS[3]), MESSAGE[3]) == [ACK] * 5 + [NAK, ACK]
            await wire.send(EOT)
            await wire.close()
            await until(lambda: not r.link.status().connections)
            (transmission,) = await r.transmissions()
        assert kinds(transmission) == [F, F, F, F]

    with store_in(tmp_path) as store:
        run(main(store))


def test_a_damaged_frame_is_refused_kept_as_evidence_and_taken_when_it_comes_well(tmp_path):
    async def main(store):
        async with rig(store) as r:
            wire = await r.call()
            parts = (ENQ, MESSAGE[0], bad(2, RECORDS[1]), *MESSAGE[1:])
            assert await talk(wire, *parts) == [ACK, ACK, NAK, ACK, ACK, ACK]
            (transmission,) = await r.ended()
            await wire.close()
        assert kinds(transmission) == [F, X, F, F, F]
        assert transmission.chunks[1].chunk.raw == bad(2, RECORDS[1]).removesuffix(b"\r\n")
        assert transmission.chunks[1].chunk.reason == "checksum"
        assert transmission.text() == TEXT

    with store_in(tmp_path) as store:
        run(main(store))


def test_six_refusals_in_a_row_raise_an_alarm_that_the_next_good_frame_clears(tmp_path):
    async def main(store):
        async with rig(store) as r:
            wire = await r.call()
            assert await talk(wire, ENQ, *[bad(1, RECORDS[0])] * 6) == [ACK] + [NAK] * 6
            await until(lambda: "nak-limit" in r.codes())
            await wire.send(EOT)
            (refused,) = await r.ended()
            assert refused.state is TransmissionState.INTERRUPTED
            assert refused.reason == "eot"
            assert kinds(refused) == [X] * 6
            assert r.codes() == {"nak-limit"}  # nothing acknowledged was broken off
            assert await talk(wire, ENQ, MESSAGE[0]) == [ACK, ACK]
            assert r.codes() == set()
            await wire.close()

    with store_in(tmp_path) as store:
        run(main(store))


def test_a_frame_number_used_again_for_other_content_is_refused_with_its_own_alarm(tmp_path):
    async def main(store):
        async with rig(store) as r:
            wire = await r.call()
            assert await talk(wire, ENQ, MESSAGE[0], frame(1, RECORDS[1])) == [ACK, ACK, NAK]
            await until(lambda: r.codes() == {"frame-number"})
            await wire.send(EOT)
            assert await talk(wire, ENQ, *MESSAGE) == [ACK] * 5
            await until(lambda: "frame-number" not in r.codes())
            await wire.close()

    with store_in(tmp_path) as store:
        run(main(store))


# Interruptions: invariant 4


def test_end_of_session_without_the_last_record_is_an_interruption(tmp_path):
    async def main(store):
        async with rig(store) as r:
            wire = await r.call()
            await talk(wire, ENQ, *MESSAGE[:3])
            await wire.send(EOT)
            (transmission,) = await r.ended()
            await wire.close()
        assert transmission.state is TransmissionState.INTERRUPTED
        assert transmission.reason == "eot"
        assert transmission.text() == b"".join(RECORDS[:3])
        assert [(a.code, a.analyser) for a in r.alarms.active()] == [("interrupted", "xn1")]
        assert r.alarms.active()[0].params["at"][:2] == "20"

    with store_in(tmp_path) as store:
        run(main(store))


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_a_link_cut_after_any_frame_keeps_what_was_acknowledged(tmp_path, frames):
    async def main(store):
        async with rig(store) as r:
            wire = await r.call()
            await talk(wire, ENQ, *MESSAGE[:frames])
            wire.reset()
            (transmission,) = await r.ended()
        assert transmission.state is TransmissionState.INTERRUPTED
        assert transmission.reason == "link"
        assert transmission.text() == b"".join(RECORDS[:frames])
        assert r.codes() == {"interrupted"}

    with store_in(tmp_path) as store:
        run(main(store))


def test_a_link_cut_in_the_middle_of_a_frame_keeps_the_half_as_evidence(tmp_path):
    async def main(store):
        async with rig(store) as r:
            wire = await r.call()
            await talk(wire, ENQ, MESSAGE[0])
            await wire.send(MESSAGE[1][:20])
            await wire.close()
            (transmission,) = await r.ended()
        assert transmission.text() == RECORDS[0]
        assert transmission.chunks[-1].chunk.raw == MESSAGE[1][:20]
        assert transmission.chunks[-1].chunk.kind in (N, X)

    with store_in(tmp_path) as store:
        run(main(store))


def test_after_the_last_record_a_lost_link_is_no_interruption(tmp_path):
    async def main(store):
        async with rig(store) as r:
            wire = await r.call()
            await talk(wire, *WHOLE)
            wire.reset()
            await until(lambda: not r.link.status().connections)
            (transmission,) = await r.transmissions()
        assert transmission.state is TransmissionState.COMPLETE
        assert r.codes() == set()

    with store_in(tmp_path) as store:
        run(main(store))


def test_a_second_start_after_frames_breaks_the_first_off_and_begins_anew(tmp_path):
    async def main(store):
        async with rig(store) as r:
            wire = await r.call()
            await talk(wire, ENQ, *MESSAGE[:2])
            assert await talk(wire, *WHOLE) == [ACK] * 5
            first, second = await r.ended(2)
            await wire.close()
        assert (first.state, first.reason) == (TransmissionState.INTERRUPTED, "enq")
        assert first.text() == b"".join(RECORDS[:2])
        assert second.text() == TEXT

    with store_in(tmp_path) as store:
        run(main(store))


def test_where_the_profile_says_so_eot_ends_a_message(tmp_path):
    async def main(store):
        async with rig(store, Dialect(end_of_message="EOT")) as r:
            wire = await r.call()
            await talk(wire, ENQ, *MESSAGE[:3])
            await wire.send(EOT)
            (transmission,) = await r.ended()
            await wire.close()
        assert (transmission.state, transmission.reason) == (TransmissionState.COMPLETE, "eot")
        assert r.codes() == set()
        assert r.link.status().last_result is not None

    with store_in(tmp_path) as store:
        run(main(store))


def test_even_there_eot_after_a_refused_frame_is_an_interruption(tmp_path):
    async def main(store):
        async with rig(store, Dialect(end_of_message="EOT")) as r:
            wire = await r.call()
            assert await talk(wire, ENQ, *MESSAGE[:2], bad(3, RECORDS[2])) == [ACK, ACK, ACK, NAK]
            await wire.send(EOT)
            (transmission,) = await r.ended()
            await wire.close()
        assert (transmission.state, transmission.reason) == (TransmissionState.INTERRUPTED, "eot")
        assert kinds(transmission) == [F, F, X]

    with store_in(tmp_path) as store:
        run(main(store))


def test_two_connections_interleaved_byte_by_byte_never_mix(tmp_path):
    async def main(store):
        async with rig(store) as r:
            a, b = await r.call(), await r.call()
            other = tuple(frame(n, text.replace(b"SID305", b"SID777")) for n, text in enumerate(RECORDS, start=1))
            for left, right in zip(WHOLE, (ENQ, *other), strict=True):
                for i in range(max(len(left), len(right))):
                    await a.send(left[i : i + 1])
                    await b.send(right[i : i + 1])
                assert await a.answer() == ACK
                assert await b.answer() == ACK
            both = await r.ended(2)
            await a.close()
            await b.close()
        texts = {t.source.peer: t.text() for t in both}
        assert sorted(texts.values()) == sorted([TEXT, TEXT.replace(b"SID305", b"SID777")])
        assert len(texts) == 2

    with store_in(tmp_path) as store:
        run(main(store))


def test_status_tells_link_protocol_and_the_last_byte(tmp_path):
    async def main(store):
        async with rig(store) as r:
            status = r.link.status()
            assert (status.link, status.protocol, status.connections, status.last_byte) == ("up", "idle", (), None)
            wire = await r.call()
            await talk(wire, ENQ, MESSAGE[0])
            status = r.link.status()
            assert status.protocol == "receiving"
            assert len(status.connections) == 1
            assert status.last_byte is not None
            assert status.last_result is None
            await talk(wire, *MESSAGE[1:])
            await wire.send(EOT)
            await until(lambda: r.link.status().protocol == "idle")
            assert r.link.status().last_result is not None
            await wire.close()

    with store_in(tmp_path) as store:
        run(main(store))
