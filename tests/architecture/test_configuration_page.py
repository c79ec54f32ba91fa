"""The reference of the configuration: every key explained, once, and what a reload does to it as the agent does it."""

from pathlib import Path

import pytest
from architecture.configuration_page import BROKER, CONVERSION, PORT, RESTART, SHIPPED, Notes, configuration, effect
from architecture.configuration_page import tables as all_tables
from support_broker import Authority

from edge_agent.generation import Configuration, Generation
from edge_agent.running import Changes

KEYS = [f"{table}.{key}" for table, model, _ in all_tables() for key in model.model_fields]

BASE = """\
agent.site = "one"
agent.gateway = "gw-01"
agent.data_dir = "data"
mqtt.urls = ["mqtt://127.0.0.1:1883"]
"""
ANALYSER = """\
[[analyser]]
id = "gen1"
profile = "lis02_generic"
transport = "tcp-server://127.0.0.1:5600"
"""
# Another value for each key that a running agent can take over; files are made by the test.
OTHER = {
    "agent.timezone": '"Europe/Vienna"',
    "mqtt.urls": '["mqtt://127.0.0.1:1884"]',
    "mqtt.ca_file": '"ca.pem"',
    "mqtt.username": '"u"',
    "mqtt.prefix": '"lab/v1"',
    "mqtt.confirm": '"broker"',
    "mqtt.consumer": '"other"',
    "mqtt.window": "17",
    "mqtt.unfiled": "9",
    "mqtt.ack_timeout_s": "61",
    "mqtt.retry_max_s": "301",
    "mqtt.keepalive_s": "31",
    "mqtt.will_delay_s": "11",
    "mqtt.version": '"3.1.1"',
    "mqtt.require_digest": "true",
    "hl7.message": '"ORU_R01"',
    "hl7.receiving_application": '"LIS"',
    "hl7.receiving_facility": '"LAB"',
    "store.retention_days": "91",
    "store.reserve_mb": "9",
    "store.low_water_mb": "65",
    "drivers.allow": '["x"]',
    "drivers.devices_dir": '"elsewhere"',
    "web.listen": '"127.0.0.1:8481"',
    "site.specimen_id": '"[0-9]+"',
    "analyser.mode": '"production"',
    "analyser.transport": '"tcp-server://127.0.0.1:5601"',
    "analyser.links": '[{ role = "results", transport = "tcp-server://127.0.0.1:5601" }]',
    "analyser.peer": '["10.0.0.5"]',
    "analyser.profile": '"sysmex_xn"',
    "analyser.timezone": '"Europe/Vienna"',
    "analyser.hours": '"mon-fri 07:00-19:00"',
    "analyser.usual_gap_s": "3600",
    "analyser.on_unknown_code": '"hold"',
}
# What cannot be changed alone, or needs another package
APART = {"agent.site", "agent.gateway", "agent.data_dir", "mqtt.cert_file", "mqtt.key_file", "mqtt.password_file"}
APART |= {"analyser.id", "metrics.listen"}


def generation(folder: Path, name: str, lines: list[str], analyser: list[str]) -> Generation:
    path = folder / f"{name}.toml"
    path.write_text("\n".join([*lines, *analyser]) + "\n", encoding="utf-8")
    return Generation.of(Configuration.read(path))


@pytest.mark.parametrize("key", KEYS)
def test_every_key_is_explained_above_itself(key: str) -> None:
    assert Notes(SHIPPED.read_text(encoding="utf-8")).of[key].endswith((".", ":", ")", "}", "9600"))


def test_nothing_is_explained_that_is_no_key() -> None:
    tables = {name for name, _, _ in all_tables()}
    assert set(Notes(SHIPPED.read_text(encoding="utf-8")).of) == {*KEYS, *tables}


def test_a_key_without_a_sentence_of_its_own_is_seen() -> None:
    notes = Notes("## Of the table.\n[mqtt]\n## Both?\n# window = 16\n# unfiled = 8\n## other = 1\n").of
    assert notes == {"mqtt": "Of the table.", "mqtt.window": "Both?", "mqtt.unfiled": "", "mqtt.other": ""}


def test_limits_and_defaults_are_those_of_the_models() -> None:
    rows = {line.split("`")[1]: line for line in configuration().splitlines() if line.startswith("| `")}
    assert "| number 1 to 10000 | `8` |" in rows["unfiled"]
    assert '| `"application"` or `"broker"` | `"application"` |' in rows["confirm"]
    assert "| number 0 to 31622400 | *left out* |" in rows["usual_gap_s"]
    assert "| name | *must be written* |" in rows["gateway"]


def test_every_key_is_tried_or_known_to_stand_apart() -> None:
    assert {*OTHER, *APART} == set(KEYS)


@pytest.mark.parametrize("key", sorted(OTHER))
def test_a_reload_touches_what_the_page_says(tmp_path: Path, key: str) -> None:
    (tmp_path / "data").mkdir()
    Authority(tmp_path)
    lines, analyser = BASE.splitlines(), ANALYSER.splitlines()
    old = generation(tmp_path, "old", lines, analyser)
    table, _, name = key.partition(".")
    changed = analyser if table == "analyser" else lines
    name = name if table == "analyser" else key
    displaced = "transport" if name == "links" else name
    changed[:] = [line for line in changed if not line.startswith(f"{displaced} =")] + [f"{name} = {OTHER[key]}"]
    changes = Changes.between(old, generation(tmp_path, "new", lines, analyser))
    assert changes.connection is (effect(key) == BROKER)
    assert changes.restarted == (("gen1",) if effect(key) == PORT else ())
    assert changes.reread == (("gen1",) if effect(key) == CONVERSION else ())
    assert effect(key) != RESTART
