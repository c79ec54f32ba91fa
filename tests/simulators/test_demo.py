"""The demonstration, its serial line and what it shows."""

import functools
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import serial
from click.testing import CliRunner

from simulators import demo
from simulators.analyser import Plan, send
from simulators.central import CentralOptions
from simulators.demo import main
from simulators.demo_lab import Bench, free_port
from simulators.demo_show import side_by_side
from simulators.devices import device
from simulators.generate import Generator
from simulators.serial_line import SerialLine
from simulators.shapes import shapes
from simulators.table import table

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_demonstration_files_300_results_of_three_analysers_on_the_embedded_broker() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "simulators.demo", "--broker", "embedded"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "300 of 300 results filed" in ran.stdout
    for analyser in ("xn1", "gx1", "yu1"):
        (line,) = [line for line in ran.stdout.split("\n") if line.startswith(analyser)]
        sent, acknowledged, filed, _messages = line.split()[-4:]
        assert sent == acknowledged == filed


@pytest.mark.slow
def test_the_demonstration_fails_when_results_are_not_filed(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    bench = Bench(
        id="b1",
        device="lis02_generic",
        line="TCP",
        agent_side=f"tcp-server://127.0.0.1:{port}",
        analyser_side=f"tcp://127.0.0.1:{port}",
        samples=("worked_example",),
        results=2,
    )
    monkeypatch.setattr(demo, "_benches", lambda _serial: [bench])
    monkeypatch.setattr(demo, "CentralOptions", functools.partial(CentralOptions, answer="none"))
    monkeypatch.setattr(demo, "PATIENCE_S", 4.0)
    ran = CliRunner().invoke(main, ["--broker", "embedded"])
    assert ran.exit_code == 1
    assert "0 of 2 results filed" in ran.output


def test_an_agent_that_cannot_start_is_shown_with_its_last_words(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(demo, "_benches", lambda _serial: [Bench("b1", "nothing", "TCP", "nowhere://", "", (), 1)])
    monkeypatch.setattr(demo.tempfile, "mkdtemp", lambda prefix: str(tmp_path))
    ran = CliRunner().invoke(main, ["--broker", "embedded"])
    assert ran.exit_code == 1
    assert "The agent ended at once" in ran.output


def test_results_cross_a_serial_line_in_both_directions() -> None:
    line = SerialLine(115_200)
    line.start()
    got: list[bytes] = []

    def host() -> None:
        with serial.Serial(line.agent_end, 115_200, timeout=5) as port:
            while (byte := port.read(1)) and byte != b"\x04":
                got.append(byte)
                if byte in (b"\x05", b"\n"):
                    port.write(b"\x06")

    listener = threading.Thread(target=host)
    listener.start()
    plan = Plan("lis02_generic", seed=1, samples=("worked_example",))
    report = send(plan, f"serial://{line.analyser_end}?baudrate=115200")
    listener.join(10)
    line.stop()
    assert report.all_acknowledged
    assert b"".join(got).count(b"\x02") == 5


def test_a_message_is_shown_beside_the_records_it_came_from() -> None:
    generator = Generator("lis02_generic", shapes(device("lis02_generic"), ["worked_example"]), seed=1)
    transmission = generator.transmission(0)
    (sent,) = transmission.observations
    payload = (
        f"MSH|^~\\&|b1\rSPM|1|{sent.specimen}\rOBX|1|SN|GLU^^99X||<^{sent.value[1:]}\rNTE|1|L|note\r"
        "OBX|2|NM|K^^99X||4\r"
    )
    shown = side_by_side(transmission, payload.encode())
    line = next(line for line in shown.split("\n") if line.startswith("R|1|"))
    assert "OBX|1|SN|GLU" in line
    assert "NTE|1|L|note" in shown
    assert "OBX|2" not in shown  # belongs to no record that was sent


def test_wide_characters_do_not_push_a_table_out_of_line() -> None:
    lines = table(("name", "n"), [["김민준", "1"], ["abc", "2"]]).split("\n")
    assert [line[-1] for line in lines[2:]] == ["1", "2"]
    assert lines[2].index("1") == 3 + 2  # three characters of double width, two blanks
    assert lines[3].index("2") == 6 + 2


@pytest.mark.broker
def test_the_management_system_as_a_command_ends_on_a_signal_and_says_what_it_got(mosquitto: int) -> None:
    command = [sys.executable, "-m", "simulators.cli", "central", "--url", f"mqtt://127.0.0.1:{mosquitto}"]
    process = subprocess.Popen(
        [*command, "--instance", "as-a-command"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    assert process.stderr.readline() == "ready\n"
    process.terminate()
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert '"filed_results": 0' in out
