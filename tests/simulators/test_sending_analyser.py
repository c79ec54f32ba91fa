"""The simulated analyser against a host that accepts, refuses, stays silent and hangs up."""

import json
import socket
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from simulators.analyser import Plan, clock_in, send
from simulators.analyser_ledger import read
from simulators.cli import main
from simulators.demo_lab import free_port
from simulators.errors import LineError, ShapeError, SimulatorError, UnknownDeviceError
from simulators.lis01_sender import Timers
from simulators.replay import turns

ACK, NAK, ENQ = b"\x06", b"\x15", b"\x05"
QUICK = Timers(reply_s=0.3, busy_s=0.01, contention_s=0.01)


def plan(devices: Path, **more: object) -> Plan:
    return Plan("bench", seed=5, devices=devices, **more)  # type: ignore[arg-type]  # keywords pass through


def hand_sum(frame: bytes) -> bytes:
    """LIS01-A2 §6.3.1.2, added up from the frame number to ETX or ETB."""
    end = max(frame.rfind(b"\x03"), frame.rfind(b"\x17"))
    total = 0
    for byte in frame[1 : end + 1]:
        total += byte
    return f"{total % 256:02X}".encode()


def text_of(frames: list[bytes]) -> bytes:
    return b"".join(frame[2 : max(frame.rfind(b"\x03"), frame.rfind(b"\x17"))] for frame in frames)


def test_every_frame_is_numbered_summed_and_ended_as_the_standard_says(host, devices) -> None:
    report = send(plan(devices, count=2), host.url, timers=QUICK)
    assert report.all_acknowledged
    host.settle()
    assert (host.enqs, host.eots, len(host.frames)) == (2, 2, 10)
    assert [frame[1:2] for frame in host.frames] == [b"1", b"2", b"3", b"4", b"5"] * 2
    for frame in host.frames:
        assert frame[:1] == b"\x02"
        assert frame[-5:-4] == b"\x03"
        assert frame[-4:-2] == hand_sum(frame)


def test_short_frames_hold_240_characters_and_join_to_the_same_message(host, devices) -> None:
    wire = devices / "bench/samples/glucose/wire.bin"
    records = text_of(wire.read_bytes()[1:].split(b"\n")[:-1])
    body = b"1" + records.replace(b"L|1|N\r", b"C|1|I|" + b"x" * 90 + b"|G\rL|1|N\r")
    wire.write_bytes(ENQ + b"\x02" + body + b"\x03" + hand_sum(b"\x02" + body + b"\x03") + b"\r\n\x04")
    send(plan(devices), host.url, timers=QUICK)
    (whole,) = host.frames
    host.frames.clear()
    assert send(plan(devices, frame_size=240), host.url, timers=QUICK).all_acknowledged
    assert [len(frame) for frame in host.frames] == [247, len(whole) - 240]
    assert [frame[-5:-4] for frame in host.frames] == [b"\x17", b"\x03"]
    assert text_of(host.frames) == text_of([whole])


def at_noon() -> datetime:
    return datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def test_the_same_seed_sends_the_same_bytes_and_another_seed_others(host, devices) -> None:
    for seed in (5, 5, 6):
        send(Plan("bench", seed=seed, count=3, devices=devices, clock=at_noon), host.url, timers=QUICK)
    first, second, third = host.frames[:15], host.frames[15:30], host.frames[30:]
    assert first == second
    assert first != third


def test_a_header_shows_the_time_of_the_analysers_clock_and_the_results_times_of_their_own(host, devices) -> None:
    send(Plan("bench", seed=5, devices=devices, clock=at_noon), host.url, timers=QUICK)
    header, *others = text_of(host.frames).split(b"\r")[:-1]
    assert header.split(b"|")[13] == b"20260302120000"
    assert not [record for record in others if b"20260302120000" in record]


def test_a_time_zone_that_is_not_there_is_said() -> None:
    with pytest.raises(SimulatorError, match="is not a time zone"):
        clock_in("Asia/Seol")


def test_specimens_are_unique_and_values_keep_comparator_and_decimals(host, devices) -> None:
    report = send(plan(devices, count=20), host.url, timers=QUICK)
    assert len({row.specimen for row in report.rows}) == 20
    for row in report.rows:
        assert row.value[0] == "<"
        assert row.value[2] == "."
        assert len(row.value) == 4


def test_what_the_ledger_says_is_what_stood_on_the_wire(host, devices, tmp_path) -> None:
    ledger = tmp_path / "ledger.jsonl"
    send(plan(devices, count=3, analyser="b1"), host.url, timers=QUICK, ledger=ledger)
    rows = list(read(ledger))
    assert [row.message_no for row in rows] == [0, 1, 2]
    for number, row in enumerate(rows):
        _, patient, order, result, _ = host.frames[number * 5 : number * 5 + 5]
        assert f"O|1|{row.specimen}|".encode() in order
        assert f"P|1||{row.patient}\r".encode() in patient
        assert f"R|1|^^^GLU|{row.value}|{row.unit}|".encode() in result
        assert f"|{row.time}|AN-200".encode() in result
        assert (row.device, row.analyser, row.role, row.flags, row.complete) == ("bench", "b1", "P", ("<",), True)
        assert row.acked_at


def test_transmissions_of_one_specimen_differ_in_value_or_time(host, devices) -> None:
    report = send(plan(devices, count=4, per_specimen=2), host.url, timers=QUICK)
    assert len({row.specimen for row in report.rows}) == 2
    assert len({row.time for row in report.rows}) == 4


def test_a_refused_frame_is_sent_again_with_the_same_bytes(host, devices) -> None:
    host.script = lambda event, number, _data: NAK if (event, number) == ("frame", 1) else ACK
    report = send(plan(devices), host.url, timers=QUICK)
    assert report.all_acknowledged
    assert host.frames[1] == host.frames[2]
    assert report.counters.naks == 1


def test_any_other_answer_counts_as_a_refusal(host, devices) -> None:
    host.script = lambda event, number, _data: b"?" if (event, number) == ("frame", 0) else ACK
    assert send(plan(devices), host.url, timers=QUICK).counters.naks == 1


def test_after_six_refusals_the_session_ends_and_nothing_is_claimed(host, devices, tmp_path) -> None:
    host.script = lambda event, number, _data: NAK if event == "frame" and number >= 3 else ACK
    ledger = tmp_path / "ledger.jsonl"
    report = send(plan(devices, resend=False), host.url, timers=QUICK, ledger=ledger)
    assert not report.all_acknowledged
    host.settle()
    assert len(host.frames) == 3 + 6
    assert host.eots == 1
    assert [(row.complete, row.acked_at) for row in read(ledger)] == [(False, "")]


def test_a_result_whose_l_was_never_acknowledged_is_written_as_incomplete(host, devices, tmp_path) -> None:
    host.script = lambda event, number, _data: None if (event, number) == ("frame", 4) else ACK
    ledger = tmp_path / "ledger.jsonl"
    send(plan(devices, resend=False), host.url, timers=QUICK, ledger=ledger)
    (row,) = read(ledger)
    assert not row.complete
    assert row.acked_at  # its own frame was acknowledged


def test_a_lost_acknowledgement_brings_the_whole_transmission_again(host, devices, tmp_path) -> None:
    host.script = lambda event, number, _data: None if (event, number) == ("frame", 4) else ACK
    ledger = tmp_path / "ledger.jsonl"
    report = send(plan(devices), host.url, timers=QUICK, ledger=ledger)
    assert report.all_acknowledged
    assert report.resends == 1
    assert host.frames[:5] == host.frames[5:]
    assert [row.complete for row in read(ledger)] == [False, True]


def test_a_busy_receiver_is_asked_again(host, devices) -> None:
    host.script = lambda event, number, _data: NAK if event == "enq" and number < 3 else ACK
    report = send(plan(devices), host.url, timers=QUICK)
    assert report.all_acknowledged
    assert (host.enqs, report.counters.busy) == (4, 3)


def test_in_a_contention_the_instrument_asks_again_and_wins(host, devices) -> None:
    host.script = lambda event, number, _data: ENQ if (event, number) == ("enq", 0) else ACK
    report = send(plan(devices), host.url, timers=QUICK)
    assert report.all_acknowledged
    assert (host.enqs, report.counters.contentions) == (2, 1)


def test_a_receiver_interrupt_counts_as_an_acknowledgement(host, devices) -> None:
    host.script = lambda event, number, _data: b"\x04" if (event, number) == ("frame", 2) else ACK
    report = send(plan(devices), host.url, timers=QUICK)
    assert report.all_acknowledged
    assert len(host.frames) == 5


def test_a_hang_up_is_followed_by_a_new_connection_and_the_whole_transmission(host, devices) -> None:
    host.script = lambda event, number, _data: b"hang up" if (event, number) == ("frame", 2) else ACK
    report = send(plan(devices), host.url, timers=QUICK)
    assert report.all_acknowledged
    assert (host.connections, report.link_losses, report.resends) == (2, 1, 1)
    assert text_of(host.frames[3:]) == text_of(host.accepted[2:])


def connect(number: int) -> socket.socket:
    """A connection to a listener that may not be there yet."""
    deadline = time.monotonic() + 5
    while True:
        try:
            return socket.create_connection(("127.0.0.1", number), 5)
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.005)


def test_a_device_that_listens_is_served_by_whoever_connects(devices) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        number = probe.getsockname()[1]
    got: list[bytes] = []

    def agent() -> None:
        with connect(number) as line:
            while data := line.recv(4096):
                got.append(data)
                if data != b"\x04":
                    line.sendall(ACK)

    thread = threading.Thread(target=agent)
    thread.start()
    report = send(plan(devices), f"tcp-listen://127.0.0.1:{number}", timers=QUICK)
    thread.join(5)
    assert report.all_acknowledged
    assert got[0] == ENQ


def test_a_run_can_be_ended_after_so_many_results(host, devices) -> None:
    assert send(plan(devices, count=50, results=7), host.url, timers=QUICK).acknowledged == 7


def test_an_unknown_device_is_named_with_the_nearest_one(devices) -> None:
    with pytest.raises(UnknownDeviceError) as caught:
        send(Plan("bensh", devices=devices), "tcp://127.0.0.1:1")
    assert caught.value.action == "Did you mean bench?"


def test_a_sample_that_is_held_is_no_shape(devices) -> None:
    path = devices / "bench/samples/glucose/expected.json"
    path.write_text(path.read_text("utf-8").replace('"held": []', '"held": [{"code": "no-specimen-id"}]'), "utf-8")
    with pytest.raises(ShapeError):
        send(Plan("bench", devices=devices), "tcp://127.0.0.1:1")


@pytest.mark.parametrize("url", ["", "tcp://", "tcp://host:port", "ftp://host:1", "serial://", "tcp://host:99999"])
def test_an_address_that_means_nothing_is_refused(devices, url) -> None:
    with pytest.raises(LineError):
        send(Plan("bench", devices=devices), url)


def test_the_command_says_what_was_acknowledged_and_exits_accordingly(host) -> None:
    arguments = ["send", "--device", "lis02_generic", "--to", host.url, "--sample", "worked_example", "--seed", "1"]
    good = CliRunner().invoke(main, [*arguments, "--count", "3", "--json"])
    assert good.exit_code == 0
    facts = json.loads(good.stdout)
    assert (facts["transmissions_acknowledged"], facts["results_acknowledged"]) == (3, 3)
    bad = CliRunner().invoke(main, ["send", "--device", "nothing_like_it", "--to", host.url])
    assert bad.exit_code == 1
    assert "[unknown-device]" in bad.stderr


@pytest.mark.parametrize("device", ["lis02_generic", "sysmex_xn", "cepheid_genexpert", "horiba_yumizen"])
def test_every_shipped_device_can_be_played(host, device) -> None:
    report = send(Plan(device, seed=3, count=4), host.url, timers=QUICK)
    assert report.all_acknowledged
    assert report.acknowledged >= 4
    assert all(frame[-4:-2] == hand_sum(frame) for frame in host.frames)


def test_some_patients_of_the_generic_device_have_korean_names(host) -> None:
    send(Plan("lis02_generic", seed=3, count=3, samples=("worked_example",)), host.url, timers=QUICK)
    patients = [frame.decode() for frame in host.frames if frame[2:3] == b"P"]
    assert any("가" <= character <= "힣" for character in "".join(patients))


def test_a_recorded_stream_is_replayed_byte_for_byte(host, devices) -> None:
    wire = devices / "bench/samples/glucose/wire.bin"
    result = CliRunner().invoke(main, ["replay", str(wire), "--to", host.url, "--json"])
    assert result.exit_code == 0
    assert json.loads(result.stdout)["acknowledged"] == 6
    host.settle()
    assert b"\x05" + b"".join(host.frames) + b"\x04" == wire.read_bytes()


def test_raw_replay_writes_everything_without_waiting(host, devices) -> None:
    wire = devices / "bench/samples/glucose/wire.bin"
    result = CliRunner().invoke(main, ["replay", str(wire), "--to", host.url, "--raw", "--json"])
    assert json.loads(result.stdout)["bytes_sent"] == len(wire.read_bytes())
    assert b"".join(host.frames) == wire.read_bytes()[1:-1]


def test_what_keeps_a_result_from_being_taken_is_said_at_once() -> None:
    nobody = f"tcp://127.0.0.1:{free_port()}"
    said = CliRunner().invoke(main, ["send", "--device", "sysmex_xn", "--to", nobody, "--no-resend"])
    assert said.exit_code == 1
    assert said.stderr.splitlines() == [
        "The line was lost: Connection refused. Check that the other side runs and listens there."
    ]


@pytest.mark.parametrize("wrong", [["--count", "0"], ["--per-specimen", "0"], ["--rate", "-1"], ["--results", "-5"]])
def test_a_number_that_means_nothing_is_wrong_usage(wrong: list[str]) -> None:
    arguments = ["send", "--device", "sysmex_xn", "--to", "tcp://127.0.0.1:1"]
    assert CliRunner().invoke(main, [*arguments, *wrong]).exit_code == 2


@pytest.mark.parametrize("data", [b"", b"\x02", b"noise\x05\x021H|\r\x03AA\r\n\x02half", b"\x02\x03\x02\x04\x05\x05"])
def test_cutting_a_stream_into_turns_loses_no_byte(data) -> None:
    assert b"".join(turns(data)) == data
