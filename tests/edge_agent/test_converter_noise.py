"""Lines that babble: what of it still waits for a resend, and what must not hide behind it."""

from pathlib import Path

from support_conversion import Bench, bench
from support_pipeline import records, source

from edge_agent.states import TransmissionEvent, TransmissionState
from edge_agent.store.rows import Chunk, ChunkKind
from edge_agent.store.store import Store

WAITING, COMPLETED = TransmissionState.INTERRUPTED, TransmissionState.COMPLETED_BY
BROKEN = TransmissionEvent.BROKEN
HEADER, END = r"H|\^&|||BENCH-7|||||||P|LIS02-A2|20240612120000", "L|1|N"
PART = (HEADER, "P|1||P-1017", "O|1|S24-0028||^^^NA|R", "R|1|^^^NA|140|mmol/L||N||F||||20240612102000")
WHOLE = records(*PART, END)


def states_after(made: Bench, *numbers: int) -> list[TransmissionState]:
    made.convert()
    return [made.transmission(n).state for n in numbers]


def refused(made: Bench, event: TransmissionEvent, kind: ChunkKind = ChunkKind.REFUSED) -> int:
    """A transmission of which no frame was accepted."""

    def store(s: Store) -> int:
        number = s.open_transmission(source())
        s.append(number, [Chunk(kind, b"\x021H|", reason="checksum")])
        s.end(number, event, "eot")
        return number

    found: int = made.do(store)
    return found


def test_after_a_whole_message_nobody_waits_for_one_of_which_no_frame_was_accepted(tmp_path: Path) -> None:
    with bench(tmp_path) as made:
        many = [refused(made, BROKEN) for _ in range(40)]
        made.receive(records(HEADER, END))  # says nothing about any specimen
        assert states_after(made, many[0], many[-1]) == [WAITING] * 2
        made.receive(WHOLE)
        assert set(states_after(made, *many)) == {COMPLETED}


def test_a_broken_message_does_not_hide_behind_a_line_that_babbled_since(tmp_path: Path) -> None:
    with bench(tmp_path) as made:
        old = made.receive(records(*PART), event=BROKEN)
        for _ in range(40):
            refused(made, BROKEN)
        made.receive(WHOLE)
        assert states_after(made, old) == [COMPLETED]


def test_bytes_outside_any_session_complete_nothing(tmp_path: Path) -> None:
    with bench(tmp_path) as made:
        old = made.receive(records(HEADER), event=BROKEN)
        refused(made, TransmissionEvent.ENDED, ChunkKind.NOISE)
        assert states_after(made, old) == [WAITING]
