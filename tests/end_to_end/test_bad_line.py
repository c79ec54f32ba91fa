"""What goes wrong on the line: every byte is kept, every answer is true, what comes right later is filed once.

One laboratory, one analyser for each kind of mistake, so that every alarm and every hold has one cause. A test looks at
the answers on the wire, at what was filed, held and alarmed, at the neighbours of the mistake, and at the bytes kept.
"""

import random
import socket
import threading
from collections.abc import Iterator

import pytest
from end_to_end.bad_input_cases import (
    END,
    ENQ,
    EOT,
    VALUE,
    Ward,
    frame,
    frames,
    order,
    patient,
    plain,
    result,
    spelled_length,
    tube,
    ward_in,
)
from end_to_end.lab import ROOT, Bench, until

pytestmark = pytest.mark.broker

GENERIC = ROOT / "drivers/devices/lis02_generic/profile.toml"
H500 = r"H|\^&|||H500^1^2|||||||P|LIS2-A2|20260301120000"
AT_THE_END = {
    "rubbish": {"unframed-bytes", "frame-refused", "held"},
    "noise": {"unframed-bytes", "held"},
}


@pytest.fixture(scope="module")
def taken() -> Iterator[socket.socket]:
    """Another program's port."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory, taken: socket.socket) -> Iterator[Ward]:
    folder = tmp_path_factory.mktemp("ward")
    patience = folder / "agent/devices.d/short_patience"
    patience.mkdir(parents=True)  # a device of the site's own that gives an analyser one second instead of thirty
    text = GENERIC.read_text(encoding="utf-8").replace("[link]\n", "[link]\nreceive_s = 1.0\n")
    (patience / "profile.toml").write_text(text, encoding="utf-8")
    names = ("plain", "sum-once", "sum-always", "half-gone", "glued", "enq-again", "enq-inside", "rubbish", "noise")
    port = taken.getsockname()[1]
    benches = [
        *(Bench(name, "lis02_generic") for name in names),
        Bench("half-silent", "short_patience"),
        Bench("big", "horiba_yumizen"),
        Bench("late-port", "lis02_generic", port=port, transport=f"tcp-server://127.0.0.1:{port}"),
        Bench("no-port", "lis02_generic", transport="serial:///dev/serial/by-id/usb-not-there?baudrate=9600"),
    ]
    with ward_in(folder, benches) as found:
        yield found


def test_a_port_that_does_not_exist_and_one_that_is_in_use(ward: Ward, taken: socket.socket) -> None:
    port = taken.getsockname()[1]
    sentence = ward.await_alarm("no-port", "link-down")
    assert sentence == "no-port is not connected: /dev/serial/by-id/usb-not-there does not exist."
    ward.row("a serial port that does not exist", "the others are served", sentence)
    sentence = ward.await_alarm("late-port", "link-down")
    assert sentence == f"late-port is not connected: 127.0.0.1:{port} is in use by another program."
    taken.close()
    until(lambda: not ward.alarms("late-port"), 20, "the port is free, and taken up by itself")
    with ward.line("late-port") as line:
        line.send(plain(tube(1), VALUE))
    assert line.answers == "AAAAAA"
    ward.await_filed("late-port", (tube(1), VALUE))
    ward.row("a TCP port that is in use", "taken up once it is free", sentence)


def test_a_wrong_checksum_that_comes_right_the_second_time(ward: Ward) -> None:
    header, person, specimen, good, end = frames(plain(tube(6), VALUE))
    with ward.line("sum-once") as line:
        for piece in (ENQ, header, person, specimen, frame(4, result(VALUE), off_by=1), good, end):
            line.say(piece)
        line.tell(EOT)
    assert line.answers == "AAAA" + "N" + "AA"
    ward.await_filed("sum-once", (tube(6), VALUE))
    assert ward.nothing_is_held("sum-once")
    assert ward.alarms("sum-once") == {}
    assert ward.refusals("sum-once") == ["checksum"]
    assert ward.everything_is_kept("sum-once")
    ward.row("a wrong checksum, then the right one", "NAK, ACK; filed once")


def test_a_wrong_checksum_for_ever(ward: Ward) -> None:
    bad = frame(4, result(VALUE), off_by=1)
    with ward.line("sum-always") as line:
        for piece in (ENQ, *frames(plain(tube(7), VALUE))[:3], *[bad] * 6):
            line.say(piece)
        line.tell(EOT)
        sentence = ward.await_alarm("sum-always", "interrupted")
        nak = ward.await_alarm("sum-always", "nak-limit")
        assert nak == "sum-always had 6 frames in a row refused: the checksum does not fit."
        assert sentence.startswith("sum-always broke off in the middle of a transmission at 20")
        line.send(plain(tube(8), "5.2"))
        assert line.answers == "AAAA" + "N" * 6 + "A" * 6
        ward.await_filed("sum-always", (tube(8), "5.2"))
        assert "nak-limit" not in ward.alarms("sum-always")
        ward.await_states("sum-always", "interrupted eot", "complete L")  # another specimen's message completes nothing
        line.send(plain(tube(7), VALUE))
    ward.await_filed("sum-always", (tube(7), VALUE), (tube(8), "5.2"))
    ward.await_states("sum-always", "completed-by eot", "complete L", "complete L")
    assert ward.nothing_is_held("sum-always")
    assert ward.everything_is_kept("sum-always")
    ward.row("a wrong checksum for ever", "6 x NAK; filed when sent again", nak)


def test_half_a_frame_and_then_silence(ward: Ward) -> None:
    header, person, specimen, half, _ = frames(plain(tube(9), VALUE))
    with ward.line("half-silent") as line:
        for piece in (ENQ, header, person, specimen):
            line.say(piece)
        line.tell(half[:20])
        sentence = ward.await_alarm("half-silent", "interrupted")
        line.send(plain(tube(10), "5.2"))
        line.send(plain(tube(9), VALUE))
    assert line.answers == "A" * 4 + "A" * 6 + "A" * 6  # and nothing to the half
    ward.await_filed("half-silent", (tube(9), VALUE), (tube(10), "5.2"))
    ward.await_states("half-silent", "completed-by timeout", "complete L", "complete L")
    assert ward.refusals("half-silent") == ["unfinished"]
    assert ward.everything_is_kept("half-silent")
    ward.row("half a frame, then silence", "no answer; interrupted; filed when sent again", sentence)


def test_half_a_frame_and_then_the_line_is_cut(ward: Ward) -> None:
    header, person, specimen, half, _ = frames(plain(tube(11), VALUE))
    with ward.line("half-gone") as line:
        for piece in (ENQ, header, person, specimen):
            line.say(piece)
        line.tell(half[:20])
    assert line.answers == "AAAA"
    sentence = ward.await_alarm("half-gone", "interrupted")
    ward.await_states("half-gone", "interrupted link")
    with ward.line("half-gone") as line:
        line.send(plain(tube(11), VALUE))
    ward.await_filed("half-gone", (tube(11), VALUE))
    ward.await_states("half-gone", "completed-by link", "complete L")
    assert ward.refusals("half-gone") == ["unfinished"]
    assert ward.everything_is_kept("half-gone")
    ward.row("half a frame, then the line is cut", "interrupted; filed when sent again", sentence)


def test_two_frames_in_one_go_and_a_whole_message_in_one_go(ward: Ward) -> None:
    header, person, specimen, value, end = frames(plain(tube(12), VALUE))
    with ward.line("glued") as line:
        line.say(ENQ)
        line.say(header)
        line.tell(person, specimen)
        assert [line.hear(), line.hear()] == ["A", "A"]
        line.say(value)
        line.say(end)
        line.tell(EOT)
        line.tell(ENQ, *frames(plain(tube(13), "5.2")), EOT)
    assert line.answers == "A" * 6 + "A" * 6
    ward.await_filed("glued", (tube(12), VALUE), (tube(13), "5.2"))
    assert ward.alarms("glued") == {}
    assert ward.everything_is_kept("glued")
    ward.row("two frames glued", "each answered, both stored, filed")


def test_a_frame_of_28_kilobytes(ward: Ward) -> None:
    curve = "FLOATLE-stream/deflate:base64^" + "QUJD" * 3500
    image = f"M|1|HISTOGRAM|RBC/PLT|RbcAlongRes|{curve}|{curve}"
    white = result("6.1", "WBC^6690-2", 1, "10E3/uL")
    with ward.line("big") as line:
        line.send([H500, patient(), order(tube(14)), image, white, END])
        line.send([H500, patient(), order(tube(15)), result("6.2", "WBC^6690-2", 1, "10E3/uL"), END])
    assert len(image) > 28_000
    assert line.answers == "A" * 7 + "A" * 6
    ward.await_filed("big", (tube(14), "6.1"), (tube(15), "6.2"))
    assert ward.alarms("big") == {}
    until(lambda: sum(p.count(b"QUJD" * 3500) for p in ward.ear.results) == 2, 10, "both curves went up, unchanged")
    assert ward.everything_is_kept("big")
    ward.row("a frame of 28 KB", "one ACK; results first, curves in a message of their own")


def test_a_second_enq_before_the_first_frame(ward: Ward) -> None:
    with ward.line("enq-again") as line:
        line.say(ENQ)
        line.send(plain(tube(26), VALUE))
    assert line.answers == "A" + "A" * 6
    ward.await_filed("enq-again", (tube(26), VALUE))
    ward.await_states("enq-again", "complete L")
    assert ward.alarms("enq-again") == {}
    assert ward.everything_is_kept("enq-again")
    ward.row("a second ENQ before the first frame", "ACK; nothing new began")


def test_an_enq_in_the_middle_of_a_message(ward: Ward) -> None:
    with ward.line("enq-inside") as line:
        for piece in (ENQ, *frames(plain(tube(27), VALUE))[:3]):
            line.say(piece)
        line.send(plain(tube(27), VALUE))  # begins with ENQ, as every transmission does
    assert line.answers == "A" * 4 + "A" * 6
    ward.await_filed("enq-inside", (tube(27), VALUE))
    ward.await_states("enq-inside", "completed-by enq", "complete L")
    assert ward.nothing_is_held("enq-inside")
    assert ward.everything_is_kept("enq-inside")
    ward.row("ENQ in the middle of a message", "ACK; a new start; filed once")


def test_a_hundred_kilobytes_of_rubbish(ward: Ward) -> None:
    rubbish = random.Random(7741).randbytes(100_000)
    with ward.line("rubbish") as line, ward.line("plain") as neighbour:
        talking = threading.Thread(target=line.tell, args=(rubbish,))
        talking.start()
        neighbour.send(plain(tube(29), VALUE))  # meanwhile
        while talking.is_alive() and line.hear():
            pass
    assert neighbour.answers == "A" * 6
    ward.await_filed("plain", (tube(29), VALUE))
    with ward.line("rubbish") as good:
        good.send(plain(tube(30), VALUE))
    assert good.answers == "A" * 6
    ward.await_filed("rubbish", (tube(30), VALUE))
    assert set(line.answers) <= {"A", "N"}
    assert line.answers.count("A") <= rubbish.count(ENQ)
    *received, message = ward.transmissions("rubbish")
    assert [c["kind"] for c in message["wire"]] == ["frame"] * 5
    kept = sum(spelled_length(c["bytes"]) for t in received for c in t["wire"])
    consumed = sum(rubbish.count(b) for b in (b"\x05", b"\x04", b"\r", b"\n", b"\0"))  # asked, ended, padding
    assert 100_000 - consumed <= kept <= 100_000
    sentence = ward.await_alarm("rubbish", "unframed-bytes")
    assert sentence == "rubbish sent bytes outside any frame."
    queue = ward.agent.command("queue").stdout
    assert queue.count(sentence) == 1  # two hundred times the same is said once
    ward.row("100 KB of rubbish (seed 7741)", "kept; the next message is filed", sentence)


def test_noise_on_an_idle_line_is_no_interrupted_message(ward: Ward) -> None:
    with ward.line("noise") as line:
        line.tell(b"\xff\xfeA LINE THAT NOBODY UNDERSTANDS\xf8\xf8\xf8")
    assert line.answers == ""
    sentence = ward.await_held("noise", ("unframed-bytes", 0))
    assert sentence == "noise sent bytes outside any frame."
    ward.await_states("noise", "complete link")
    assert ward.everything_is_kept("noise")
    ward.row("noise on an idle line", "kept, no answer", sentence)


def test_what_was_put_right_is_no_alarm_any_more_and_what_waits_still_is(ward: Ward) -> None:
    for name in ward.tried():
        wanted = AT_THE_END.get(name, set())
        until(lambda n=name, w=wanted: set(ward.alarms(n)) == w, 15, f"{name}: {ward.alarms(name)}")
    assert ward.agent.nothing_waits()


def test_nothing_of_a_patient_is_seen_outside_the_results(ward: Ward) -> None:
    with ward.line("plain") as line:
        line.send(plain(tube(41), VALUE))
    until(lambda: (tube(41), "GLU", VALUE) in ward.filed("plain"), 20, "filed")
    ward.nothing_of_a_patient_is_seen()


def test_the_list_as_a_person_sees_it(ward: Ward) -> None:
    ward.print_table()
    assert all(outcome for _, outcome, _ in ward.table)
