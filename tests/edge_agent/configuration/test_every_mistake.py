"""One look at a configuration names every mistake in it: in keys, in tables, between tables, in profiles and ports."""

from pathlib import Path

import pytest

from edge_agent.configuration.file import load
from edge_agent.configuration.preflight import loaded
from edge_agent.errors import ConfigurationError

EIGHT = """\
[agent]
site = "Seoul 01"
gateway = "gw-01"

[mqtt]
urls = ["mqtt://127.0.0.1:1883"]
ack_timeout = 5
cert_file = "a.pem"

[[analyser]]
id = "xn1"
profile = "sysmex_xm"
transport = "tcp-serve://127.0.0.1:5600"

[[analyser]]
id = "xn1"
profile = "sysmex_xn"
transport = "tcp-server://0.0.0.0:5600"

[site]
specimen_id = "("
"""
GOOD = """\
[agent]
site = "seoul-01"
gateway = "gw-01"

[mqtt]
urls = ["mqtt://127.0.0.1:1883"]
"""


def mistakes(path: Path) -> list[tuple[int, str]]:
    with pytest.raises(ConfigurationError) as caught:
        loaded(path)
    return [(p.line, p.key) for p in caught.value.problems]


def test_mistakes_of_every_kind_are_named_in_one_pass(tmp_path: Path) -> None:
    path = tmp_path / "edge-agent.toml"
    path.write_text(EIGHT, encoding="utf-8")
    assert mistakes(path) == [
        (2, "agent.site"),
        (5, "mqtt"),  # cert_file without key_file
        (7, "mqtt.ack_timeout"),
        (12, "analyser.xn1.profile"),
        (13, "analyser.xn1.transport"),
        (15, "analyser.xn1"),  # beyond this machine without peer
        (16, "analyser.xn1.id"),  # used twice
        (21, "site.specimen_id"),
    ]


def test_without_the_second_look_half_of_them_would_wait_for_the_next_try(tmp_path: Path) -> None:
    path = tmp_path / "edge-agent.toml"
    path.write_text(EIGHT, encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        load(path)  # looks into the file alone
    assert {p.key for p in caught.value.problems}.isdisjoint({"analyser.xn1.profile", "site.specimen_id"})


def test_a_correct_file_is_simply_loaded(tmp_path: Path) -> None:
    path = tmp_path / "edge-agent.toml"
    path.write_text(GOOD, encoding="utf-8")
    assert loaded(path) == load(path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("agent = 5\n[mqtt]\nurls = []\n", [(1, "agent"), (3, "mqtt.urls")]),
        ("analyser = 5\n" + GOOD, [(1, "analyser")]),
        ("analyser = [5]\n" + GOOD, [(1, "analyser.0")]),
        (GOOD + "[analyser]\nid = 'xn1'\n", [(7, "analyser")]),
        (GOOD + "[mqqt]\nx = 1\n", [(7, "mqqt")]),
        (GOOD + "[mqtt.consumer]\nresult = 'I V D'\n", [(8, "mqtt.consumer.result")]),
        (GOOD + "[[analyser]]\nlinks = [5]\n", [(7, "analyser.0.id"), (7, "analyser.0.profile")]),
        ("", [(0, "agent"), (0, "mqtt")]),
    ],
)
def test_a_file_of_another_shape_is_no_crash(tmp_path: Path, text: str, expected: list[tuple[int, str]]) -> None:
    path = tmp_path / "edge-agent.toml"
    path.write_text(text, encoding="utf-8")
    assert set(expected) <= set(mistakes(path))


# A mistake on nearly every line, no two of a kind.
TWENTY = """\
[agent]
site = "Seoul 01"
gateway = "any"
timezone = "Seoul"
data_dir = ""
[mqtt]
urls = ["http://broker.example"]
ca_file = "no-such-file.pem"
prefix = "/ivd/v1/"
confirm = "maybe"
windw = 16
unfiled = 0
ack_timeout_s = "60"
keepalive_s = 100000
require_digest = 1
[hl7]
message = "ORU_R1"
[sotre]
retention_days = 90
[site]
specimen_id = "(["
[[analyser]]
id = "xn1"
profile = "sysmex_xm"
mode = "test"
transport = "tcp-serve://127.0.0.1:5600"
peer = ["10.0.0"]
on_unknown_code = true
[[analyser]]
id = "xn1"
profile = "sysmex_xn"
transport = "serial:///dev/ttyUSB0?baud=9600"
"""
TWENTY_PLACES = [
    (2, "agent.site"),
    (3, "agent.gateway"),
    (4, "agent.timezone"),
    (5, "agent.data_dir"),
    (7, "mqtt.urls"),
    (8, "mqtt.ca_file"),
    (9, "mqtt.prefix"),
    (10, "mqtt.confirm"),
    (11, "mqtt.windw"),
    (12, "mqtt.unfiled"),
    (13, "mqtt.ack_timeout_s"),
    (14, "mqtt.keepalive_s"),
    (15, "mqtt.require_digest"),
    (17, "hl7.message"),
    (18, "sotre"),
    (21, "site.specimen_id"),
    (24, "analyser.xn1.profile"),
    (25, "analyser.xn1.mode"),
    (26, "analyser.xn1.transport"),
    (27, "analyser.xn1.peer"),
    (28, "analyser.xn1.on_unknown_code"),
    (30, "analyser.xn1.id"),
    (32, "analyser.xn1.transport"),
]


def test_more_than_twenty_mistakes_are_each_named_on_their_line_in_one_pass(tmp_path: Path) -> None:
    path = tmp_path / "edge-agent.toml"
    path.write_text(TWENTY, encoding="utf-8")
    assert mistakes(path) == TWENTY_PLACES
    with pytest.raises(ConfigurationError) as caught:
        loaded(path)
    said = {problem.line: problem.text for problem in caught.value.problems}
    for line, meant in ((11, "'window'"), (18, "'store'"), (24, '"sysmex_xn"'), (26, "tcp-server"), (32, "baudrate")):
        assert f"did you mean {meant}?" in said[line]
