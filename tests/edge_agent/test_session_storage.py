"""Storage and acknowledgement: the order between them, and what happens when storage does not work."""

import asyncio
import concurrent.futures
import contextlib
import resource
from types import SimpleNamespace

import pytest
from support_ports import run, until
from support_session import ACK, ENQ, EOT, MESSAGE, NAK, RECORDS, TEXT, frame, rig, store_in, talk

from edge_agent.session import Session
from edge_agent.states import TransmissionState

WHOLE = (ENQ, *MESSAGE)


def acknowledged_before_stored(log):
    """How often an ACK for a frame went out before its commit had returned. The first ACK answers ENQ."""
    commits, acks, early = 0, -1, 0
    for what, count in log:
        commits += count if what == "commit" else 0
        acks += what == "ack"
        early += what == "ack" and acks > commits
    return early


def record_writes(log, monkeypatch):
    """Have every write of a session appear in ``log`` at the moment it is made."""
    answer = Session._answer

    async def recorded(self, data):
        if data == ACK:
            log.append(("ack", 1))
        await answer(self, data)

    monkeypatch.setattr(Session, "_answer", recorded)


def test_no_frame_is_acknowledged_before_its_commit_has_returned(tmp_path, monkeypatch):
    async def main(store):
        record_writes(store.log, monkeypatch)
        async with rig(store) as r:
            wire = await r.call()
            for _ in range(10):
                assert await talk(wire, *WHOLE) == [ACK] * 5
                await wire.send(EOT)
            await r.ended(10)
            await wire.close()
        assert store.log.count(("ack", 1)) == 50
        one = store.log[:9]
        assert one == [("ack", 1), *[("commit", 1), ("ack", 1)] * 4]
        assert acknowledged_before_stored(one) == 0

    with store_in(tmp_path) as store:
        run(main(store))


def test_a_store_that_answers_before_its_commit_is_caught_by_that_comparison(tmp_path, monkeypatch):
    """Negative control: the same comparison, a store that hands out receipts it has no right to."""

    class Early:
        def __init__(self, store):
            self._store = store
            self.waiting = []
            self.failed = None
            self.later = store.later
            self.inner = store.inner

        def urgent_in_loop(self, job):
            forged = asyncio.get_running_loop().create_future()
            forged.set_result(SimpleNamespace(chunks=1, transmission=1))
            self.waiting.append(job)
            return forged

    async def main(store):
        record_writes(store.log, monkeypatch)
        early = Early(store)
        async with rig(early) as r:
            wire = await r.call()
            assert await talk(wire, ENQ, MESSAGE[0]) == [ACK, ACK]
            await asyncio.wrap_future(store.urgent(early.waiting[0]))
            await wire.close()
        assert acknowledged_before_stored(store.log) == 1

    with store_in(tmp_path) as store:
        run(main(store))


def test_while_a_commit_is_under_way_nothing_is_answered(tmp_path):
    async def main(store):
        async with rig(store) as r:
            wire = await r.call()
            assert await talk(wire, ENQ) == [ACK]
            store.hold = []
            await wire.send(MESSAGE[0])
            await until(lambda: store.hold)
            assert await wire.nothing()
            store.release()
            assert await wire.answer() == ACK
            await wire.close()

    with store_in(tmp_path) as store:
        run(main(store))


def test_when_storage_fails_frames_and_starts_are_refused_until_it_works_again(tmp_path):
    async def main(store):
        async with rig(store) as r:
            wire = await r.call()
            assert await talk(wire, ENQ, *MESSAGE[:2]) == [ACK] * 3
            store.broken = "Results cannot be stored: the disk is gone."
            assert await talk(wire, *[MESSAGE[2]] * 3) == [NAK] * 3
            other = await r.call()
            assert await talk(other, ENQ) == [NAK]
            store.broken = None
            assert await talk(wire, *MESSAGE[2:]) == [ACK, ACK]
            (transmission,) = await r.ended()
            assert await talk(other, ENQ) == [ACK]
            await wire.close()
            await other.close()
        assert transmission.text() == TEXT
        assert transmission.state is TransmissionState.COMPLETE

    with store_in(tmp_path) as store:
        run(main(store))


def test_a_commit_that_fails_is_never_acknowledged_and_raises_the_alarm(tmp_path):
    """``failed`` says nothing yet when the first commit fails: only the job's own future tells."""

    async def main(store):
        async with rig(store) as r:
            wire = await r.call()
            assert await talk(wire, ENQ) == [ACK]
            fail_once(store)
            assert await talk(wire, MESSAGE[0]) == [NAK]
            assert r.codes() == {"storage"}
            assert r.alarms.active()[0].sentence == "Results cannot be stored: disk full."
            assert await talk(wire, *MESSAGE) == [ACK] * 4
            assert r.codes() == set()
            (transmission,) = await r.ended()
            await wire.close()
        assert transmission.text() == TEXT

    with store_in(tmp_path) as store:
        run(main(store))


def fail_once(store):
    urgent = store.urgent

    def failing(job):
        store.urgent = urgent
        store.broken = "disk full"
        try:
            return urgent(job)
        finally:
            store.broken = None

    store.urgent = failing


def test_a_disk_that_takes_no_more_refuses_and_works_again_without_a_restart(tmp_path):
    """The real failure: no file of this process may grow, so SQLite's write comes back with EFBIG."""

    async def main(store):
        async with rig(store) as r:
            wire = await r.call()
            assert await talk(wire, ENQ, MESSAGE[0]) == [ACK, ACK]
            with no_file_may_grow(tmp_path):
                assert await talk(wire, MESSAGE[1]) == [NAK]
                assert r.codes() == {"storage"}
                assert await talk(wire, MESSAGE[1]) == [NAK]
            await until(lambda: store.failed is None)
            assert await talk(wire, *MESSAGE[1:]) == [ACK] * 3
            (transmission,) = await r.ended()
            assert r.codes() == set()
        assert transmission.text() == TEXT

    with store_in(tmp_path) as store:
        run(main(store))


@contextlib.contextmanager
def no_file_may_grow(folder):
    longest = max(path.stat().st_size for path in folder.iterdir() if path.name.endswith("-wal"))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (longest, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def commit_and_report_an_error(store):
    """What a failing fsync may do: the rows are there, and the error says they are not."""
    from edge_agent.store.errors import StorageFailedError

    urgent = store.urgent

    def lying(job):
        store.urgent = urgent
        store.inner.urgent(job).result(5)
        failure = concurrent.futures.Future()
        failure.set_exception(StorageFailedError("input/output error"))
        return failure

    store.urgent = lying


def test_a_commit_that_reported_an_error_but_happened_never_doubles_a_frame(tmp_path):
    async def main(store):
        async with rig(store) as r:
            wire = await r.call()
            assert await talk(wire, ENQ, *MESSAGE[:2]) == [ACK] * 3
            commit_and_report_an_error(store)
            assert await talk(wire, MESSAGE[2]) == [NAK]
            await wire.send(MESSAGE[2])
            assert await wire.hung_up()  # neither ACK nor NAK: the analyser sends all of it again
            await wire.close()
            wire = await r.call()
            assert await talk(wire, *WHOLE) == [ACK] * 5
            first, second = await r.ended(2)
            await wire.close()
        assert first.state is TransmissionState.INTERRUPTED
        assert first.text() == b"".join(RECORDS[:3])  # each record once
        assert second.text() == TEXT

    with store_in(tmp_path) as store:
        run(main(store))


def test_a_transmission_broken_off_while_storage_is_away_is_ended_when_it_is_back(tmp_path, monkeypatch):
    monkeypatch.setattr("edge_agent.intake.RETRY_S", 0.01)

    async def main(store):
        async with rig(store) as r:
            wire = await r.call()
            assert await talk(wire, ENQ, *MESSAGE[:2]) == [ACK] * 3
            store.broken = "gone"
            await wire.close()
            await until(lambda: not r.link.status().connections)
            assert r.stored == 0
            store.broken = None
            (transmission,) = await r.ended()
        assert (transmission.state, transmission.reason) == (TransmissionState.INTERRUPTED, "link")
        assert transmission.text() == b"".join(RECORDS[:2])

    with store_in(tmp_path) as store:
        run(main(store))


def test_a_connection_killed_while_its_commit_is_pending_leaves_the_frame_stored_once(tmp_path):
    async def main(store):
        async with rig(store) as r:
            wire = await r.call()
            assert await talk(wire, ENQ, MESSAGE[0]) == [ACK, ACK]
            store.hold = []
            await wire.send(MESSAGE[1])
            await until(lambda: store.hold)
            wire.reset()
            store.release()
            (transmission,) = await r.ended()
        assert transmission.reason == "link"
        assert transmission.text() == b"".join(RECORDS[:2])

    with store_in(tmp_path) as store:
        run(main(store))


def test_stopping_while_a_commit_is_pending_waits_for_it_and_ends_the_transmission(tmp_path):
    async def main(store):
        async with rig(store) as r:
            wire = await r.call()
            assert await talk(wire, ENQ, MESSAGE[0]) == [ACK, ACK]
            store.hold = []
            await wire.send(MESSAGE[1])
            await until(lambda: store.hold)
            asyncio.get_running_loop().call_later(0.02, store.release)
        assert await wire.hung_up()  # stopped, and not acknowledged
        (transmission,) = await r.transmissions()
        assert (transmission.state, transmission.reason) == (TransmissionState.INTERRUPTED, "restart")
        assert transmission.text() == b"".join(RECORDS[:2])
        await wire.close()

    with store_in(tmp_path) as store:
        run(main(store))


def test_stopping_during_the_commit_of_the_last_frame_leaves_the_message_complete(tmp_path):
    async def main(store):
        async with rig(store) as r:
            wire = await r.call()
            assert await talk(wire, ENQ, *MESSAGE[:3]) == [ACK] * 4
            store.hold = []
            await wire.send(MESSAGE[3])
            await until(lambda: store.hold)
            asyncio.get_running_loop().call_later(0.02, store.release)
        (transmission,) = await r.transmissions()
        assert transmission.state is TransmissionState.COMPLETE
        assert r.codes() == set()
        await wire.close()

    with store_in(tmp_path) as store:
        run(main(store))


def test_a_nearly_full_disk_refuses_new_messages_and_lets_the_one_under_way_end(tmp_path):
    async def main(store):
        async with rig(store) as r:
            wire = await r.call()
            assert await talk(wire, ENQ, MESSAGE[0]) == [ACK, ACK]
            r.disk_low = True
            assert await talk(wire, *MESSAGE[1:]) == [ACK] * 3
            assert await talk(wire, frame(5, RECORDS[0])) == [NAK]  # a next message in the same session
            await wire.send(EOT)
            assert await talk(wire, ENQ) == [NAK]
            r.disk_low = False
            assert await talk(wire, ENQ) == [ACK]
            await wire.close()

    with store_in(tmp_path) as store:
        run(main(store))


@pytest.mark.parametrize("frames", [1, 2, 3, 4])
def test_a_process_that_died_leaves_what_it_acknowledged_to_the_next_start(tmp_path, frames):
    """The store is taken away without an end; the next start ends what was being received."""

    async def main(store):
        async with rig(store) as r:
            wire = await r.call()
            assert await talk(wire, ENQ, *MESSAGE[:frames]) == [ACK] * (frames + 1)
            store.broken = "dead"  # from here on nothing is written any more
        await wire.close()

    with store_in(tmp_path) as store:
        run(main(store))
    with store_in(tmp_path) as store:
        store.inner.urgent(lambda s: s.close_orphans()).result(5)
        (transmission,) = store.inner.urgent(lambda s: s.next_unconverted(10)).result(5)
    assert transmission.text() == b"".join(RECORDS[:frames])
    assert transmission.reason == ("L" if frames == 4 else "restart")
