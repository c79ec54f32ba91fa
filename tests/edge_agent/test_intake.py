"""One connection's side of the store: what is stored, what is in doubt after an error, what is ended later."""

import asyncio
import gc
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from support_delivery import Steps
from support_disk import Disk
from support_ports import until

from edge_agent import intake as module
from edge_agent.intake import Endings, Intake, UncertainError
from edge_agent.states import TransmissionEvent, TransmissionState
from edge_agent.store.errors import StorageFailedError, UnknownRowError
from edge_agent.store.rows import Chunk, ChunkKind, Source, Transmission

SOURCE = Source("xn1", "10.0.0.5", "lis02_generic", 1, "0" * 64, "production")
BROKEN, ENDED = TransmissionEvent.BROKEN, TransmissionEvent.ENDED


class Desk:
    """One connection, its endings, and the disk under them."""

    def __init__(self, folder: Path) -> None:
        self.disk = Disk(folder, Steps())
        self.told = 0
        store: Any = self.disk
        self.endings = Endings(store, self._tell)
        self.intake = Intake(SOURCE, store, self.endings)

    def _tell(self) -> None:
        self.told += 1

    async def keep(self, text: bytes, end: str | None = None) -> Any:
        return await self.intake.keep(frame(text), end)

    def all(self) -> list[Transmission]:
        """Those that ended, in short."""
        return self.disk.store.next_unconverted(10)


def frame(text: bytes) -> Chunk:
    return Chunk(ChunkKind.FRAME, b"\x02" + text, text, 1, last=True)


def noise(raw: bytes = b"\x00\x07") -> Chunk:
    return Chunk(ChunkKind.NOISE, raw)


def raws(transmission: Transmission) -> list[bytes]:
    return [stored.chunk.raw for stored in transmission.chunks]


@pytest.fixture
def play(tmp_path: Path) -> Callable[[Callable[[Desk], Coroutine[Any, Any, None]]], Desk]:
    def run(scene: Callable[[Desk], Coroutine[Any, Any, None]]) -> Desk:
        async def main() -> Desk:
            desk = Desk(tmp_path / "data")
            try:
                await scene(desk)
            finally:
                desk.disk.store.close()
            return desk

        return asyncio.run(main())

    return run


def test_a_frame_is_stored_behind_the_evidence_that_came_before_it(play):
    async def scene(desk: Desk) -> None:
        desk.intake.evidence.add(noise(), 1.0)
        receipt = await desk.keep(b"H")
        assert receipt.chunks == 2
        assert desk.intake.frames == 1
        await desk.keep(b"P")
        assert desk.intake.frames == 2
        assert desk.intake.transmission == receipt.transmission
        assert desk.told == 0
        await desk.keep(b"L", "L")
        (found,) = desk.all()
        assert raws(found) == [b"\x00\x07", b"\x02H", b"\x02P", b"\x02L"]
        assert (found.state, found.reason) == (TransmissionState.COMPLETE, "L")
        assert (desk.intake.transmission, desk.intake.frames, desk.told) == (None, 0, 1)

    play(scene)


def test_how_much_evidence_was_not_kept_is_said_with_the_last_frame_and_not_before(play):
    async def scene(desk: Desk) -> None:
        for _ in range(202):
            desk.intake.evidence.add(Chunk(ChunkKind.REFUSED, b"?", reason="checksum"), 1.0)
        await desk.keep(b"H")
        await desk.keep(b"L", "L")
        (found,) = desk.all()
        assert len(found.chunks) == 200 + 1 + 1 + 1
        assert [c.chunk.reason for c in found.chunks if "not kept" in c.chunk.reason] == ["2 more of 2 bytes not kept"]
        assert "not kept" in found.chunks[-2].chunk.reason

    play(scene)


def test_after_an_error_that_wrote_nothing_the_same_frame_is_stored_once(play):
    async def scene(desk: Desk) -> None:
        await desk.keep(b"H")
        desk.disk.next = ["fails"]
        with pytest.raises(StorageFailedError):
            await desk.keep(b"P")
        assert desk.intake.frames == 1
        await desk.keep(b"P")
        await desk.keep(b"L", "L")
        assert raws(desk.all()[0]) == [b"\x02H", b"\x02P", b"\x02L"]

    play(scene)


def test_after_an_error_that_wrote_all_the_same_nothing_more_is_added_to_it(play):
    async def scene(desk: Desk) -> None:
        await desk.keep(b"H")
        desk.disk.next = ["lies"]
        with pytest.raises(StorageFailedError):
            await desk.keep(b"P")
        for _ in range(2):  # for as long as it is so
            with pytest.raises(UncertainError) as caught:
                await desk.keep(b"P")
            assert caught.value.code == "storage"
            assert caught.value.action.startswith("None")
        await desk.intake.close(BROKEN, "link")
        (found,) = desk.all()
        assert raws(found) == [b"\x02H", b"\x02P"]
        assert found.state is TransmissionState.INTERRUPTED

    play(scene)


def test_after_an_error_that_ended_it_all_the_same_nothing_more_is_added_to_it(play):
    async def scene(desk: Desk) -> None:
        await desk.keep(b"H")
        desk.disk.next = ["lies"]
        with pytest.raises(StorageFailedError):
            await desk.keep(b"L", "L")
        with pytest.raises(UncertainError):
            await desk.keep(b"L", "L")
        await desk.intake.close(BROKEN, "link")
        (found,) = desk.all()
        assert found.state is TransmissionState.COMPLETE, "its own commit ended it"
        assert desk.told == 1

    play(scene)


def test_a_transmission_that_was_ended_by_somebody_else_is_not_added_to_after_an_error(play):
    async def scene(desk: Desk) -> None:
        receipt = await desk.keep(b"H")
        desk.disk.next = ["fails"]
        with pytest.raises(StorageFailedError):
            await desk.keep(b"P")
        desk.disk.store.end(receipt.transmission, BROKEN, "restart")
        with pytest.raises(UncertainError):
            await desk.keep(b"P")

    play(scene)


def test_once_a_commit_was_good_the_store_is_not_compared_again(play):
    """The comparison reads every chunk of the transmission: it is for the commit after an error."""

    async def scene(desk: Desk) -> None:
        reads = []
        read = desk.disk.store.transmission
        desk.disk.store.transmission = lambda number: reads.append(number) or read(number)  # type: ignore[method-assign,func-returns-value]  # a look on the way
        await desk.keep(b"H")
        await desk.keep(b"P")
        assert reads == []
        desk.disk.next = ["fails"]
        with pytest.raises(StorageFailedError):
            await desk.keep(b"O")
        await desk.keep(b"O")
        assert len(reads) == 1
        await desk.keep(b"R")
        assert len(reads) == 1

    play(scene)


def test_evidence_stored_on_its_own_counts_when_the_store_is_compared(play):
    async def scene(desk: Desk) -> None:
        await desk.keep(b"H")
        for byte in (b"1", b"22"):
            desk.intake.evidence.add(Chunk(ChunkKind.REFUSED, byte, reason="checksum"), 1.0)
        await desk.intake.flush(2.0)
        assert not desk.intake.evidence
        desk.disk.next = ["fails"]
        with pytest.raises(StorageFailedError):
            await desk.keep(b"P")
        await desk.keep(b"P")
        await desk.keep(b"L", "L")
        assert raws(desk.all()[0]) == [b"\x02H", b"1", b"22", b"\x02P", b"\x02L"]

    play(scene)


def test_evidence_without_a_transmission_or_nothing_at_all_is_not_flushed(play):
    async def scene(desk: Desk) -> None:
        desk.intake.evidence.add(noise(), 1.0)
        await desk.intake.flush(5.0)
        assert desk.intake.evidence.since == 5.0
        desk.intake.evidence.stored()
        await desk.keep(b"H")
        jobs = desk.disk.jobs
        await desk.intake.flush(6.0)
        assert desk.disk.jobs == jobs

    play(scene)


def test_evidence_that_could_not_be_stored_waits_and_leaves_a_doubt(play):
    async def scene(desk: Desk) -> None:
        await desk.keep(b"H")
        desk.intake.evidence.add(noise(), 1.0)
        desk.disk.next = ["lies"]
        await desk.intake.flush(3.0)
        assert desk.intake.evidence.since == 3.0
        jobs = desk.disk.jobs
        await desk.intake.flush(5.0)
        assert desk.disk.jobs == jobs, "in doubt, nothing is added"
        assert desk.intake.evidence.since == 5.0
        with pytest.raises(UncertainError):
            await desk.keep(b"P")

    play(scene)


def test_a_commit_under_way_when_its_caller_was_cancelled_is_counted_when_it_returns(play):
    async def scene(desk: Desk) -> None:
        await desk.keep(b"H")
        desk.disk.next = ["waits"]
        task = asyncio.create_task(desk.keep(b"P"))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert desk.intake.frames == 1
        asyncio.get_running_loop().call_soon(desk.disk.go)
        await desk.intake.recover(10.0)
        assert desk.intake.frames == 2
        await desk.intake.recover(10.0)  # nothing is under way any more
        assert desk.intake.frames == 2

    play(scene)


def test_a_cancelled_last_frame_whose_commit_returns_is_a_message_complete_and_told(play):
    async def scene(desk: Desk) -> None:
        desk.disk.next = ["waits"]
        task = asyncio.create_task(desk.keep(b"L", "L"))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        desk.disk.go()
        await desk.intake.recover(10.0)
        assert desk.told == 1
        await desk.intake.close(BROKEN, "restart")
        (found,) = desk.all()
        assert found.state is TransmissionState.COMPLETE

    play(scene)


@pytest.mark.parametrize("fate", ["never returns", "fails"])
def test_a_cancelled_commit_that_does_not_return_in_time_or_fails_counts_for_nothing(play, fate):
    async def scene(desk: Desk) -> None:
        await desk.keep(b"H")
        desk.disk.next = ["waits"]
        task = asyncio.create_task(desk.keep(b"P"))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if fate == "fails":
            desk.disk.failed = "gone"
            desk.disk.go()
        async with asyncio.timeout(5):
            await desk.intake.recover(0.01)
        assert desk.intake.frames == 1

    play(scene)


def test_a_commit_that_fails_when_nobody_has_the_patience_any_more_is_heard_all_the_same(play):
    complaints: list[str] = []

    async def scene(desk: Desk) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context["message"]))
        desk.disk.next = ["waits"]
        task = asyncio.create_task(desk.keep(b"P"))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await desk.intake.recover(0.01)
        desk.disk.failed = "gone"
        desk.disk.go()
        await asyncio.sleep(0.01)
        del desk.intake, task
        gc.collect()

    play(scene)
    assert complaints == []


def test_evidence_alone_becomes_a_transmission_of_its_own_but_repeats_alone_do_not(play):
    async def scene(desk: Desk) -> None:
        desk.intake.evidence.add(noise(), 1.0)
        await desk.intake.close(ENDED, "idle")
        (found,) = desk.all()
        assert raws(found) == [b"\x00\x07"]
        assert found.source == SOURCE
        desk.intake.evidence.add(Chunk(ChunkKind.REPEAT, b"again"), 1.0)
        await desk.intake.close(ENDED, "idle")
        await desk.intake.close(ENDED, "idle")
        assert len(desk.all()) == 1
        assert desk.told == 1

    play(scene)


def test_the_next_transmission_begins_with_nothing_of_the_one_before(play):
    async def scene(desk: Desk) -> None:
        await desk.keep(b"H")
        desk.intake.evidence.add(noise(), 1.0)
        desk.disk.next = ["lies"]
        with pytest.raises(StorageFailedError):
            await desk.keep(b"P")
        await desk.intake.close(BROKEN, "link")
        await desk.keep(b"H2")
        await desk.keep(b"L2", "L")
        first, second = desk.all()
        assert raws(second) == [b"\x02H2", b"\x02L2"]
        assert raws(first)[0] == b"\x02H"

    play(scene)


async def retried(desk: Desk, enough: Callable[[], bool]) -> None:
    """The retries of an agent that runs, until ``enough``."""
    task = asyncio.create_task(desk.endings.run())
    await until(enough)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_an_end_that_could_not_be_stored_is_stored_when_storage_works(play, monkeypatch):
    monkeypatch.setattr(module, "RETRY_S", 0.001)

    async def scene(desk: Desk) -> None:
        await desk.keep(b"H")
        desk.disk.next = ["fails"]
        await desk.intake.close(BROKEN, "link")
        assert desk.all() == []
        assert desk.told == 0
        await retried(desk, lambda: desk.told == 1)
        (found,) = desk.all()
        assert (found.state, found.reason) == (TransmissionState.INTERRUPTED, "link")

    play(scene)


def test_an_end_whose_commit_only_seemed_to_fail_is_not_stored_twice_and_is_no_error(play, monkeypatch, caplog):
    monkeypatch.setattr(module, "RETRY_S", 0.001)

    async def scene(desk: Desk) -> None:
        await desk.keep(b"H")
        desk.intake.evidence.add(noise(), 1.0)
        desk.disk.next = ["lies"]
        await desk.intake.close(BROKEN, "link")
        await retried(desk, lambda: desk.told == 1)
        (found,) = desk.all()
        assert raws(found) == [b"\x02H", b"\x00\x07"]
        assert not [record for record in caplog.records if record.levelname == "ERROR"]

    play(scene)


def test_while_storage_does_not_work_no_end_is_tried(play, monkeypatch):
    monkeypatch.setattr(module, "RETRY_S", 0.001)

    async def scene(desk: Desk) -> None:
        await desk.keep(b"H")
        desk.disk.failed = "gone"
        await desk.intake.close(BROKEN, "link")
        jobs = desk.disk.jobs
        task = asyncio.create_task(desk.endings.run())
        for _ in range(20):
            await asyncio.sleep(0.001)
        assert desk.disk.jobs == jobs
        desk.disk.failed = None
        task.cancel()
        await retried(desk, lambda: desk.told == 1)

    play(scene)


def test_without_an_end_to_store_nothing_is_looked_at(play, monkeypatch):
    """An idle agent never wakes: neither before the first nor after the last."""
    monkeypatch.setattr(module, "RETRY_S", 0.0)

    async def scene(desk: Desk) -> None:
        looks = []

        def failed(_: object) -> None:
            looks.append(1)

        monkeypatch.setattr(Disk, "failed", property(failed, lambda _s, _v: None), raising=False)
        task = asyncio.create_task(desk.endings.run())
        for _ in range(20):
            await asyncio.sleep(0)
        assert looks == []
        desk.disk.next = ["fails"]
        desk.intake.evidence.add(noise(), 1.0)
        await desk.intake.close(ENDED, "idle")
        await until(lambda: desk.told)
        for _ in range(5):
            await asyncio.sleep(0)
        seen = len(looks)
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(looks) == seen
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    play(scene)


def test_an_end_the_store_refuses_is_not_tried_again(play, monkeypatch):
    monkeypatch.setattr(module, "RETRY_S", 0.001)

    async def scene(desk: Desk) -> None:
        receipt = await desk.keep(b"H")

        def refuse(*_: object) -> None:
            raise UnknownRowError("transmission")

        monkeypatch.setattr(desk.disk.store, "end", refuse)
        await desk.intake.close(BROKEN, "link")
        monkeypatch.undo()
        jobs = desk.disk.jobs
        task = asyncio.create_task(desk.endings.run())
        for _ in range(20):
            await asyncio.sleep(0.001)
        task.cancel()
        assert desk.disk.jobs == jobs
        assert desk.disk.store.transmission(receipt.transmission).state is TransmissionState.RECEIVING

    play(scene)


def test_no_more_ends_are_remembered_than_fit(play, monkeypatch):
    monkeypatch.setattr(module, "MOST_UNENDED", 2)
    monkeypatch.setattr(module, "RETRY_S", 0.001)

    async def scene(desk: Desk) -> None:
        for _ in range(3):
            desk.disk.next = ["fails"]
            desk.intake.evidence.add(noise(), 1.0)
            await desk.intake.close(ENDED, "idle")
        await retried(desk, lambda: desk.told == 2)
        assert len(desk.all()) == 2

    play(scene)


def test_what_a_link_could_not_end_is_ended_by_the_one_that_takes_over_and_by_nobody_else(play, monkeypatch):
    monkeypatch.setattr(module, "RETRY_S", 0.001)

    async def scene(desk: Desk) -> None:
        desk.disk.next = ["fails"]
        desk.intake.evidence.add(noise(), 1.0)
        await desk.intake.close(ENDED, "idle")
        store: Any = desk.disk
        told: list[int] = []
        heir = Endings(store, lambda: told.append(1))
        heir.take_over(desk.endings)
        desk.endings, former = heir, desk.endings
        await retried(desk, lambda: bool(told))
        heir.take_over(former)  # once more: there is nothing left
        jobs = desk.disk.jobs
        task = asyncio.create_task(former.run())
        for _ in range(10):
            await asyncio.sleep(0.001)
        task.cancel()
        assert desk.disk.jobs == jobs
        assert (desk.told, len(told), len(desk.all())) == (0, 1, 1)

    play(scene)
