"""What an analyser's line can say: bytes into the link layer, the records, the report, and the HL7 that goes out."""

from collections import Counter
from collections.abc import Iterator, Sequence

from judge.reader import read as read_hl7
from support_pipeline import Memory, payloads, samples, transmission

from drivers.protocols import lis01, lis02
from drivers.sdk import SHIPPED, Device, load
from edge_agent.probe.hearing import Hearing
from edge_agent.states import ItemState

DEVICES: Sequence[Device] = tuple(load(name) for name in SHIPPED)
STANDARD = lis01.Dialect(max_frame=300, max_message=2000)
DIALECTS = (
    STANDARD,
    lis01.Dialect(framing="auto", trailer="any", frame_number="any", max_frame=300, max_message=2000),
    lis01.Dialect(framing="bare", ack_unit="record", max_message=2000),
    lis01.Dialect(checksum="none", frame_number="none", trailer="none", max_frame=300),
    lis01.Dialect(checksum="incl_stx", trailer="any", end_of_message="EOT", max_frame=300),
    lis01.Dialect(checksum="no_etx", ack_unit="session", max_frame=300),
    lis01.Dialect(checksum="xor1", trailer="none", frame_number="continues", max_frame=300),
    lis01.Dialect(checksum="gs_hex", trailer="any", frame_number="none", max_frame=300),
    lis01.Dialect(
        end_of_message="idle",
        ack_unit="message",
        etb="record",
        resync=frozenset({"enq_again", "eot_first", "nul", "vt_padding"}),
        max_frame=300,
    ),
    *(device.dialect() for device in DEVICES),
)
OPTIONS = (
    *(device.record_options() for device in DEVICES),
    lis02.RecordOptions(charset="gb18030", strip_indent=False, escapes="lis02"),
    lis02.RecordOptions(charset="utf-16", record_sep="cr"),
    lis02.RecordOptions(charset="ascii", levels={"M": 4, "X": 9}, attach={"C": "parent", "Q": "R"}, record_sep="crlf"),
)
LINK_WORDS = (
    *(bytes((n,)) for n in (0, 2, 3, 4, 5, 6, 10, 11, 13, 0x15, 0x17, 0x1D)),
    *(b"\r\n", b"\x021H|\\^&\r\x03E5\r\n", b"\x022L|1|N\r\x0306\r\n", b"\x05\x02", b"H|\\^&\r"),
)
RECORD_WORDS = (
    *(b"H|\\^&", b"H|@^\\", b"\rP|1", b"\rO|1|", b"\rR|1|^^^", b"\rC|1|I|", b"\rM|1|", b"\rL|1|N", b"\rQ|1|", b"\rS|1"),
    *(b"|", b"^", b"\\", b"&F&", b"&S&", b"&X0D&", b"&", b"\r", b"\n", b" ", b'""', b"F", b"Q", b"X", b"1e999"),
    *(b"20240612103000", b"20240231", b"5.1", b"<0.01", b"1,5", b">", b"10^3/uL", b"----", b"\xff", "혈".encode()),
)


_SHORT = tuple(sample for sample in samples() if len(sample.wire) < 2000)


def wires() -> list[bytes]:
    """Dialect, size of reads and pauses stand in front. The first is a frame with a wrong sum."""
    wrong = b"\0\7\0\x05\x021H|\\^&\r\x0300\r\n\x04"
    return [wrong] + [
        bytes((n % len(DIALECTS), 7, 3)) + wire for n, wire in enumerate(sample.wire for sample in _SHORT)
    ]


def texts() -> list[bytes]:
    """The records of each sample as its sender wrote them."""
    found = []
    for sample in _SHORT:
        receiver = lis01.Receiver(load(sample.device).dialect())
        receiver.receive(sample.wire, 0.0)
        receiver.link_lost()
        found.append(b"".join(e.text for e in _events(receiver, 0.0) if isinstance(e, lis01.FrameReceived)))
    return [text for text in found if text]


class _Kept:
    chunks = 1


def _events(receiver: lis01.Receiver, now: float) -> Iterator[lis01.Event]:
    while (event := receiver.next_event(now)) is not None:
        yield event
        if isinstance(event, lis01.FrameReceived):
            receiver.acknowledge(event, _Kept())


def _reads(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def receive(data: bytes) -> None:
    """The receiver in every dialect. By the book, no frame is data whose sum is not right; quiet, it holds nothing."""
    which, size, pause = (*data[:3], 0, 1, 0)[:3]
    dialect = DIALECTS[which % len(DIALECTS)]
    receiver, now = lis01.Receiver(dialect), 100.0
    for number, read in enumerate(_reads(data[3:], size or 1), 1):
        receiver.receive(read, now)
        _take(receiver, now)
        if pause and number % pause == 0 and (due := receiver.deadline) is not None:
            now = max(now, due)
            receiver.expire(now)
            _take(receiver, now)
    receiver.link_lost()
    _take(receiver, now)
    assert receiver.state is lis01.State.IDLE


def _take(receiver: lis01.Receiver, now: float) -> None:
    for event in _events(receiver, now):
        if receiver._dialect is STANDARD and isinstance(event, lis01.FrameReceived):
            assert b"%02X" % (sum(event.raw[1:-4]) & 0xFF) == event.raw[-4:-2], "a wrong sum was taken as data"


def records(data: bytes) -> None:
    """The record reader with several options: it gives every byte back that is no separator."""
    options = OPTIONS[(data[:1] or b"\0")[0] % len(OPTIONS)]
    text = data[1:]
    reading = lis02.read(text, options)
    found = [*reading.stray, *(r for m in reading.messages for r in m.records)]
    kept = Counter(b"".join(r.raw for r in found))
    assert all(kept[b] == n for b, n in Counter(text).items() if b not in b"\r\n \t"), "bytes were lost"
    for record in found:
        for field in range(len(record.fields) + 2):
            record.get(field, 1, 2)
            record.repeats(field)


def report(data: bytes) -> None:
    """Every shipped profile makes a report of any text; each R record is somewhere in it."""
    for device in DEVICES:
        for saved_only in (False, True):
            read, _ = device.read(data, saved_only=saved_only)
            for message, made in read:
                there = {n for s in made.specimens for o in s.observations() for n in o.records}
                there |= {n for s in made.specimens for order in s.orders for n in order.records}
                there |= {unread.record for unread in made.unread}
                lost = [r.index for r in message.records if r.type == "R" and r.index not in there]
                assert not lost, "a result is in no place of the report"


def pipeline(data: bytes) -> None:
    """What goes out can be read by another author's reader, every result has an end, and a resend is not sent on."""
    device = DEVICES[(data[:1] or b"\0")[0] % len(DEVICES)]
    memory = Memory(device)
    made = memory.settle(transmission(data[1:]))
    for payload in payloads(made):
        findings = read_hl7(payload).findings
        assert not findings, str(findings[0])
    assert all(isinstance(o.state, ItemState) for g in made.groups for o in g.observations)
    assert not payloads(memory.settle(transmission(data[1:], id=2))), "the same results went out twice"


def hearing(data: bytes) -> None:
    """The listener of `probe`: whatever it hears, it answers nothing or one NAK."""
    which, size = (*data[:2], 0, 1)[:2]
    device = DEVICES[which % len(DEVICES)]
    heard = Hearing(device.name, device.profile, lambda: [(d.name, d.profile) for d in DEVICES])
    now = 0.0
    for read in _reads(data[2:], size or 1):
        now += 0.2
        _, answer = heard.hear(read, now)
        assert answer in (b"", b"\x15"), "an answer that is no NAK"
        if (due := heard.deadline) is not None and due <= now:
            heard.hear(b"", now)
    heard.end(now + 1)
