"""From one reading of the configuration to the next: what is told apart, and what a reading refuses."""

import json
from pathlib import Path

import pytest
from support_broker import Authority

from edge_agent import generation
from edge_agent.configuration.file import data_dir_of, load
from edge_agent.errors import AgentError, ConfigurationError
from edge_agent.generation import Configuration, Generation
from edge_agent.running import Changes
from edge_agent.settings import Settings

GOOD = """\
[agent]
site = "seoul-01"
gateway = "gw-01"
data_dir = "data"

[mqtt]
urls = ["mqtt://127.0.0.1:1883"]

[[analyser]]
id = "an1"
profile = "lis02_generic"
transport = "tcp-server://127.0.0.1:5600"

[[analyser]]
id = "an2"
profile = "lis02_generic"
transport = "tcp-server://127.0.0.1:5601"
"""
SECOND = GOOD[GOOD.index('[[analyser]]\nid = "an2"') :]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "edge-agent.toml"


def read(path: Path, text: str) -> Generation:
    path.write_text(text, encoding="utf-8")
    return Generation.of(Configuration.read(path))


def changes(path: Path, new: str, old: str = GOOD) -> Changes:
    return Changes.between(read(path, old), read(path, new))


BOTH = ("an1", "an2")
KEPT = Changes(kept=BOTH)
READ = Changes(kept=BOTH, reread=BOTH)
CONNECTED = Changes(kept=BOTH, connection=True)
AN2 = Changes(kept=("an1",), restarted=("an2",))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("", "", KEPT),
        ("[agent]", "# a remark\n[agent]", KEPT),
        ("[[analyser]]\nid = \"an1\"", "[store]\nretention_days = 30\n[[analyser]]\nid = \"an1\"", KEPT),
        ("[mqtt]", "timezone = \"UTC\"\n[mqtt]", READ),
        ("[mqtt]", "[hl7]\nreceiving_facility = \"LAB\"\n[mqtt]", READ),
        ("[mqtt]", "[site]\nspecimen_id = \"[0-9]{3}\"\n[mqtt]", READ),
        ("[mqtt]", "[mqtt]\nwindow = 4", CONNECTED),
        (":1883", ":1884", CONNECTED),
        (SECOND, "", Changes(kept=("an1",), stopped=("an2",))),
        ("5601\"", "5602\"", AN2),
        ("5601\"", "5601\"\npeer = [\"127.0.0.1\"]", AN2),
        ("5601\"", "5601\"\nmode = \"production\"", AN2),
        ("5601\"", "5601\"\ntimezone = \"UTC\"", Changes(kept=BOTH, reread=("an2",))),
        ("5601\"", "5601\"\non_unknown_code = \"hold\"", Changes(kept=BOTH, reread=("an2",))),
    ],
)  # fmt: skip
def test_only_what_changed_is_touched(path: Path, old: str, new: str, expected: Changes) -> None:
    assert old in GOOD
    assert changes(path, GOOD.replace(old, new) if old else GOOD) == expected


def test_an_analyser_that_is_added_is_started_and_the_others_stay_in_their_order(path: Path) -> None:
    assert changes(path, GOOD, GOOD.replace(SECOND, "")) == Changes(started=("an2",), kept=("an1",))


def test_another_profile_restarts_its_analyser(path: Path) -> None:
    new = GOOD.replace(SECOND, SECOND.replace("lis02_generic", "sysmex_xn"))
    assert changes(path, new) == AN2


def test_a_pin_that_was_changed_restarts_its_analyser(path: Path) -> None:
    old = read(path, GOOD)
    pin = path.parent / "data/profiles/an2.json"
    name, _, text = pin.read_text(encoding="utf-8").partition("\n")
    profile = json.loads(text)
    profile["usual_gap_s"] = 4321
    pin.write_text(f"{name}\n{json.dumps(profile)}", encoding="utf-8")
    new = read(path, GOOD)
    assert Changes.between(old, new) == AN2
    assert new.usual_gaps()["an2"] == 4321


def test_a_renewed_certificate_is_another_connection_though_its_name_is_the_same(path: Path) -> None:
    authority = Authority(path.parent)
    certificate, key = authority.issue("gw-01")
    files = f'[mqtt]\nca_file = "{authority.file}"\ncert_file = "{certificate}"\nkey_file = "{key}"'
    text = GOOD.replace("mqtt://", "mqtts://").replace("[mqtt]", files)
    first, again = read(path, text), read(path, text)
    assert Changes.between(first, again) == KEPT
    authority.issue("gw-01")
    assert Changes.between(first, read(path, text)) == CONNECTED


def test_another_password_in_the_same_file_is_another_connection(path: Path) -> None:
    secret = path.parent / "secret"
    text = GOOD.replace("[mqtt]", '[mqtt]\nusername = "gw-01"\npassword_file = "secret"')
    secret.write_text("one", encoding="utf-8")
    first = read(path, text)
    secret.write_text("two", encoding="utf-8")
    assert Changes.between(first, read(path, text)) == CONNECTED


def test_a_file_that_is_written_to_while_it_is_read_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(file: Path) -> Settings:
        settings = load(file)
        if "window" not in GOOD + file.read_text(encoding="utf-8").partition("[mqtt]")[2]:
            file.write_text(GOOD.replace("[mqtt]", "[mqtt]\nwindow = 4"), encoding="utf-8")
        return settings

    path.write_text(GOOD, encoding="utf-8")
    monkeypatch.setattr(generation, "loaded", slow)
    with pytest.raises(ConfigurationError) as caught:
        Configuration.read(path)
    [problem] = caught.value.problems
    assert "was written to while it was read" in problem.text
    assert Configuration.read(path).settings.mqtt.window == 4  # the negative control: nobody writes now


def test_a_pin_that_cannot_be_read_is_refused(path: Path) -> None:
    read(path, GOOD)
    (path.parent / "data/profiles/an2.json").write_text("lis02_generic\n{", encoding="utf-8")
    with pytest.raises(AgentError) as caught:
        read(path, GOOD)
    assert caught.value.code == "pin"


@pytest.mark.parametrize("text", [GOOD, GOOD[:-20], GOOD.replace("5601", "x"), GOOD.replace('"an1"', '"an2"')])
def test_where_the_agent_is_found_is_told_by_a_wrong_file_too(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    assert data_dir_of(path) == path.parent / "data"


@pytest.mark.parametrize("text", ["[agent", '[agent]\nsite = "seoul-01"\ngateway = "', "\x00", "data_dir = 5\n["])
def test_a_file_that_does_not_say_where_is_told_its_mistake(path: Path, text: str) -> None:
    """Not the default directory: another agent may run there."""
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError):
        data_dir_of(path)


def test_a_file_that_is_gone_between_two_looks_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An editor may remove the old one before the new one is there."""

    def removed(file: Path) -> Settings:
        settings = load(file)
        file.unlink()
        return settings

    path.write_text(GOOD, encoding="utf-8")
    monkeypatch.setattr(generation, "loaded", removed)
    with pytest.raises(ConfigurationError) as caught:
        Configuration.read(path)
    [problem] = caught.value.problems
    assert "was written to while it was read" in problem.text


def test_a_profile_that_cannot_be_pinned_is_said_and_not_used(path: Path) -> None:
    (path.parent / "data/profiles/an2.new").mkdir(parents=True)
    with pytest.raises(AgentError) as caught:
        read(path, GOOD)
    folder = path.parent / "data/profiles"
    assert caught.value.sentence == f"The profile of an2 cannot be written in {folder}: Is a directory."
    (folder / "an2.new").rmdir()
    assert read(path, GOOD).pins.keys() == {"an1", "an2"}  # the negative control


def test_profiles_of_a_site_that_may_not_be_read_are_a_mistake(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("edge_agent.configuration.preflight.load", closed)
    with pytest.raises(ConfigurationError) as caught:
        read(path, f'{GOOD}\n[drivers]\ndevices_dir = "closed"\n')
    assert {(p.key, p.text) for p in caught.value.problems} == {
        ("drivers.devices_dir", "profiles there cannot be read: Permission denied")
    }


@pytest.mark.parametrize("pattern", ["(" * 900, "a{99999999999999999999}"], ids=["too-deep", "too-far"])
def test_a_shape_of_ids_no_machine_can_hold_is_a_mistake(path: Path, pattern: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(path, f'{GOOD}\n[site]\nspecimen_id = "{pattern}"\n')
    [problem] = caught.value.problems
    assert problem.text == "is not a regular expression: it is nested too deep, or counts too far"
