"""`edge-agent trace` shows the whole way of a filed message, from wire bytes to receipt."""

import re
from pathlib import Path

import pytest
from end_to_end import plain_sender
from end_to_end.lab import Bench, running_agent, running_broker, until

from simulators.central import Central, CentralOptions

pytestmark = pytest.mark.broker

ROOT = Path(__file__).parents[2]
WIRE = ROOT / "drivers/devices/lis02_generic/samples/worked_example/wire.bin"
EXAMPLE = (ROOT / "docs/trace.md").read_text(encoding="utf-8").partition("```text\n")[2].partition("```")[0]
# What differs between two runs: times, the port the analyser called from, the store's identity, the profile's hash.
VARIES = re.compile(
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[+-]\d\d:\d\d|(?<=CENTRAL\|)[\d+]+"
    r"|(?<=127\.0\.0\.1:)\d+|[0-9A-Z]{8}-(?=\d{11})|\([0-9a-f]{12}\)"
)


def test_a_filed_message_is_traced_from_bytes_to_receipt(tmp_path: Path) -> None:
    bench = Bench("gen1", "lis02_generic")
    with (
        running_broker(tmp_path / "broker") as broker,
        running_agent(tmp_path / "agent", broker.url, [bench]) as agent,
        Central(CentralOptions(broker.url, validate="none")) as central,
    ):
        plain_sender.send("127.0.0.1", bench.port, WIRE.read_bytes())
        until(lambda: list(central.ledger.filings(filed_only=True)) and agent.nothing_waits(), 30, "filed")
        [filing] = central.ledger.filings(filed_only=True)
        traced = agent.command("trace", filing.msh10)
        assert traced.returncode == 0, traced.stderr
        print(traced.stdout)
        text = traced.stdout
        # the frame with the result and its checksum, worked out by hand from LIS01-A2
        assert (
            "<STX>4R|1|^^^GLU|<0.3|mmol/L|3.9 to 5.6|<||F||jd|20240301101000|20240301101200|AN-200<CR><ETX>64" in text
        )
        order = ["wire", "records", "report", f"message {filing.msh10}", "HL7", "attempts", "receipt  filed"]
        places = [text.index(part) for part in order]
        assert places == sorted(places)
        assert "GLU = <0.3 mmol/L" in text
        assert "OBX|1|SN|GLU" in text
        assert "published" in text
        assert "AA" in text
        assert VARIES.sub("", text).strip() == VARIES.sub("", EXAMPLE).strip()  # docs/trace.md shows what is
        by_specimen = agent.command("trace", "498151", "--json")
        assert filing.msh10 in by_specimen.stdout
        assert agent.command("trace", "no-such-thing").returncode == 1
