"""One result from its bytes on the wire to what became of it, as a person reads it (docs/trace.md)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support_conversion import reader
from support_gateway import Gateway, gateway
from support_pipeline import device, records, source

from drivers.errors import InterpretationError
from drivers.sdk import Device
from edge_agent.cli import show_trace
from edge_agent.states import TransmissionEvent
from edge_agent.store.rows import Chunk, ChunkKind
from edge_agent.store.store import Store
from edge_agent.trace import spelled

HEADER = r"H|\^&|||BENCH-7|||||||P|LIS02-A2|20240612120000"
PATIENT = "P|1||P-1017"
ORDER = "O|1|S24-0028||^^^NA|R"
NA = "R|1|^^^NA|140|mmol/L||N||F||||20240612102000"
GLU = "R|2|^^^GLU|5.1|mmol/L||N||F||||20240612102000"
GLUCOSE = {"code": "GLU", "units": {"mg/dL": "mg/dL"}, "source": "made up for this test"}
GOOD = records(HEADER, PATIENT, ORDER, NA, "L|1|N")
MIXED = records(HEADER, PATIENT, ORDER, NA, GLU, "L|1|N")


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Gateway]:
    with gateway(tmp_path, reader(device(test=[GLUCOSE]))) as running:
        yield running


def received(made: Gateway, text: bytes = GOOD, **more: Any) -> int:
    number = made.bench.receive(text, **more)
    made.bench.convert()
    return number


def traced(made: Gateway, name: object) -> Any:
    (one,) = made.answer("trace", id=str(name))["transmissions"]
    return one


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\x021H|\\^&\r\x0379\r\n", "<STX>1H|\\^&<CR><ETX>79<CR><LF>"),
        (b"\x05\x06\x15\x04\x17", "<ENQ><ACK><NAK><EOT><ETB>"),
        ("혈".encode(), "<ED><98><88>"),
        (b"\x00\x7f", "<00><7F>"),
    ],
)
def test_bytes_are_spelled_so_that_none_is_invisible(data: bytes, text: str) -> None:
    assert spelled(data) == text


def test_the_way_of_a_result_from_its_bytes_to_its_message(made: Gateway) -> None:
    number = received(made)
    trace = traced(made, f"t{number}")
    assert [chunk["kind"] for chunk in trace["wire"]] == ["frame"]
    assert "R|1|^^^NA|140|" in trace["wire"][0]["bytes"]
    assert [(r["index"], r["text"]) for r in trace["records"]] == list(enumerate([HEADER, PATIENT, ORDER, NA, "L|1|N"]))
    (specimen,) = trace["specimens"]
    (result,) = specimen["observations"]
    assert (specimen["id"], specimen["role"], specimen["state"]) == ("S24-0028", "P", "converted")
    assert (result["code"], result["value"], result["unit"], result["records"]) == ("NA", "140", "mmol/L", [3])
    (message,) = trace["messages"]
    assert result["message"] == message["id"]
    assert any("|140|" in line for line in message["hl7"])


@pytest.mark.parametrize("name", ["transmission", "message", "specimen"])
def test_it_is_found_by_transmission_message_and_specimen(made: Gateway, name: str) -> None:
    number = received(made)
    ids = {"transmission": f"t{number}", "message": made.bench.messages()[0].id, "specimen": "S24-0028"}
    assert traced(made, ids[name])["id"] == number


def test_a_message_that_was_sent_again_traces_to_both_transmissions(made: Gateway) -> None:
    first, second = received(made), received(made)
    answer = made.answer("trace", id=made.bench.messages()[0].id)
    assert [t["id"] for t in answer["transmissions"]] == [first, second]
    assert [t["specimens"][0]["state"] for t in answer["transmissions"]] == ["converted", "duplicate"]


def test_a_held_result_says_why_and_the_rest_says_where_it_went(made: Gateway) -> None:
    trace = traced(made, f"t{received(made, MIXED)}")
    sodium, glucose = trace["specimens"][0]["observations"]
    assert (sodium["state"], sodium["hold"]) == ("converted", "")
    assert (glucose["state"], glucose["hold"], glucose["message"]) == ("held", "unit-contradicts", "")
    assert trace["specimens"][0]["state"] == "converted, held"


def test_of_a_broken_transmission_the_records_that_wait_are_shown_too(made: Gateway) -> None:
    text = records(HEADER, PATIENT, ORDER, NA, ORDER.replace("0028", "0029"), NA)
    trace = traced(made, f"t{received(made, text, event=TransmissionEvent.BROKEN)}")
    assert (trace["state"], trace["reason"]) == ("interrupted", "link")
    assert len(trace["records"]) == 6
    assert [s["id"] for s in trace["specimens"]] == ["S24-0028"]


def test_refused_frames_are_shown_with_their_reason_and_hold_nothing_else(made: Gateway) -> None:
    def store(s: Store) -> int:
        number = s.open_transmission(source())
        s.append(number, [Chunk(ChunkKind.REFUSED, b"\x021H|\\^&\r\x03ZZ\r\n", reason="checksum")])
        s.end(number, TransmissionEvent.BROKEN, "timeout")
        return number

    number = made.bench.do(store)
    made.bench.convert()
    trace = traced(made, f"t{number}")
    assert (trace["wire"][0]["kind"], trace["wire"][0]["reason"]) == ("refused", "checksum")
    assert trace["records"] == []
    assert [hold["code"] for hold in trace["holds"]] == ["frame-refused"]
    text = show_trace.text({"transmissions": [trace]})
    assert "an1 sent frames that were refused: the checksum does not fit." in text


def test_bytes_that_cannot_be_read_are_shown_spelled(made: Gateway) -> None:
    text = records(HEADER, PATIENT, ORDER) + b"R|1|^^^NA|\xff|mmol/L\r" + records("L|1|N")
    trace = traced(made, f"t{received(made, text)}")
    assert trace["records"][3] == {"index": 3, "type": "?", "text": "R|1|^^^NA|<FF>|mmol/L"}


def test_results_of_an_analyser_that_is_gone_can_still_be_traced(made: Gateway) -> None:
    number = received(made, of=source("gone"))
    trace = traced(made, f"t{number}")
    assert [hold["code"] for hold in trace["holds"]] == ["not-configured"]
    assert len(trace["records"]) == 5
    assert trace["specimens"] == []


def test_a_message_its_driver_fails_on_can_still_be_traced(made: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    def defective(self: Device, text: bytes, **options: Any) -> Any:
        raise InterpretationError("The lis02_generic driver failed on message 1: KeyError at interpret.py:1.")

    monkeypatch.setattr(Device, "read", defective)
    trace = traced(made, f"t{received(made)}")
    assert [hold["code"] for hold in trace["holds"]] == ["driver"]
    assert len(trace["wire"]) == 1
    assert len(trace["records"]) == 5


def test_a_transmission_that_is_not_converted_yet_shows_its_results_as_received(made: Gateway) -> None:
    made.bench.converter.stop()
    trace = traced(made, f"t{made.bench.receive(GOOD)}")
    assert trace["specimens"][0]["state"] == "received"
    assert trace["messages"] == []


def test_the_text_has_every_part_in_the_order_of_the_page(made: Gateway) -> None:
    number = received(made, MIXED)
    (row,) = made.bench.messages()
    made.bench.do(lambda s: s.published(row.id, replay="original"))
    made.bench.file(row.id)
    text = show_trace.text(made.answer("trace", id=f"t{number}"))
    places = [text.index(part) for part in ("wire", "records", "report", "HL7", "attempts", "receipt")]
    assert places == sorted(places)
    assert "  NA = 140 mmol/L  [record 3]  converted  in " + row.id in text
    assert "  GLU = 5.1 mmol/L  [record 4]  held  unit-contradicts" in text
    assert "receipt  filed " in text
