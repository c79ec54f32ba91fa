"""A person adopts another profile: what is shown before, what is written, what is refused."""

import json
import os
import pwd
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from support_conversion import reader
from support_gateway import Gateway, gateway
from support_pipeline import GENERIC, device, records

from drivers.sdk import load
from edge_agent.cli.main import main
from edge_agent.clock import SystemClock
from edge_agent.decisions.adoption import Adoption
from edge_agent.decisions.reading_difference import read
from edge_agent.errors import AgentError
from edge_agent.pin_history import former_pins
from edge_agent.pins import pinned

HEADER = r"H|\^&|||BENCH-7|||||||P|LIS02-A2|20240612120000"
NA = "R|1|^^^NA|140|mmol/L||N||F||||20240612102000"
GLU = "R|2|^^^GLU|5.1|mmol/L||N||F||||20240612102000"
ME = pwd.getpwuid(os.getuid()).pw_name
LOINC = '[[test]]\ncode = "NA"\nloinc = "2951-2"\nsource = "made up for this test"\n'
ID_IN_O4 = '[specimen]\nid = ["O.4.1"]\ninstrument_id = []\ndoubt = "take"\n'
BARE = '[link]\nchecksum = "none"\n'


def text(specimen: str, *results: str) -> bytes:
    return records(HEADER, "P|1||P-1017", f"O|1|{specimen}|A-77|^^^NA|R", *results, "L|1|N")


class Bench:
    """A gateway whose analyser is read by the shipped generic profile; ``site`` changes what is installed."""

    def __init__(self, folder: Path, made: Gateway) -> None:
        self.made = made
        self.site_file = folder / "devices.d" / "lis02_generic.toml"
        self.pins = made.data_dir / "profiles"
        self.taken: list[str] = []
        self.failure: AgentError | None = None
        pinned(self.pins, "an1", GENERIC)
        adoption = Adoption(made.config, self.pins, made.bench.store, SystemClock(), self._reload)
        made.answers.update(adoption.answers())  # type: ignore[arg-type]  # the tables have one kind of function

    async def _reload(self, who: str) -> dict[str, Any]:
        if self.failure:
            raise self.failure
        self.taken.append(who)
        return {"sentence": "1 analyser was started anew."}

    def site(self, content: str) -> str:
        """What the site lays over the shipped profile; the hash of both together."""
        self.site_file.parent.mkdir(exist_ok=True)
        self.site_file.write_text(content, encoding="utf-8")
        return load("lis02_generic", self.site_file.parent).hash

    def received(self, *texts: bytes) -> None:
        for each in texts:
            self.made.bench.receive(each)
        self.made.bench.convert()

    def compare(self, **more: Any) -> Any:
        return self.made.answer("profile-compare", **{"analyser": "an1", "last": 50, "back": False, **more})

    def adopt(self, hash_: str, **more: Any) -> Any:
        return self.made.answer(
            "profile-adopt", **{"analyser": "an1", "hash": hash_, "note": "unit agreed", "back": False, **more}
        )

    def in_use(self) -> str:
        return pinned(self.pins, "an1", GENERIC).device.hash

    def audited(self) -> list[tuple[str, dict[str, str]]]:
        entries = self.made.bench.do(lambda s: s.audit_entries(limit=1000))
        return [(e.kind, dict(e.facts)) for e in entries if e.kind.startswith("profile-")]

    def command(self, *words: object) -> Result:
        return CliRunner().invoke(main, [*map(str, words), "--config", str(self.made.config)], catch_exceptions=False)

    def refused(self, name: str, **arguments: Any) -> str:
        with pytest.raises(AgentError) as caught:
            self.made.answer(name, **arguments)
        return caught.value.code


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with gateway(tmp_path) as made:
        yield Bench(tmp_path, made)


# What is shown


def test_keys_and_results_that_differ_are_shown_and_nothing_is_applied(bench: Bench) -> None:
    bench.received(text("S24-0028", NA, GLU))
    before = bench.made.bench.messages()
    bench.site(LOINC)
    shown = bench.compare()
    assert ("test[NA].loinc", "not set", '"2951-2"', "") in [tuple(c.values()) for c in shown["changes"]]
    effect = shown["effect"]
    assert (effect["transmissions"], effect["results"], effect["different"]) == (1, 2, 1)
    assert effect["list"] == [
        {
            "transmission": 1,
            "specimen": "S24-0028",
            "code": "NA",
            "changes": [{"what": "LOINC", "old": "", "new": "2951-2"}],
        }
    ]
    assert (effect["sent_again"], effect["stuck"], shown["link"], shown["identity"]) == (0, 0, False, [])
    assert bench.made.bench.messages() == before
    assert (bench.in_use(), bench.audited(), bench.taken) == (GENERIC.hash, [], [])


def test_only_the_last_transmissions_of_that_analyser_are_read(bench: Bench) -> None:
    bench.received(*(text(f"S24-000{n}", NA) for n in range(4)))
    bench.site(LOINC)
    assert [line["specimen"] for line in bench.compare(last=2)["effect"]["list"]] == ["S24-0003", "S24-0002"]


def test_results_that_would_be_sent_a_second_time_are_counted(bench: Bench) -> None:
    """Filed under the id of O.3; read from O.4 the same results are new ones to everybody."""
    bench.received(text("S24-0028", NA, GLU))
    bench.site(ID_IN_O4)
    shown = bench.compare()
    assert shown["effect"]["sent_again"] == 2
    assert shown["identity"] == ["specimen.id"]
    assert "specimen.id" in bench.command("profile", "adopt", "an1").stdout
    # the negative control: what decides no identity makes nothing go out again
    bench.site(LOINC)
    assert bench.compare()["effect"]["sent_again"] == 0


def test_the_count_is_what_then_happens_when_the_analyser_sends_again(bench: Bench) -> None:
    bench.received(text("S24-0028", NA, GLU))
    bench.site(ID_IN_O4)
    assert bench.compare()["effect"]["sent_again"] == 2
    by = load("lis02_generic", bench.site_file.parent)
    made = bench.made.bench
    made.readers["an1"] = reader(by)
    made.converter.stop()
    made.converter = made.make()
    made.converter.start()
    bench.received(text("S24-0028", NA, GLU))
    carried = [m.payload.count(b"\rOBX|") for m in made.messages()]
    assert carried == [2, 2]


def test_what_could_not_be_released_any_more_is_counted(tmp_path: Path) -> None:
    """Its sodium went out, its glucose is held: read from O.4, the sodium's identity would be lost."""
    in_mg = {"code": "GLU", "units": {"mg/dL": "mg/dL"}, "source": "made up for this test"}
    with gateway(tmp_path, reader(device(test=[in_mg]))) as made:
        bench = Bench(tmp_path, made)
        bench.received(text("S24-0028", NA, GLU))
        bench.site(ID_IN_O4)
        shown = bench.compare()
        assert (shown["effect"]["stuck"], shown["waiting"]) == (1, 1)
        assert "reading-changed" in bench.command("profile", "adopt", "an1").stdout
        bench.site(LOINC)
        assert bench.compare()["effect"]["stuck"] == 0


def test_a_change_of_the_link_alone_makes_no_difference_in_what_was_received(bench: Bench) -> None:
    bench.received(text("S24-0028", NA))
    bench.site(BARE)
    printed = bench.command("profile", "adopt", "an1").stdout
    assert 'link.checksum: "standard" -> "none"  (link)' in printed
    assert "no difference in the last 1 transmission (1 result)" in printed
    assert "watch the next transmission" in printed


def test_with_nothing_stored_the_keys_are_shown_all_the_same(bench: Bench) -> None:
    bench.site(LOINC)
    assert "nothing of this analyser is stored" in bench.command("profile", "adopt", "an1").stdout


def test_transmissions_are_read_outside_the_event_loop(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: set[str] = set()

    def noted(*words: Any) -> Any:
        threads.add(threading.current_thread().name)
        return read(*words)

    bench.received(text("S24-0028", NA))
    bench.site(LOINC)
    monkeypatch.setattr("edge_agent.decisions.adoption.read", noted)
    assert bench.compare()["effect"]["different"] == 1
    assert threads
    assert bench.made.thread.name not in threads


# What is written


def test_adopting_writes_the_decision_the_old_profile_and_the_new_pin(bench: Bench) -> None:
    new = bench.site(LOINC)
    done = bench.adopt(new[:12])
    assert bench.in_use() == new
    [former] = former_pins(bench.pins, "an1")
    assert (former.device.hash, former.replaced_by, former.change.who, former.change.note) == (
        GENERIC.hash,
        new,
        ME,
        "unit agreed",
    )
    assert former.device.profile == GENERIC.profile
    [(kind, facts)] = bench.audited()
    assert (kind, facts["from"], facts["to"], facts["who"], facts["note"]) == (
        "profile-adopted",
        GENERIC.hash,
        new,
        ME,
        "unit agreed",
    )
    assert done["reloaded"] == {"in_use": True, "sentence": "1 analyser was started anew."}
    assert bench.taken == [ME]
    assert stat.S_IMODE((bench.pins / "history" / "an1").stat().st_mode) == 0o700


def test_back_puts_the_one_before_in_its_place_and_forth_again(bench: Bench) -> None:
    new = bench.site(LOINC)
    bench.adopt(new)
    shown = bench.compare(back=True)
    assert (shown["new"]["hash"], shown["former"]["who"], shown["former"]["note"]) == (GENERIC.hash, ME, "unit agreed")
    bench.adopt(GENERIC.hash, back=True, note="the codes were wrong")
    assert bench.in_use() == GENERIC.hash
    assert [kind for kind, _ in bench.audited()] == ["profile-adopted", "profile-put-back"]
    bench.adopt(new, back=True)
    assert bench.in_use() == new
    assert [f.number for f in former_pins(bench.pins, "an1")] == [1, 2, 3]


def test_an_entry_that_a_crash_left_is_passed_by_on_the_way_back(bench: Bench) -> None:
    """The decision was written and the old profile kept, then the power went: the pin is still the old one."""
    new = bench.site(LOINC)
    bench.adopt(new)
    history = bench.pins / "history" / "an1"
    entry = json.loads((history / "0001.json").read_text(encoding="utf-8"))
    changed = load("lis02_generic", bench.site_file.parent).profile.model_dump(mode="json", by_alias=True)
    (history / "0002.json").write_text(json.dumps({**entry, "profile": changed, "hash": new}), encoding="utf-8")
    assert bench.compare(back=True)["new"]["hash"] == GENERIC.hash


def test_a_power_cut_at_the_pin_leaves_the_old_one(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    new = bench.site(LOINC)
    rename = Path.replace

    def power_cut(self: Path, target: Path) -> Path:
        if target.name == "an1.json":
            raise OSError(5, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", power_cut)
    assert bench.refused("profile-adopt", analyser="an1", hash=new, note="x") == "pin"
    monkeypatch.undo()
    assert bench.in_use() == GENERIC.hash
    assert bench.taken == []
    bench.adopt(new)
    assert bench.in_use() == new


def test_what_goes_wrong_after_the_pin_is_told_beside_it(bench: Bench) -> None:
    new = bench.site(LOINC)
    bench.failure = AgentError("The configuration has one mistake.", code="configuration", action="Correct it.")
    done = bench.command("profile", "adopt", "an1", "--yes", "--hash", new, "--note", "x")
    assert done.exit_code == 1
    assert "It is not in use yet: The configuration has one mistake. Correct it." in done.stdout
    assert bench.in_use() == new


# What is refused


def test_another_profile_than_the_one_shown_is_not_adopted(bench: Bench) -> None:
    shown = bench.site(LOINC)
    bench.site(BARE)
    assert bench.refused("profile-adopt", analyser="an1", hash=shown, note="x") == "another-profile"
    assert (bench.in_use(), bench.audited(), former_pins(bench.pins, "an1")) == (GENERIC.hash, [], [])


@pytest.mark.parametrize("length", [0, 11])
def test_a_hash_too_short_to_be_sure_is_refused(bench: Bench, length: int) -> None:
    new = bench.site(LOINC)
    assert bench.refused("profile-adopt", analyser="an1", hash=new[:length], note="x") == "another-profile"


def test_without_a_note_nothing_is_adopted(bench: Bench) -> None:
    new = bench.site(LOINC)
    assert bench.refused("profile-adopt", analyser="an1", hash=new, note=" ") == "note-required"
    assert bench.in_use() == GENERIC.hash


def test_nothing_to_adopt_is_said(bench: Bench) -> None:
    assert bench.refused("profile-compare", analyser="an1", last=50) == "nothing-to-adopt"
    assert bench.refused("profile-compare", analyser="an1", last=50, back=True) == "nothing-to-adopt"
    assert bench.refused("profile-compare", analyser="xn9", last=50) == "unknown-analyser"
    assert bench.refused("profile-compare", analyser="an1", last=0) == "usage"


def test_a_site_file_with_a_mistake_is_said_and_changes_nothing(bench: Bench) -> None:
    bench.site(LOINC)
    bench.site_file.write_text('[specimen]\nidd = ["O.4.1"]\n', encoding="utf-8")
    assert bench.refused("profile-compare", analyser="an1", last=50) == "device"


def test_a_configuration_with_a_mistake_is_said(bench: Bench) -> None:
    with bench.made.config.open("a", encoding="utf-8") as file:
        file.write("colour = 1\n")
    assert bench.refused("profile-compare", analyser="an1", last=50) == "configuration"


def test_a_damaged_pin_or_history_is_a_clear_error(bench: Bench) -> None:
    bench.adopt(bench.site(LOINC))
    (bench.pins / "history" / "an1" / "0001.json").write_text('{"at": 1', encoding="utf-8")
    assert bench.refused("profile-compare", analyser="an1", last=50, back=True) == "pin-history"
    (bench.pins / "an1.json").write_text("lis02_generic\n{", encoding="utf-8")
    assert bench.refused("profile", analyser="an1") == "pin"


# On the command line


def test_the_way_of_a_person_on_the_command_line(bench: Bench) -> None:
    bench.received(text("S24-0028", NA))
    new = bench.site(LOINC)
    looked = bench.command("profile", "adopt", "an1")
    assert looked.exit_code == 0
    assert "LOINC: - -> 2951-2" in looked.stdout
    assert f"--yes --hash {new[:12]} --note WHY" in looked.stdout
    done = bench.command("profile", "adopt", "an1", "--yes", "--hash", new[:12], "--note", "agreed with the lab")
    assert (done.exit_code, done.stderr) == (0, "")
    assert bench.in_use() == new
    shown = bench.command("profile", "show", "an1").stdout
    assert new[:12] in shown
    assert "agreed with the lab" in shown
    assert GENERIC.hash[:12] in shown
    assert json.loads(bench.command("profile", "show", "an1", "--json").stdout)["pinned"]["hash"] == new


@pytest.mark.parametrize(
    "words", [("--yes",), ("--yes", "--note", "x"), ("--note", "x"), ("--hash", "0123456789ab"), ("--last", "0")]
)
def test_half_a_decision_is_wrong_usage(bench: Bench, words: tuple[str, ...]) -> None:
    bench.site(LOINC)
    assert bench.command("profile", "adopt", "an1", *words).exit_code == 2
    assert bench.in_use() == GENERIC.hash


@pytest.mark.parametrize(("answer", "adopted"), [("y\n", True), ("n\n", False), ("", False)])
def test_a_person_at_a_terminal_is_asked_after_the_differences(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, answer: str, adopted: bool
) -> None:
    monkeypatch.setattr("edge_agent.cli.profile._somebody_there", lambda: True)
    new = bench.site(LOINC)
    words = ["profile", "adopt", "an1", "--yes", "--note", "x", "--config", str(bench.made.config)]
    asked = CliRunner().invoke(main, words, input=answer, catch_exceptions=False)
    assert "test[NA].loinc" in asked.stdout
    assert f"Read an1 by {new[:12]} from now on?" in asked.stderr
    assert asked.exit_code == (0 if adopted else 1)
    assert bench.in_use() == (new if adopted else GENERIC.hash)


def test_what_is_held_is_named_with_the_command_that_releases_it(bench: Bench) -> None:
    nameless = records(HEADER, "P|1||P-1017", "O|1|||^^^NA|R", NA, "L|1|N")
    bench.received(nameless)
    new = bench.site(LOINC)
    done = bench.command("profile", "adopt", "an1", "--yes", "--hash", new, "--note", "x")
    assert "1 result held or failed" in done.stdout
    assert "edge-agent retry --held --analyser an1 --note WHY" in done.stdout


def test_nothing_of_a_patient_is_logged(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    bench.received(text("S24-0028", NA))
    bench.site(ID_IN_O4)
    bench.compare()
    bench.adopt(bench.compare()["new"]["hash"])
    assert "S24-0028" not in caplog.text
    assert "A-77" not in caplog.text
