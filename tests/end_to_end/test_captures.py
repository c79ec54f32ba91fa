"""Every capture of an LIS02 analyser, sent as plain bytes, ends as filed results or as something held with a reason."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from end_to_end import plain_sender
from end_to_end.captures import folder, lis02_files
from end_to_end.lab import Bench, running_agent, running_broker, until

from edge_agent.codes import CODES
from simulators.central import Central, CentralOptions

pytestmark = pytest.mark.broker

FITTING = {"sysmex_xn550": "sysmex_xn", "yumizen_h500": "horiba_yumizen", "genexpert": "cepheid_genexpert"}


def device_for(path: Path) -> str:
    """The profile of the device where we have one, by the file's name; else the generic one."""
    return next((device for start, device in FITTING.items() if path.stem.startswith(start)), "lis02_generic")


def test_every_capture_ends_as_results_or_held_with_a_reason(tmp_path: Path) -> None:
    files = lis02_files()
    if not files:
        print(f"\nNo captures at {folder()}: nothing to send. Set FIELD_CAPTURES.")
        return
    cases = [(p, d) for p in files for d in dict.fromkeys((device_for(p), "lis02_generic"))]
    benches = [Bench(f"an{n}", device) for n, (_, device) in enumerate(cases)]
    with (
        running_broker(tmp_path / "broker") as broker,
        running_agent(tmp_path / "agent", broker.url, benches, mqtt="unfiled = 64") as agent,
        Central(CentralOptions(broker.url, validate="none")) as central,
    ):
        with ThreadPoolExecutor(8) as pool:
            ports = [b.port for b in benches]
            answers = list(pool.map(lambda case, port: send(case[0].read_bytes(), port), cases, ports))
        until(lambda: everything_is_settled(agent), 60, "all transmissions are converted and filed")
        held = agent.ask("queue", limit=1000)["held"]
        filed = list(central.ledger.filings(filed_only=True))
        print(f"\n{'file':46} {'device':18} {'specimens':>9} {'results':>7}  held")
        for (path, device), bench, got in zip(cases, benches, answers, strict=True):
            mine = [f for f in filed if f.analyser == bench.id]
            reasons = Counter(h["code"] for h in held if h["analyser"] == bench.id)
            specimens = len({f.observation.specimen for f in mine})
            shown = ", ".join(f"{code} x{count}" for code, count in reasons.items()) or "-"
            print(f"{path.parent.name + '/' + path.name:46.46} {device:18} {specimens:9} {len(mine):7}  {shown}")
            assert mine or reasons, f"{path.name} through {device} vanished; answers {got}"
            assert set(reasons) <= set(CODES)
        assert "driver" not in {h["code"] for h in held}
        assert "conversion" not in {h["code"] for h in held}


def send(data: bytes, port: int) -> list[bytes]:
    return plain_sender.send("127.0.0.1", port, data)


def everything_is_settled(agent) -> bool:
    status = agent.ask("status")
    receiving = any(a["protocol"] == "receiving" for a in status["analysers"])
    waiting = sum(count for state, count in status["messages"].items() if state in ("queued", "at-broker"))
    return not receiving and not waiting and not status["converting"]
