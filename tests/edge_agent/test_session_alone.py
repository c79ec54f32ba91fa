"""One session on a line that only the test moves: no port, no thread, a clock by hand."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from support_delivery import Steps
from support_disk import Disk
from support_session import ACK, ENQ, EOT, MESSAGE, NAK, SOURCE, bad, frame

from drivers.protocols.lis01 import Dialect
from edge_agent.intake import Endings
from edge_agent.monitor.alarms import Alarms
from edge_agent.session import Activity, Session
from edge_agent.states import TransmissionState
from edge_agent.store.rows import ChunkKind, Transmission


class Line:
    """Reads are what the test put there; a read with patience ends at once when nothing is left."""

    peer = "10.0.0.5"

    def __init__(self) -> None:
        self.coming: asyncio.Queue[bytes] = asyncio.Queue()
        self.patience: list[float | None] = []
        self.written: list[bytes] = []
        self.closed = 0
        self.gone = False
        self.idle = asyncio.Event()

    async def read(self, patience_s: float | None = None) -> bytes | None:
        self.patience.append(patience_s)
        if self.coming.empty() and patience_s == 0.0:
            return None
        self.idle.set() if self.coming.empty() else self.idle.clear()
        data = await self.coming.get()
        return None if data == b"timer" else data

    async def write(self, data: bytes) -> None:
        if self.gone:
            raise ConnectionResetError
        self.written.append(data)

    async def close(self) -> None:
        self.closed += 1

    @property
    def answers(self) -> bytes:
        return b"".join(self.written)


class Desk:
    def __init__(self, folder: Path, dialect: Dialect) -> None:
        self.clock = Steps()
        self.disk = Disk(folder, self.clock)
        self.line = Line()
        self.alarms = Alarms(self.clock)
        self.activity = Activity()
        self.told = 0
        self.low = False
        store: Any = self.disk
        line: Any = self.line
        self.session = Session(
            line, SOURCE, dialect, store, self.clock, self.alarms, self._tell,
            disk_low=lambda: self.low, endings=Endings(store, self._tell), activity=self.activity,
        )  # fmt: skip
        self.task = asyncio.create_task(self.session.run())

    def _tell(self) -> None:
        self.told += 1

    async def send(self, *parts: bytes) -> bytes:
        """What is answered to the parts, each a read of its own."""
        before = len(self.line.answers)
        for part in parts:
            self.line.coming.put_nowait(part)
        await self.quiet()
        return self.line.answers[before:]

    async def quiet(self) -> None:
        """Until the session waits for bytes, or for a commit, or is over."""
        for _ in range(30):
            await asyncio.sleep(0)

    async def wait(self, seconds: float) -> bytes:
        self.clock.seconds += seconds
        return await self.send(b"timer")

    async def hang_up(self) -> None:
        self.line.coming.put_nowait(b"")
        await self.task

    def ended(self) -> list[Transmission]:
        return self.disk.store.next_unconverted(10)

    def codes(self) -> set[str]:
        return {alarm.code for alarm in self.alarms.active()}


Play = Callable[..., None]


@pytest.fixture
def play(tmp_path: Path) -> Play:
    def run(scene: Callable[[Desk], Coroutine[Any, Any, None]], **dialect: Any) -> None:
        async def main() -> None:
            desk = Desk(tmp_path / "data", Dialect(**dialect))
            try:
                await scene(desk)
            finally:
                desk.task.cancel()
                await asyncio.gather(desk.task, return_exceptions=True)
                desk.disk.store.close()

        asyncio.run(main())

    return run


def raws(transmission: Transmission, kind: ChunkKind) -> list[bytes]:
    return [stored.chunk.raw for stored in transmission.chunks if stored.chunk.kind is kind]


def test_each_part_is_answered_once_and_what_was_seen_is_counted(play: Play) -> None:
    async def scene(desk: Desk) -> None:
        assert await desk.send(ENQ) == ACK
        assert desk.activity.asked == desk.clock.now()
        assert desk.session.receiving
        for part in MESSAGE:
            assert await desk.send(part) == ACK
        assert desk.activity.last_result == desk.clock.now()
        assert await desk.send(EOT) == b""
        assert not desk.session.receiving
        seen = desk.activity
        assert (seen.frames, seen.messages, seen.refused, seen.unframed) == (4, 1, 0, 0)
        assert seen.bytes == len(ENQ + b"".join(MESSAGE) + EOT)
        assert seen.last_byte == desk.clock.now()
        await desk.hang_up()
        assert desk.line.closed == 1
        assert desk.told == 1

    play(scene)


def test_a_session_waits_no_longer_than_its_next_timer(play: Play) -> None:
    async def scene(desk: Desk) -> None:
        await desk.quiet()
        assert desk.line.patience == [None]
        await desk.send(ENQ)
        assert desk.line.patience[-1] == 30
        desk.clock.seconds += 10
        await desk.send(b"timer")
        assert desk.line.patience[-1] == 20
        await desk.wait(20)
        assert desk.line.patience[-1] is None
        assert not desk.session.receiving

    play(scene)


def test_what_comes_after_the_answer_would_be_too_late_is_stored_and_not_answered(play: Play) -> None:
    """The commit took longer than the sender waits: its ENQ after that must get one answer, not two."""

    async def scene(desk: Desk) -> None:
        await desk.send(ENQ)
        desk.disk.next = ["waits"]
        await desk.send(MESSAGE[0], EOT + ENQ, frame(1, b"H|x\r"))
        desk.clock.seconds += 9  # six tenths of fifteen seconds
        desk.disk.go()
        await desk.quiet()
        assert desk.line.answers == ACK, "of the first ENQ"
        first = desk.ended()[0]
        assert raws(first, ChunkKind.FRAME) == [MESSAGE[0]]
        assert desk.session.receiving
        assert await desk.send(frame(2, b"P|1\r")) == ACK, "who goes on is answered"

    play(scene)


def test_what_comes_just_in_time_is_answered(play: Play) -> None:
    async def scene(desk: Desk) -> None:
        await desk.send(ENQ)
        desk.disk.next = ["waits"]
        await desk.send(MESSAGE[0])
        desk.clock.seconds += 8.9
        desk.disk.go()
        await desk.quiet()
        assert desk.line.answers == ACK * 2

    play(scene)


def test_a_large_read_is_taken_in_pieces_and_nothing_of_it_is_lost(play: Play) -> None:
    async def scene(desk: Desk) -> None:
        text = b"H|\\^&|" + b"x" * 40_000 + b"\r"
        assert await desk.send(ENQ + frame(1, text) + frame(2, b"L|1|N\r")) == ACK * 3
        assert desk.ended()[0].text() == text + b"L|1|N\r"

    play(scene)


def test_a_peer_that_is_gone_is_written_to_once_and_what_came_is_stored_all_the_same(play: Play) -> None:
    async def scene(desk: Desk) -> None:
        await desk.send(ENQ)
        desk.line.gone = True
        await desk.send(*MESSAGE)
        assert desk.line.closed == 1
        assert [t.state for t in desk.ended()] == [TransmissionState.COMPLETE]

    play(scene)


def test_a_refused_frame_is_kept_counted_and_its_reason_told(play: Play) -> None:
    async def scene(desk: Desk) -> None:
        wrong = bad(2, b"P|1\r")
        assert await desk.send(ENQ, MESSAGE[0], wrong) == ACK * 2 + NAK
        assert (desk.activity.refused, desk.activity.refused_for) == (1, "checksum")
        await desk.hang_up()
        (found,) = desk.ended()
        assert raws(found, ChunkKind.REFUSED) == [wrong[:-2]], "its trailer is padding between frames"
        assert (found.state, found.reason) == (TransmissionState.INTERRUPTED, "link")
        assert desk.codes() == {"interrupted"}

    play(scene)


def test_the_sixth_refusal_in_a_row_is_alarmed_and_a_good_frame_ends_that(play: Play) -> None:
    async def scene(desk: Desk) -> None:
        await desk.send(ENQ, MESSAGE[0], *[bad(2, b"P|1\r")] * 5)
        assert desk.codes() == set()
        await desk.send(bad(2, b"P|1\r"))
        (alarm,) = desk.alarms.active()
        assert (alarm.code, alarm.analyser, alarm.params["count"], alarm.params["reason"]) == (
            "nak-limit", "xn1", "6", "checksum",
        )  # fmt: skip
        await desk.send(MESSAGE[1])
        assert desk.codes() == set()

    play(scene)


def test_what_is_refused_because_nothing_can_be_stored_says_nothing_about_the_line(play: Play) -> None:
    async def scene(desk: Desk) -> None:
        await desk.send(ENQ, MESSAGE[0])
        desk.disk.failed = "gone"
        assert await desk.send(*[MESSAGE[1]] * 7) == NAK * 7
        assert desk.activity.refused == 7
        assert desk.activity.refused_for == ""
        assert "nak-limit" not in desk.codes()
        desk.disk.failed = None
        assert await desk.send(*MESSAGE[1:]) == ACK * 3
        (found,) = desk.ended()
        assert raws(found, ChunkKind.REFUSED) == []
        assert desk.codes() == set()

    play(scene)


def test_a_disk_that_is_nearly_full_lets_a_message_end_and_takes_no_other(play: Play) -> None:
    async def scene(desk: Desk) -> None:
        await desk.send(ENQ, MESSAGE[0])
        desk.low = True
        assert await desk.send(*MESSAGE[1:]) == ACK * 3
        assert await desk.send(EOT, ENQ) == NAK
        desk.low = False
        assert await desk.send(ENQ) == ACK

    play(scene)


def test_an_answer_of_the_disk_that_says_failure_is_passed_on_as_a_refusal_with_its_reason(play: Play) -> None:
    async def scene(desk: Desk) -> None:
        await desk.send(ENQ)
        desk.disk.next = ["fails"]
        assert await desk.send(MESSAGE[0]) == NAK
        (alarm,) = desk.alarms.active()
        assert alarm.code == "storage"
        assert "Results cannot be stored" not in alarm.params["reason"]
        assert await desk.send(MESSAGE[0]) == ACK
        assert desk.codes() == set()

    play(scene)


def test_noise_within_a_message_is_stored_soon_and_between_messages_when_the_line_is_quiet(play: Play) -> None:
    async def scene(desk: Desk) -> None:
        await desk.send(ENQ, MESSAGE[0], bad(2, b"P|1\r"))
        assert desk.line.patience[-1] == 2, "evidence of an open message"
        jobs = desk.disk.jobs
        await desk.wait(1.9)
        assert desk.disk.jobs == jobs
        await desk.wait(0.1)
        assert desk.disk.jobs == jobs + 1
        await desk.send(*MESSAGE[1:], EOT)
        assert len(desk.ended()) == 1
        await desk.send(b"???")
        await desk.wait(0.5)  # silence shows that it is noise
        assert desk.activity.unframed == 3
        assert desk.line.patience[-1] == 30
        await desk.wait(30)
        assert raws(desk.ended()[1], ChunkKind.NOISE) == [b"???"]

    play(scene)


def test_noise_in_a_session_without_a_message_waits_for_what_becomes_of_the_session(play: Play) -> None:
    async def scene(desk: Desk) -> None:
        await desk.send(ENQ, b"???")
        await desk.wait(0.5)
        assert desk.activity.unframed == 3
        assert desk.line.patience[-1] == pytest.approx(29.5), "the session's own timer"
        await desk.wait(29.5)
        (found,) = desk.ended()
        assert raws(found, ChunkKind.NOISE) == [b"???"]
        assert desk.codes() == set(), "no message was broken off"

    play(scene)


def test_more_than_a_few_bytes_before_a_session_are_a_transmission_of_their_own(play: Play) -> None:
    async def scene(desk: Desk) -> None:
        await desk.send(b"?" * 40)
        await desk.wait(0.5)
        await desk.send(ENQ, *MESSAGE)
        first, second = desk.ended()
        assert raws(first, ChunkKind.NOISE) == [b"?" * 40]
        assert (first.state, first.reason) == (TransmissionState.COMPLETE, "idle")
        assert len(second.chunks) == 4

    play(scene)


def test_a_repeat_after_the_end_of_its_message_leaves_nothing_and_within_one_is_kept(play: Play) -> None:
    async def scene(desk: Desk) -> None:
        assert await desk.send(ENQ, MESSAGE[0], MESSAGE[0], *MESSAGE[1:], MESSAGE[3], EOT) == ACK * 7
        await desk.hang_up()
        (found,) = desk.ended()
        assert raws(found, ChunkKind.REPEAT) == [MESSAGE[0]]

    play(scene)


def test_stopping_refuses_what_was_not_answered_and_keeps_what_was_left(play: Play) -> None:
    async def scene(desk: Desk) -> None:
        await desk.send(ENQ, MESSAGE[0])
        desk.disk.next = ["waits"]
        await desk.send(MESSAGE[1] + bad(3, b"O|1\r") + b"\x02half")
        desk.task.cancel()
        asyncio.get_running_loop().call_soon(desk.disk.go)
        await asyncio.gather(desk.task, return_exceptions=True)
        (found,) = desk.ended()
        assert raws(found, ChunkKind.FRAME) == list(MESSAGE[:2])
        assert len(raws(found, ChunkKind.REFUSED)) == 2
        assert (found.state, found.reason) == (TransmissionState.INTERRUPTED, "restart")
        assert desk.line.answers == ACK * 2
        assert desk.line.closed

    play(scene)


@pytest.mark.parametrize(
    ("end", "after", "state"),
    [
        ("L", EOT, TransmissionState.INTERRUPTED),
        ("EOT", EOT, TransmissionState.COMPLETE),
        ("idle", b"", TransmissionState.COMPLETE),
        ("idle", EOT, TransmissionState.COMPLETE),
    ],
)
def test_how_a_message_without_its_last_record_ends(
    play: Play, end: str, after: bytes, state: TransmissionState
) -> None:
    async def scene(desk: Desk) -> None:
        await desk.send(ENQ, MESSAGE[0], MESSAGE[1])
        messages = desk.activity.messages
        if after:
            await desk.send(after)
        else:
            await desk.wait(3)
        (found,) = desk.ended()
        assert found.state is state
        whole = state is TransmissionState.COMPLETE
        assert desk.activity.messages == messages + whole
        assert desk.codes() == (set() if whole else {"interrupted"})

    play(scene, end_of_message=end)


def test_an_interruption_names_when(play: Play) -> None:
    async def scene(desk: Desk) -> None:
        await desk.send(ENQ, MESSAGE[0], EOT)
        (alarm,) = desk.alarms.active()
        assert (alarm.analyser, alarm.params["at"]) == ("xn1", desk.clock.now().isoformat(timespec="seconds"))

    play(scene)


def test_a_commit_in_doubt_ends_the_connection_without_an_answer(play: Play) -> None:
    async def scene(desk: Desk) -> None:
        await desk.send(ENQ, MESSAGE[0])
        desk.disk.next = ["lies"]
        assert await desk.send(MESSAGE[1]) == NAK
        assert await desk.send(MESSAGE[1]) == b""
        assert desk.line.closed == 1
        assert await desk.send(EOT + ENQ) == b""
        (found,) = desk.ended()
        assert (found.state, found.reason) == (TransmissionState.INTERRUPTED, "link")

    play(scene)
