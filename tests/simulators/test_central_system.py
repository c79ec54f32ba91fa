"""The management system's stand-in on a real broker, spoken to by a gateway written here with hand-written HL7."""

import hashlib
import itertools
import json
import queue
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from click.testing import CliRunner
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from simulators.central import Central, CentralOptions
from simulators.central_desk import Reply
from simulators.cli import main
from simulators.er7 import read
from simulators.errors import LineError
from simulators.verdict import judge, shown

pytestmark = pytest.mark.broker

WAIT = 5.0
_numbers = itertools.count()

# LAW form after standards' worked example: SN <0.3 mmol/L, run 1, flag <, one note.
LAW = (
    "MSH|^~\\&|AN-200|SEOUL|IVD|CENTRAL|20240301101502+0100||OUL^R22^OUL_R22|{id}|P|2.5.1|||NE|AL||UNICODE UTF-8|||"
    "LAB-29^IHE\r"
    "PID|||PID77||^^^^^^U\r"
    "SPM|1|498151||SER^Serum^HL70487|||||||P^Patient^HL70369\r"
    "SAC|||498151\r"
    'OBR||""||GLU^^99AN200\r'
    "ORC|SC||||CM\r"
    "OBX|1|SN|GLU^^99AN200|1|<^0.3|mmol/L^mmol/L^99AN200^mmol/L^^UCUM|3.9 to 5.6|<^^HL70078|||F|||||jd||"
    "AN-200^ACME~SN42^ACME|20240301101200+0100||||||||||RSLT\r"
    "NTE|1|L|a \\T\\ b\r"
)


def law(number: str) -> bytes:
    return LAW.format(id=number).encode()


class Gateway:
    """A gateway of its own site, so that tests do not meet on one broker."""

    def __init__(self, port: int) -> None:
        self.root = f"ivd/v1/site-{next(_numbers)}/gw-01"
        self.acks: queue.Queue[paho.MQTTMessage] = queue.Queue()
        ready: queue.Queue[int] = queue.Queue()
        self.paho = paho.Client(CallbackAPIVersion.VERSION2, self.root, protocol=MQTTProtocolVersion.MQTTv5)
        self.paho.on_message = lambda _c, _u, message: self.acks.put(message)
        self.paho.on_subscribe = lambda _c, _u, mid, _codes, _p: ready.put(mid)
        self.paho.connect("127.0.0.1", port)
        self.paho.loop_start()
        self.paho.subscribe([(f"{self.root}/down/ack/ivd", 1), ("ivd/v1/_central/#", 1)])
        ready.get(timeout=WAIT)

    def publish(self, payload: bytes, *, route: str = "result", **said: Any) -> None:
        properties = Properties(PacketTypes.PUBLISH)
        properties.CorrelationData = said.get("correlation", read(payload).control_id.encode())
        properties.ResponseTopic = f"{self.root}/down/ack/ivd"
        digest = said.get("digest", hashlib.sha256(payload).hexdigest())
        properties.UserProperty = [("digest", digest), ("sequence", said.get("sequence", "1")), ("replay", "original")]
        self.paho.publish(f"{self.root}/up/an1/{route}", payload, 1, False, properties).wait_for_publish(WAIT)

    def ack(self) -> tuple[str, str, paho.MQTTMessage]:
        """(MSA-1, MSA-2, the message) of the next acknowledgement."""
        while True:
            message = self.acks.get(timeout=WAIT)
            if "/down/ack/" in message.topic:
                msa = next(s for s in message.payload.decode().split("\r") if s.startswith("MSA")).split("|")
                return msa[1], msa[2], message

    def so_far(self) -> list[paho.MQTTMessage]:
        return [self.acks.get_nowait() for _ in range(self.acks.qsize())]

    def state(self) -> dict[str, Any]:
        while True:
            message = self.acks.get(timeout=WAIT)
            if "/_central/" in message.topic and message.payload:
                return dict(json.loads(message.payload))

    def stop(self) -> None:
        self.paho.disconnect()
        self.paho.loop_stop()


@pytest.fixture
def gateway(mosquitto: int) -> Iterator[Gateway]:
    client = Gateway(mosquitto)
    yield client
    client.stop()


def start(port: int, **more: Any) -> Central:
    """A system of its own name, so that no session of another test wakes up in it."""
    options = CentralOptions(f"mqtt://127.0.0.1:{port}", instance=f"central-{next(_numbers)}", **more)
    system = Central(options)
    system.start()
    return system


@pytest.fixture
def central(mosquitto: int) -> Iterator[Central]:
    system = start(mosquitto)
    yield system
    system.stop()
    system.close_ledger()


def test_a_message_is_filed_and_answered_with_its_own_id_and_digest(central, gateway) -> None:
    gateway.publish(law("AB12CD34-00000000001"))
    code, control_id, message = gateway.ack()
    assert (code, control_id) == ("AA", "AB12CD34-00000000001")
    assert message.properties.CorrelationData == b"AB12CD34-00000000001"
    digest = hashlib.sha256(law("AB12CD34-00000000001")).hexdigest()
    assert message.properties.UserProperty == [("digest", digest)]
    head = message.payload.decode().split("\r")[0].split("|")
    assert (head[8], head[11], head[17], head[20]) == ("ACK^R22^ACK", "2.5.1", "UNICODE UTF-8", "LAB-29^IHE")


def test_the_ledger_holds_what_stood_in_the_message(central, gateway) -> None:
    gateway.publish(law("AB12CD34-00000000002"), sequence="7")
    gateway.ack()
    (filing,) = central.ledger.filings()
    seen = filing.observation
    assert (filing.msh10, filing.sequence, filing.analyser, filing.route, filing.filed, filing.dup) == (
        "AB12CD34-00000000002",
        "7",
        "an1",
        "result",
        True,
        False,
    )
    assert (seen.specimen, seen.patient, seen.role, seen.code, seen.type) == ("498151", "PID77", "P", "GLU", "SN")
    assert (seen.value, seen.unit, seen.flags, seen.status, seen.run) == ("<0.3", "mmol/L", ("<",), "F", "1")
    assert (seen.time, seen.notes) == ("20240301101200+0100", "a & b")


def test_the_same_message_twice_is_one_filing_and_a_counted_retry(central, gateway) -> None:
    for _ in range(2):
        gateway.publish(law("AB12CD34-00000000003"))
        assert gateway.ack()[0] == "AA"
    totals = central.ledger.totals()
    assert (totals["deliveries"], totals["messages"], totals["filed_results"], totals["retries"]) == (2, 1, 1, 1)
    assert [filing.filed for filing in central.ledger.filings()] == [True, False]


def test_the_same_id_with_another_content_is_refused_as_a_duplicate_key(central, gateway) -> None:
    gateway.publish(law("AB12CD34-00000000004"))
    gateway.ack()
    gateway.publish(law("AB12CD34-00000000004").replace(b"<^0.3", b"<^0.4"))
    code, _, message = gateway.ack()
    assert code == "AE"
    assert b"ERR|||205^" in message.payload
    assert [f.observation.value for f in central.ledger.filings(filed_only=True)] == ["<0.3"]


@pytest.mark.parametrize("lie", [{"digest": "0" * 64}, {"correlation": b"another"}])
def test_properties_that_contradict_the_content_are_refused(central, gateway, lie) -> None:
    gateway.publish(law("AB12CD34-00000000005"), **lie)
    assert gateway.ack()[0] == "AE"
    assert central.ledger.totals()["filed_messages"] == 0


def test_a_message_hl7apy_refuses_is_answered_with_an_error(central, gateway) -> None:
    without_specimen_type = law("AB12CD34-00000000006").replace(b"SER^Serum^HL70487", b"")
    assert judge(without_specimen_type)
    gateway.publish(without_specimen_type)
    assert gateway.ack()[0] == "AE"


def test_a_message_without_specimen_is_answered_with_an_error(central, gateway) -> None:
    gateway.publish(law("AB12CD34-00000000007").replace(b"|498151", b"|"))
    assert gateway.ack()[0] == "AE"


def test_what_is_no_hl7_is_counted_and_never_answered(central, gateway) -> None:
    gateway.paho.publish(f"{gateway.root}/up/manifest", b"{}", 1)
    gateway.publish(law("AB12CD34-00000000008"))
    assert gateway.ack()[1] == "AB12CD34-00000000008"
    assert central.other_messages == 1


def test_the_standard_example_pleases_hl7apy_only_with_its_later_fields_cut() -> None:
    assert judge(law("GW1-000123")) == ""
    # negative controls: what the receiver relies on hl7apy for
    assert judge(law("GW1-000123").replace(b"|||F|", b"||||", 1))
    assert judge(law("GW1-000123").replace(b"OBR|", b"OBS|"))


def test_the_data_of_an_image_is_too_long_for_hl7apy_and_is_shown_to_it_shortened() -> None:
    image = (
        law("GW1-000124")
        .replace(b"|SN|", b"|ED|")
        .replace(b"|<^0.3|", b"|^AP^Octet-stream^Base64^" + b"A" * 90_000 + b"|")
    )
    assert judge(image) == ""
    assert len(shown(image.decode())) < 2000


@pytest.mark.parametrize(("answer", "filed"), [("AE", 0), ("AR", 0), ("CA", 0), ("AA", 1)])
def test_a_script_decides_the_answer_and_only_aa_files(mosquitto, gateway, central, answer, filed) -> None:
    central.set_script(lambda _msh10: answer)
    gateway.publish(law("AB12CD34-00000000010"))
    assert gateway.ack()[0] == answer
    assert central.ledger.totals()["filed_messages"] == filed


def test_a_message_refused_once_is_filed_when_it_comes_again(gateway, central) -> None:
    central.set_script(lambda _msh10: "AE")
    gateway.publish(law("AB12CD34-00000000011"))
    assert gateway.ack()[0] == "AE"
    central.set_script(None)
    gateway.publish(law("AB12CD34-00000000011"))
    assert gateway.ack()[0] == "AA"
    assert central.ledger.totals()["filed_messages"] == 1


def test_answers_can_be_late_doubled_and_forged(gateway, central) -> None:
    central.set_script(
        lambda _: [
            Reply("AA", after_s=0.3),
            Reply("AA", control_id="someone-else"),
            Reply("AA", digest="0" * 64),
            Reply("AE"),
        ]
    )
    gateway.publish(law("AB12CD34-00000000012"))
    answers = [gateway.ack() for _ in range(4)]
    assert [(code, id_) for code, id_, _ in answers] == [
        ("AA", "someone-else"),
        ("AA", "AB12CD34-00000000012"),
        ("AE", "AB12CD34-00000000012"),
        ("AA", "AB12CD34-00000000012"),
    ]
    assert answers[1][2].properties.UserProperty == [("digest", "0" * 64)]


def test_a_silent_system_receives_and_does_not_answer(mosquitto, gateway) -> None:
    system = start(mosquitto, answer="none")
    gateway.publish(law("AB12CD34-00000000013"))
    assert system.wait_until(lambda totals: totals["deliveries"] == 1, WAIT)
    assert system.ledger.totals()["filed_messages"] == 0
    system.stop()


def test_it_says_when_it_comes_and_goes_and_its_will_carries_the_birth_timestamp(mosquitto, gateway) -> None:
    system = start(mosquitto)
    born = gateway.state()
    while not born["online"]:
        born = gateway.state()
    system.go_offline(clean=False)
    assert gateway.state() == {"online": False, "timestamp": born["timestamp"]}
    system.go_online()
    again = gateway.state()
    assert again["online"] is True
    assert again["timestamp"] > born["timestamp"]
    system.stop()
    assert gateway.state()["online"] is False


def test_what_came_while_it_was_away_is_filed_when_it_returns(mosquitto, gateway) -> None:
    system = start(mosquitto)
    system.go_offline()
    for number in range(30):
        gateway.publish(law(f"AB12CD34-000000010{number:02d}"))
    system.go_online()
    assert system.wait_until(lambda totals: totals["filed_results"] == 30, WAIT)
    assert [f.msh10[-2:] for f in system.ledger.filings()] == [f"{number:02d}" for number in range(30)]
    system.stop()


def test_a_delivery_is_released_at_the_broker_only_after_it_is_on_disk(mosquitto, gateway, tmp_path) -> None:
    """The ledger cannot be written; the line breaks: the broker must still have the message and bring it again."""
    system = start(mosquitto, ledger=tmp_path / "central.db")
    blocker = sqlite3.connect(tmp_path / "central.db", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    gateway.publish(law("AB12CD34-00000000020"))
    deadline = time.monotonic() + WAIT
    while system.received == 0:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    system.go_offline(clean=False)
    blocker.execute("ROLLBACK")
    blocker.close()
    system.go_online()
    assert system.wait_until(lambda totals: totals["deliveries"] == 2, WAIT)
    assert [(filing.filed, filing.dup) for filing in system.ledger.filings()] == [(True, False), (False, True)]
    system.stop()


def test_while_the_ledger_cannot_be_written_nothing_is_answered_and_nothing_is_lost(
    mosquitto, gateway, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr("simulators.central_ledger.PATIENCE_S", 0.1)
    system = start(mosquitto, ledger=tmp_path / "central.db")
    blocker = sqlite3.connect(tmp_path / "central.db", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    gateway.publish(law("AB12CD34-00000000022"))
    deadline = time.monotonic() + WAIT
    while not system.failed:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    assert not any("/down/ack/" in message.topic for message in gateway.so_far())
    blocker.execute("ROLLBACK")
    blocker.close()
    assert gateway.ack()[0] == "AA"
    assert system.ledger.totals()["filed_results"] == 1
    system.stop()


def test_the_ledger_can_be_asked_what_was_filed(mosquitto, gateway, tmp_path) -> None:
    ledger = tmp_path / "central.db"
    system = start(mosquitto, ledger=ledger)
    gateway.publish(law("AB12CD34-00000000021"))
    gateway.ack()
    asked = CliRunner().invoke(main, ["filed", "--ledger", str(ledger), "--json"])  # while it still runs
    system.stop()
    facts = json.loads(asked.stdout)
    assert facts["totals"]["filed_results"] == 1
    assert [(row["specimen"], row["code"], row["value"]) for row in facts["filed"]] == [("498151", "GLU", "<0.3")]
    table = CliRunner().invoke(main, ["filed", "--ledger", str(ledger)])
    assert "498151" in table.stdout
    assert table.exit_code == 0


def test_everything_not_judged_at_once_can_be_judged_afterwards(mosquitto, gateway) -> None:
    system = start(mosquitto, validate="none")
    for number in range(3):
        gateway.publish(law(f"AB12CD34-0000000003{number}"))
    assert system.wait_until(lambda totals: totals["filed_messages"] == 3, WAIT)
    assert system.ledger.totals()["judged"] == 0
    totals = system.validate_rest()
    assert (totals["judged"], totals["refused_by_judge"]) == (3, 0)
    system.stop()


def test_a_broker_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    system = Central(CentralOptions("mqtt://127.0.0.1:1"))
    with pytest.raises(LineError) as caught:
        system.start(0.5)
    assert caught.value.sentence.startswith("The broker cannot be reached")


@pytest.mark.parametrize(
    "words",
    [
        ["filed", "--ledger", "{text}"],
        ["central", "--url", "mqtt://127.0.0.1:1", "--ledger", "{text}"],
        ["central", "--url", "mqtt://127.0.0.1:1", "--ledger", "{nowhere}"],
        ["central", "--url", "mqtts://127.0.0.1:1", "--ca-file", "{text}"],
        ["central", "--url", "nonsense"],
    ],
    ids=" ".join,
)
def test_a_file_or_an_address_that_is_none_is_one_sentence(words: list[str], tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("nothing of the kind\n", encoding="utf-8")
    places = {"text": text, "nowhere": tmp_path / "nowhere" / "ledger.db"}
    said = CliRunner().invoke(main, [word.format(**places) for word in words], catch_exceptions=False)
    assert said.exit_code == 1
    assert len(said.stderr.splitlines()) == 1
    assert "Check" in said.stderr
