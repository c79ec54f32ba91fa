"""The line to the broker loses, cuts, holds up or invents bytes while analysers send: nothing is lost or doubled."""

import time
from collections.abc import Iterator

import pytest
from end_to_end.lab import until
from faults.broker_lab import PATIENCE_S, BrokerLab, broker_lab, lost_by_resets
from faults.outcomes_file import ENUMERATED, Outcomes
from faults.scale import chance, one_in, share

pytestmark = [pytest.mark.broker, pytest.mark.slow]

HALF_OPEN = "half-open connection to the broker"
NONSENSE = "broker answers with nonsense"
# Each breaks a rule of MQTT 5.0 for what a server may send, or fits nothing that was asked.
WRONG_PACKETS = {
    "a reserved type": b"\x00\x00",
    "a remaining length of five bytes": b"\x30\xff\xff\xff\xff\x7f",
    "256 MB that never come": b"\x30\xff\xff\xff\x7f",
    "CONNACK twice": b"\x20\x03\x00\x00\x00",
    "CONNACK cut short": b"\x20\x01\x00",
    "CONNECT": b"\x10\x0d\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x00",
    "PUBLISH without a topic": b"\x32\x00",
    "PUBLISH of QoS 3": b"\x36\x07\x00\x01a\x00\x01\x00x",
    "PUBLISH whose topic is no UTF-8": b"\x32\x08\x00\x02\xff\xfe\x00\x01\x00x",
    "PUBLISH whose topic is longer than it": b"\x32\x05\x00\x40ab\x00",
    "PUBLISH with an unknown property": b"\x32\x09\x00\x01a\x00\x01\x02\x7f\x00x",
    "PUBLISH with properties longer than it": b"\x32\x07\x00\x01a\x00\x01\x40x",
    "PUBLISH with a topic alias nobody gave": b"\x32\x09\x00\x00\x00\x01\x03\x23\x00\x09x",
    "PUBACK of nothing": b"\x40\x02\x00\x00",
    "PUBACK without a packet id": b"\x40\x00",
    "PUBACK with a code that is none": b"\x40\x03\xff\xf0\x77",
    "PUBREC": b"\x50\x02\x00\x01",
    "PUBREL nobody waits for": b"\x62\x02\x00\x63",
    "PUBCOMP": b"\x70\x02\x00\x01",
    "SUBACK nobody waits for": b"\x90\x04\x12\x34\x00\x80",
    "SUBACK without codes": b"\x90\x03\x12\x34\x00",
    "UNSUBACK": b"\xb0\x04\x00\x07\x00\x00",
    "SUBSCRIBE": b"\x82\x07\x00\x01\x00\x00\x01a\x01",
    "PINGREQ": b"\xc0\x00",
    "PINGRESP with a load": b"\xd0\x02ab",
    "DISCONNECT with a code that is none": b"\xe0\x02\x55\x00",
    "AUTH": b"\xf0\x02\x18\x00",
    "another protocol": b"HTTP/1.1 400 Bad Request\r\n\r\n",
}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerLab]:
    with broker_lab(tmp_path_factory.mktemp("line")) as lab:
        yield lab


@pytest.fixture(autouse=True)
def well(lab: BrokerLab) -> Iterator[None]:
    yield
    lab.line.well()
    defects = [line for line in lab.agent.log.read_text(encoding="utf-8").splitlines() if "Traceback" in line]
    assert defects == [], lab.agent.tail()


moments = chance("moments of the line to the broker")


def a_moment(most_s: float = 0.4) -> None:
    time.sleep(moments.uniform(0.0, most_s))


def test_a_line_whose_fault_only_time_can_tell(lab: BrokerLab, outcomes: Outcomes) -> None:
    for scenario, fault in one_in(2, [("every third PUBACK lost", pubacks_lost), (HALF_OPEN, half_open)]):
        outcomes.begin()
        lab.tried(outcomes, scenario, 20, lambda fault=fault: fault(lab))


def pubacks_lost(lab: BrokerLab) -> None:
    """What has a place in flight for ever would stop delivery in the end: the connection is made anew in time."""
    lost, connections = lab.line.pubacks_lost, lab.line.connections
    lab.line.lose(3)
    until(lambda: lab.line.pubacks_lost >= lost + 16, PATIENCE_S, "a window full of PUBACKs is lost")
    until(lambda: lab.line.connections > connections, PATIENCE_S, "the connection is made anew")
    lab.line.well()
    lab.something_filed()


def half_open(lab: BrokerLab) -> None:
    """Neither side hears of it; the keepalive (5 s here, so 7.5 s at most) finds out."""
    a_moment()
    connections = lab.line.connections
    lab.line.half_open()
    until(lambda: lab.line.connections > connections, PATIENCE_S, "the agent connects anew")
    lab.something_filed()


def test_a_line_that_stands_still_for_a_while(lab: BrokerLab, outcomes: Outcomes) -> None:
    def fault() -> None:
        lab.line.freeze()
        a_moment(1.5)
        lab.line.well()
        lab.something_filed()

    lab.tried(outcomes, "line to the broker stands still for a while", 50, fault)


def test_a_line_that_is_reset(lab: BrokerLab, outcomes: Outcomes) -> None:
    def fault() -> None:
        a_moment()
        lab.line.reset()
        lab.something_filed()

    lab.tried(outcomes, "connection to the broker reset", 50, fault)


@pytest.mark.parametrize("upwards", [True, False], ids=["to the broker", "to the agent"])
def test_a_line_that_is_cut_inside_a_packet(lab: BrokerLab, outcomes: Outcomes, upwards: bool) -> None:
    def fault() -> None:
        connections = lab.line.connections
        lab.line.cut_inside_a_packet(upwards=upwards)
        until(lambda: lab.line.connections > connections, PATIENCE_S, "the agent connects anew")
        lab.something_filed()

    way = "to" if upwards else "from"
    lab.tried(outcomes, f"cut inside a packet {way} the broker", 50, fault)


def test_a_line_that_gives_one_byte_at_a_time(lab: BrokerLab, outcomes: Outcomes) -> None:
    def fault() -> None:
        lab.line.trickle(0.001)
        a_moment()
        lab.something_filed()
        lab.line.trickle(0.0)
        lab.something_filed()

    lab.tried(outcomes, "answers of the broker byte by byte", 50, fault)


def test_a_broker_that_answers_with_nonsense(lab: BrokerLab, outcomes: Outcomes) -> None:
    """Some end the connection, some are let pass; none ends delivery."""
    points = share(sorted(WRONG_PACKETS))

    def work() -> None:
        for point in points:
            a_moment(0.1)
            lab.line.say(WRONG_PACKETS[point])
            lab.something_filed()

    verdict = lab.judged(NONSENSE, work)
    outcomes.verdict(NONSENSE, ENUMERATED, len(points), verdict, points=len(WRONG_PACKETS))


def test_a_broker_that_answers_with_noise(lab: BrokerLab, outcomes: Outcomes) -> None:
    bytes_of = chance("noise")

    def fault() -> None:
        a_moment(0.1)
        lab.line.say(bytes_of.randbytes(bytes_of.randrange(1, 200)))
        lab.something_filed()

    lab.tried(outcomes, "broker answers with random bytes", 50, fault)


@pytest.mark.every(3)
def test_the_same_count_finds_what_is_lost_where_nothing_is_sent_twice(
    tmp_path_factory: pytest.TempPathFactory, outcomes: Outcomes
) -> None:
    with broker_lab(tmp_path_factory.mktemp("control"), defect="file-unanswered") as lab:
        lost, verdict = lost_by_resets(lab)
    assert lost > 0, verdict.table()
    outcomes.control_of_all("filed without an answer", f"{lost} of {verdict.acknowledged} lost")
