"""The conversion thread on a real store: in order, whole or not at all, and a defect costs its own message only."""

import asyncio
import logging
import threading
from pathlib import Path
from typing import Any

import pytest
from support_conversion import Bench, Gate, bench, reader, until
from support_pipeline import GENERIC, device, policy, records, segments, source

from drivers.sdk import Device
from edge_agent import converter
from edge_agent.states import ItemState, MessageState, TransmissionEvent, TransmissionState
from edge_agent.store.errors import AlreadySentError, StorageFailedError
from edge_agent.store.rows import Chunk, ChunkKind, Route, Settlement
from edge_agent.store.store import Store

HEADER = r"H|\^&|||BENCH-7|||||||P|LIS02-A2|20240612120000"
PATIENT = "P|1||P-1017"
END = "L|1|N"
BROKEN = TransmissionEvent.BROKEN


def order(specimen: str) -> str:
    return f"O|1|{specimen}||^^^NA|R"


def na(value: str, second: int = 0) -> str:
    return f"R|1|^^^NA|{value}|mmol/L||N||F||||202406121020{second:02}"


def sent(specimen: str = "S24-0028", value: str = "140") -> bytes:
    return records(HEADER, PATIENT, order(specimen), na(value), END)


def specimens(made: Bench) -> list[str]:
    return [segments(m.payload, "SPM")[0][2] for m in made.messages()]


def test_transmissions_are_converted_in_the_order_they_ended(tmp_path: Path) -> None:
    with bench(tmp_path, start=False) as made:
        for n in range(20):
            made.receive(sent(f"S24-{n:04}"))
        made.start()
        made.convert()
        assert specimens(made) == [f"S24-{n:04}" for n in range(20)]
        assert [m.sequence for m in made.messages()] == list(range(1, 21))
        assert made.settled >= 1


def test_a_repeat_right_behind_its_original_finds_it_sent(tmp_path: Path) -> None:
    """One is read while the one before it is being written."""
    with bench(tmp_path, start=False) as made:
        for _ in range(3):
            made.receive(sent("S24-0028"))
        made.start()
        made.convert()
        assert specimens(made) == ["S24-0028"]


def test_it_sleeps_until_it_is_told_and_then_converts(tmp_path: Path) -> None:
    with bench(tmp_path) as made:
        made.receive(sent())
        made.convert()
        assert specimens(made) == ["S24-0028"]


def test_what_was_left_by_an_earlier_run_is_converted_at_the_start(tmp_path: Path) -> None:
    with bench(tmp_path, start=False) as made:
        made.receive(sent())
    with bench(tmp_path) as made:
        made.convert()
        assert specimens(made) == ["S24-0028"]


def test_a_driver_that_fails_on_a_message_costs_that_message_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    read = Device.read

    def defective(self: Device, text: bytes, **options: Any) -> Any:
        if b"S24-0029" in text:
            raise KeyError("S24-0029 of P-1017")
        return read(self, text, **options)

    monkeypatch.setattr(Device, "read", defective)
    with bench(tmp_path) as made, caplog.at_level(logging.DEBUG):
        numbers = [made.receive(sent(s)) for s in ("S24-0028", "S24-0029", "S24-0030")]
        made.convert()
        assert specimens(made) == ["S24-0028", "S24-0030"]
        (group,) = made.groups(numbers[1])
        assert (group.state, group.hold, group.detail) == (ItemState.FAILED, "driver", "KeyError")
        assert made.codes() == ["driver"]
        assert not any("S24-0029" in str(alarm) for alarm in made.alarms)
        assert "S24-0029" not in caplog.text

        monkeypatch.setattr(Device, "read", read)
        assert made.release() == 1
        made.convert()
        assert specimens(made) == ["S24-0028", "S24-0030", "S24-0029"]


def test_what_broke_off_and_breaks_its_driver_costs_nothing_that_comes_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every later transmission is compared with it, to see whether it was sent again."""
    read = Device.read

    def defective(self: Device, text: bytes, **options: Any) -> Any:
        if b"S24-0029" in text:
            raise KeyError
        return read(self, text, **options)

    monkeypatch.setattr(Device, "read", defective)
    with bench(tmp_path) as made:
        broken = made.receive(sent("S24-0029"), event=BROKEN)
        made.receive(sent("S24-0028"))
        made.convert()
        assert specimens(made) == ["S24-0028"]
        assert made.transmission(broken).state is TransmissionState.INTERRUPTED


@pytest.mark.parametrize("error", [ZeroDivisionError, RecursionError, StopIteration, UnicodeDecodeError])
def test_no_defect_of_ours_stops_the_conversion_of_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    raised = UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad") if error is UnicodeDecodeError else error()
    plan = converter.plan

    def defective(transmission: Any, *rest: Any, **more: Any) -> Any:
        if b"S24-0029" in transmission.text():
            raise raised
        return plan(transmission, *rest, **more)

    monkeypatch.setattr(converter, "plan", defective)
    with bench(tmp_path) as made:
        for specimen in ("S24-0029", "S24-0030"):
            made.receive(sent(specimen))
        made.convert()
        assert specimens(made) == ["S24-0030"]


def test_a_thread_that_dies_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def out_of_memory(*_: Any, **__: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(converter, "plan", out_of_memory)
    with bench(tmp_path) as made:
        made.receive(sent())
        made.converter.kick()
        with pytest.raises(MemoryError):
            asyncio.run(asyncio.wait_for(made.converter.ended(), 10))


def test_a_thread_that_was_told_to_stop_ends_without_an_error(tmp_path: Path) -> None:
    with bench(tmp_path) as made:
        made.converter.stop()
        asyncio.run(asyncio.wait_for(made.converter.ended(), 10))


class Faulty:
    """A store thread whose next settlements fail with what is in ``errors``."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.errors: list[Exception] = []
        self.attempts: list[Settlement] = []

    def later(self, job: Any) -> Any:
        return self._inner.later(lambda store: job(Watched(store, self)))

    def stop(self) -> None:
        self._inner.stop()


class Watched:
    def __init__(self, store: Store, faulty: Faulty) -> None:
        self._store = store
        self._faulty = faulty

    def settle(self, settlement: Settlement) -> None:
        self._faulty.attempts.append(settlement)
        if self._faulty.errors:
            raise self._faulty.errors.pop(0)
        self._store.settle(settlement)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


@pytest.mark.parametrize("error", [StorageFailedError("disk full"), TimeoutError()])
def test_a_settlement_that_could_not_be_stored_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(converter, "RETRY_S", 0.01)
    with bench(tmp_path, start=False) as made:
        faulty = made.store = Faulty(made.store)
        faulty.errors = [error, error]
        made.converter = made.make()
        number = made.receive(sent())
        made.start()
        until(lambda: len(faulty.attempts) >= 3)
        made.convert()
        assert len(made.messages()) == 1
        assert made.transmission(number).converted
        assert made.codes() == []


def test_what_was_stored_beside_a_settlement_that_was_not_is_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(converter, "RETRY_S", 3600.0)
    with bench(tmp_path, start=False) as made:
        faulty = made.store = Faulty(made.store)
        faulty.errors = [TimeoutError()]
        made.converter = made.make()
        made.receive(sent("S24-0028"))
        made.receive(sent("S24-0029"))
        made.start()
        until(lambda: made.settled, "nobody told the publisher")
        assert specimens(made) == ["S24-0029"]


def test_a_settlement_the_store_refuses_fails_alone_and_is_not_tried_for_ever(tmp_path: Path) -> None:
    with bench(tmp_path, start=False) as made:
        faulty = made.store = Faulty(made.store)
        faulty.errors = [AlreadySentError(1)]
        made.converter = made.make()
        number = made.receive(sent("S24-0028"))
        made.receive(sent("S24-0029"))
        made.start()
        made.convert()
        assert specimens(made) == ["S24-0029"]
        assert [g.hold for g in made.groups(number)] == ["driver"]


def test_results_of_an_analyser_that_is_no_longer_configured_wait(tmp_path: Path) -> None:
    with bench(tmp_path) as made:
        number = made.receive(sent(), of=source("gone"))
        made.convert()
        (group,) = made.groups(number)
        assert (group.state, group.hold) == (ItemState.HELD, "not-configured")
        assert made.codes() == ["not-configured"]
    with bench(tmp_path, {"an1": reader(), "gone": reader(under=policy(analyser="gone"))}) as made:
        assert made.release() == 1
        made.convert()
        assert [(m.analyser, m.route) for m in made.messages()] == [("gone", Route.RESULT)]


def test_a_stop_in_the_middle_leaves_each_transmission_whole_or_untouched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    read = Device.read

    def slow(self: Device, text: bytes, **options: Any) -> Any:
        if b"S24-0002" in text:
            gate.wait()
        return read(self, text, **options)

    monkeypatch.setattr(Device, "read", slow)
    with bench(tmp_path, start=False) as made:
        for n in range(5):
            made.receive(sent(f"S24-{n:04}"))
        made.start()
        assert gate.reached.wait(10)
        stopping = threading.Thread(target=made.converter.stop)
        stopping.start()
        until(lambda: made.converter._stopping)
        gate.open()
        stopping.join(10)
        done = [made.transmission(n).converted for n in range(1, 6)]
        assert done == [True, True, True, False, False]
        assert specimens(made) == ["S24-0000", "S24-0001", "S24-0002"]
    monkeypatch.setattr(Device, "read", read)
    with bench(tmp_path) as made:
        made.convert()
        assert specimens(made) == [f"S24-{n:04}" for n in range(5)]


# Holds and their release


GLUCOSE = {"code": "GLU", "units": {"mg/dL": "mg/dL"}, "source": "made up for this test"}
GLU = "R|2|^^^GLU|5.1|mmol/L||N||F||||20240612102000"


def test_every_hold_is_told_with_its_analyser_and_no_specimen(tmp_path: Path) -> None:
    with bench(tmp_path, {"an1": reader(device(test=[GLUCOSE]))}) as made:
        made.receive(records(HEADER, PATIENT, order("S24-0028"), GLU, END))
        made.convert()
        assert [(code, analyser, params["test"]) for code, analyser, params in made.alarms] == [
            ("unit-contradicts", "an1", "GLU")
        ]


def test_what_was_released_goes_out_once_and_what_was_filed_does_not_go_again(tmp_path: Path) -> None:
    text = records(HEADER, PATIENT, order("S24-0028"), na("140"), GLU, order("S24-0029"), na("141"), END)
    with bench(tmp_path, {"an1": reader(device(test=[GLUCOSE]))}) as made:
        number = made.receive(text)
        made.convert()
        first = made.messages()
        assert len(first) == 2
        for message in first:
            made.file(message.id)
    fixed = device(test=[{**GLUCOSE, "units": {"mg/dL": "mg/dL", "mmol/L": "mmol/L"}}])
    with bench(tmp_path, {"an1": reader(fixed)}) as made:
        assert made.release() == 1
        made.convert()
        (new,) = [m for m in made.messages() if m.id not in {f.id for f in first}]
        assert [obx[5] for obx in segments(new.payload, "OBX")] == ["5.1"]
        assert {m.id: m.replay_at for m in made.messages() if m.state is MessageState.FILED} == {
            f.id: None for f in first
        }
        assert {o.state for g in made.groups(number) for o in g.observations} == {ItemState.CONVERTED}


def test_a_resend_of_filed_results_grants_a_replay(tmp_path: Path) -> None:
    """The negative control of the test above."""
    with bench(tmp_path) as made:
        made.receive(sent())
        made.convert()
        made.file(made.messages()[0].id)
        made.receive(sent())
        made.convert()
        (message,) = made.messages()
        assert message.replay_at is not None


def test_what_came_in_before_production_stays_validation_after_it(tmp_path: Path) -> None:
    before = {"an1": reader(device(test=[GLUCOSE]), policy(mode="validation"))}
    with bench(tmp_path, before) as made:
        made.receive(records(HEADER, PATIENT, order("S24-0028"), GLU, END), of=source(mode="validation"))
        made.convert()
    with bench(tmp_path, {"an1": reader(GENERIC, policy(mode="production"))}) as made:
        made.release()
        made.receive(sent("S24-0029"))
        made.convert()
        assert [(m.route, segments(m.payload, "MSH")[0][10]) for m in made.messages()] == [
            (Route.VALIDATION, "T"),
            (Route.RESULT, "P"),
        ]


# Interrupted transmissions and their resend


FIRST, SECOND = order("S24-0028"), order("S24-0029")
PART = (HEADER, PATIENT, FIRST, na("140"), SECOND, na("141"))


def states_after(made: Bench, *numbers: int) -> list[TransmissionState]:
    made.convert()
    return [made.transmission(n).state for n in numbers]


def test_a_resend_in_full_completes_what_broke_off_without_doubling(tmp_path: Path) -> None:
    with bench(tmp_path) as made:
        old = made.receive(records(*PART), event=BROKEN)
        made.convert()
        assert specimens(made) == ["S24-0028"]
        new = made.receive(records(*PART, END))
        assert states_after(made, old) == [TransmissionState.COMPLETED_BY]
        assert made.transmission(old).completed_by == new
        assert specimens(made) == ["S24-0028", "S24-0029"]


def test_a_resend_that_starts_where_it_broke_off_completes_it_too(tmp_path: Path) -> None:
    with bench(tmp_path) as made:
        old = made.receive(records(*PART), event=BROKEN)
        made.receive(records(HEADER, PATIENT, SECOND, na("141"), END))
        assert states_after(made, old) == [TransmissionState.COMPLETED_BY]
        assert specimens(made) == ["S24-0028", "S24-0029"]


def still_receiving(made: Bench, text: bytes) -> int:
    def store(s: Store) -> int:
        number = s.open_transmission(source())
        s.append(number, [Chunk(ChunkKind.FRAME, b"\x021" + text + b"\x03", text, 1, True)])
        return number

    number: int = made.do(store)
    return number


def test_a_resend_on_another_line_completes_what_is_known_to_be_broken_only_later(tmp_path: Path) -> None:
    with bench(tmp_path) as made:
        old = still_receiving(made, records(*PART))
        new = made.receive(records(*PART, END))
        made.convert()
        assert specimens(made) == ["S24-0028", "S24-0029"]
        made.do(lambda s: s.end(old, BROKEN, "link"))
        assert states_after(made, old) == [TransmissionState.COMPLETED_BY]
        assert made.transmission(old).completed_by == new
        assert specimens(made) == ["S24-0028", "S24-0029"]


NOTED = (HEADER, PATIENT, FIRST, na("140"), "C|1|I|haemolytic|G", SECOND, na("141"), END)


def test_a_result_that_broke_off_before_its_comment_is_completed_by_the_resend_that_has_it(tmp_path: Path) -> None:
    with bench(tmp_path) as made:
        old = made.receive(records(*NOTED[:4]), event=BROKEN)
        new = made.receive(records(*NOTED))
        assert states_after(made, old) == [TransmissionState.COMPLETED_BY]
        assert made.transmission(old).completed_by == new
        assert specimens(made) == ["S24-0028", "S24-0029"]


def test_so_it_is_when_the_resend_came_first(tmp_path: Path) -> None:
    with bench(tmp_path) as made:
        old = still_receiving(made, records(*NOTED[:4]))
        made.receive(records(*NOTED))
        made.convert()
        made.do(lambda s: s.end(old, BROKEN, "link"))
        assert states_after(made, old) == [TransmissionState.COMPLETED_BY]
        assert specimens(made) == ["S24-0028", "S24-0029"]


def test_a_resend_from_a_patient_with_whom_it_broke_off_completes_it(tmp_path: Path) -> None:
    """Nothing of that patient was cut off but the P itself: it is what has to come again."""
    other = "P|2||P-1018||Lee^Ho"
    with bench(tmp_path) as made:
        old = made.receive(records(HEADER, PATIENT, FIRST, na("140"), other), event=BROKEN)
        made.receive(records(HEADER, "P|1||P-1019", SECOND, na("141"), END))
        assert states_after(made, old) == [TransmissionState.INTERRUPTED]
        made.receive(records(HEADER, other, order("S24-0030"), na("142"), END))
        assert states_after(made, old) == [TransmissionState.COMPLETED_BY]
        assert specimens(made) == ["S24-0028", "S24-0029", "S24-0030"]


def test_another_message_on_another_line_does_not(tmp_path: Path) -> None:
    with bench(tmp_path) as made:
        old = still_receiving(made, records(*PART))
        made.receive(records(HEADER, PATIENT, FIRST, na("140"), END))
        made.convert()
        made.do(lambda s: s.end(old, BROKEN, "link"))
        assert states_after(made, old) == [TransmissionState.INTERRUPTED]


def test_a_record_cut_in_its_middle_need_not_come_again_as_it_was(tmp_path: Path) -> None:
    with bench(tmp_path) as made:
        old = made.receive(records(*PART[:5]) + b"R|1|^^^NA|14", event=BROKEN)
        made.receive(records(HEADER, PATIENT, SECOND, na("141"), END))
        assert states_after(made, old) == [TransmissionState.COMPLETED_BY]


@pytest.mark.parametrize(
    "other",
    [
        (HEADER, PATIENT, order("S24-0099"), na("140"), END),
        (HEADER, PATIENT, FIRST, na("140"), END),
        (HEADER, PATIENT, SECOND, na("142"), END),
        (HEADER, END),
    ],
)
def test_another_transmission_does_not_complete_it(tmp_path: Path, other: tuple[str, ...]) -> None:
    with bench(tmp_path) as made:
        old = made.receive(records(*PART), event=BROKEN)
        made.receive(records(*other))
        assert states_after(made, old) == [TransmissionState.INTERRUPTED]


@pytest.mark.parametrize(
    ("before", "after", "state"),
    [
        ("validation", "production", TransmissionState.COMPLETED_BY),
        ("production", "validation", TransmissionState.INTERRUPTED),  # it is owed as a patient's result still
    ],
)
def test_what_breaks_off_because_its_mode_is_changed(
    tmp_path: Path, before: str, after: str, state: TransmissionState
) -> None:
    with bench(tmp_path, {"an1": reader(GENERIC, policy(mode=after))}) as made:
        old = made.receive(records(*PART), event=BROKEN, of=source(mode=before))
        made.receive(records(*PART, END), of=source(mode=after))
        assert states_after(made, old) == [state]


def test_a_broken_resend_completes_nothing(tmp_path: Path) -> None:
    with bench(tmp_path) as made:
        old = made.receive(records(*PART), event=BROKEN)
        again = made.receive(records(*PART), event=BROKEN)
        assert states_after(made, old, again) == [TransmissionState.INTERRUPTED] * 2
        assert specimens(made) == ["S24-0028"]


def test_another_analysers_results_complete_nothing(tmp_path: Path) -> None:
    with bench(tmp_path, {"an1": reader(), "an2": reader(under=policy(analyser="an2"))}) as made:
        old = made.receive(records(*PART), event=BROKEN)
        made.receive(records(*PART, END), of=source("an2"))
        assert states_after(made, old) == [TransmissionState.INTERRUPTED]
