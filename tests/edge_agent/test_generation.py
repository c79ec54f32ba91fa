"""From one reading of the configuration to the next: what is told apart, and what a reading refuses."""

import json
from pathlib import Path

import pytest
from support_broker import Authority

from edge_agent import generation
from edge_agent.errors import AgentError, ConfigurationError
from edge_agent.generation import Configuration, Generation
from edge_agent.running import Changes
from edge_agent.settings import Settings
from edge_agent.settings_file import data_dir_of, load

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
