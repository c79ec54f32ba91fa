"""A person changes the profile of a running analyser: what came before is read as before, what comes after anew."""

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from end_to_end.lab import AgentProcess, Bench, running_agent, running_broker, until

from simulators.analyser import Plan, send
from simulators.central import Central, CentralOptions

pytestmark = pytest.mark.broker

GLUCOSE = '[[test]]\ncode = "GLU"\nloinc = "14749-6"\nloinc_name = "Glucose"\nsource = "made up for this test"\n'


def one_result(bench: Bench, seed: int) -> None:
    plan = Plan("lis02_generic", count=1, seed=seed, samples=("worked_example",), analyser=bench.id)
    assert send(plan, bench.url).all_acknowledged


def site_knows_glucose(agent: AgentProcess) -> None:
    folder = agent.folder / "devices.d"
    folder.mkdir()
    (folder / "lis02_generic.toml").write_text(GLUCOSE, encoding="utf-8")


def profile_in_use(agent: AgentProcess) -> str:
    [analyser] = agent.ask("status")["analysers"]
    return str(analyser["profile_hash"])


def filed(central: Central, count: int) -> list[str]:
    """OBX-3 of every filed result, in the order of arrival, once the management system has filed so many."""
    until(lambda: len(list(central.ledger.filings(filed_only=True))) >= count, 30, f"{count} filed")
    seen = dict.fromkeys(f.msh10 for f in central.ledger.filings(filed_only=True))
    lines = [line for id_ in seen for line in (central.ledger.payload(id_) or b"").decode().split("\r")]
    return [line.split("|")[3] for line in lines if line.startswith("OBX|")]


def test_what_came_before_is_read_as_before_and_what_comes_after_anew(tmp_path: Path) -> None:
    bench = Bench("gen1", "lis02_generic")
    with (
        running_broker(tmp_path / "broker") as broker,
        running_agent(tmp_path / "agent", broker.url, [bench]) as agent,
        Central(CentralOptions(broker.url, validate="none")) as central,
    ):
        old = profile_in_use(agent)
        one_result(bench, seed=1)
        assert ["14749-6" in code for code in filed(central, 1)] == [False]

        site_knows_glucose(agent)
        looked = agent.command("profile", "adopt", "gen1")
        assert (looked.returncode, looked.stderr) == (0, "")
        assert "1 of 1 result in the last 1 transmission would be read otherwise" in looked.stdout
        assert "LOINC: - -> 14749-6" in looked.stdout
        assert agent.command("reload").returncode == 0  # the negative control: nothing changes that was not adopted
        assert profile_in_use(agent) == old

        new = agent.ask("profile", analyser="gen1")["installed"]["hash"]
        done = agent.command("profile", "adopt", "gen1", "--yes", "--hash", new[:12], "--note", "codes agreed")
        assert (done.returncode, done.stderr) == (0, "")
        assert profile_in_use(agent) == new
        one_result(bench, seed=2)
        assert ["14749-6" in code for code in filed(central, 2)] == [False, True]
        one_result(bench, seed=1)  # sent again by the analyser: known, and not a second result
        until(agent.nothing_waits, 30, "nothing waits")
        assert len({f.msh10 for f in central.ledger.filings()}) == 2

        back = agent.command("profile", "adopt", "gen1", "--back", "--yes", "--hash", old, "--note", "too early")
        assert (back.returncode, back.stderr) == (0, "")
        assert profile_in_use(agent) == old
        log = agent.log.read_text(encoding="utf-8")
        for filing in central.ledger.filings():
            assert filing.observation.specimen not in log


def test_a_kill_while_a_profile_is_adopted_leaves_one_of_the_two_whole(tmp_path: Path) -> None:
    """Killed when the history appears, and when the pin is another file: before and after the step that counts."""
    bench = Bench("gen1", "lis02_generic")
    with running_agent(tmp_path / "agent", "mqtt://127.0.0.1:9", [bench]) as agent:
        old = profile_in_use(agent)
        site_knows_glucose(agent)
        new = agent.ask("profile", analyser="gen1")["installed"]["hash"]
        pins = agent.data_dir / "profiles"
        pin = pins / "gen1.json"
        first = pin.stat().st_ino

        killed_while(agent, lambda: any((pins / "history").glob("*/*.json")), new)
        found = profile_in_use(agent)
        assert found in (old, new)

        if found == old:
            killed_while(agent, lambda: pin.stat().st_ino != first, new)
            assert profile_in_use(agent) == new
        shown = agent.ask("profile", analyser="gen1")
        assert shown["pinned"]["hash"] == new
        assert {former["hash"] for former in shown["former"]} == {old}


def killed_while(agent: AgentProcess, moment: Callable[[], object], new: str) -> None:
    """Adopt, kill -9 at that moment, start again."""
    assert agent.process is not None
    process = agent.process.pid
    watching = threading.Event()

    def kill() -> None:
        watching.set()
        while not moment():
            pass
        os.kill(process, signal.SIGKILL)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    watching.wait()
    agent.command("profile", "adopt", "gen1", "--yes", "--hash", new, "--note", "codes agreed")
    killer.join(30)
    assert not killer.is_alive()
    agent.process.wait(20)
    agent.start()
