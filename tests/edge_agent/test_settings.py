"""A configuration is read whole or refused whole, every mistake with its line."""

from pathlib import Path

import pytest

from edge_agent.configuration.file import data_dir_of, find, load, resolve
from edge_agent.errors import ConfigurationError
from edge_agent.settings import AnalyserTable

GOOD = """\
[agent]
site = "seoul-01"
gateway = "gw-01"

[mqtt]
urls = ["mqtt://127.0.0.1:1883"]

[[analyser]]
id = "xn1"
profile = "sysmex_xn"
transport = "tcp-server://127.0.0.1:5600"

[[analyser]]
id = "gx1"
profile = "cepheid_genexpert"
transport = "serial:///dev/ttyUSB0?baudrate=9600"
"""


@pytest.fixture
def written(tmp_path: Path):
    def write(text: str) -> Path:
        path = tmp_path / "edge-agent.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def mistakes(path: Path) -> list[tuple[int, str, str]]:
    with pytest.raises(ConfigurationError) as caught:
        load(path)
    return [(p.line, p.key, p.text) for p in caught.value.problems]


def test_a_correct_file_is_read_with_its_defaults(written) -> None:
    settings = load(written(GOOD))
    assert settings.analyser[0].mode == "validation"
    assert settings.mqtt.unfiled == 8
    assert str(settings.zone(settings.analyser[0])) == "Asia/Seoul"


def test_the_shipped_file_is_correct() -> None:
    shipped = Path(__file__).parents[2] / "config" / "edge-agent.toml"
    assert load(shipped).agent.gateway == "gw-01"


def test_the_shipped_file_shows_every_key_at_its_default() -> None:
    shipped = (Path(__file__).parents[2] / "config" / "edge-agent.toml").read_text(encoding="utf-8")
    wanted = [line[2:] for line in shipped.splitlines() if line.startswith("# ") and "=" in line]
    uncommented = "\n".join(
        line[2:] if line.startswith("# ") and not line.startswith("# links") else line for line in shipped.splitlines()
    )
    assert len(wanted) > 30
    import tomllib

    from edge_agent.settings import Settings

    plain = Settings.model_validate(tomllib.loads(shipped))
    explicit = Settings.model_validate(tomllib.loads(uncommented))
    assert explicit == plain
    for table, model in type(plain).model_fields.items():
        if table != "analyser":
            keys = getattr(plain, table).model_dump()
            assert all(f"{key} =" in shipped for key in keys), (table, model)


@pytest.mark.parametrize(
    ("old", "new", "line", "key", "text"),
    [
        ('site = "seoul-01"', 'site = "Seoul 01"', 2, "agent.site", "must be 1 to 32 of a-z, 0-9 and -"),
        ('gateway = "gw-01"', "", 1, "agent.gateway", "is required"),
        (
            'gateway = "gw-01"',
            'gateway = "gw-01"\ntimezon = "x"',
            4,
            "agent.timezon",
            "unknown key; did you mean 'timezone'?",
        ),
        (
            'gateway = "gw-01"',
            'gateway = "gw-01"\ntimezone = "Seoul"',
            4,
            "agent.timezone",
            "'Seoul' is not a time zone such as Asia/Seoul",
        ),
        ("[mqtt]", "[mqtt]\nwindow = 0", 6, "mqtt.window", "must be at least 1"),
        ("[mqtt]", "[mqtt]\nwindow = '5'", 6, "mqtt.window", "must be a whole number"),
        ("[mqtt]", "[mqtt]\nconfirm = 'maybe'", 6, "mqtt.confirm", "must be 'application' or 'broker'"),
        ("[mqtt]", "[mqtt]\ncert_file = 'a'", 5, "mqtt", "cert_file and key_file belong together"),
        (
            "mqtt://127.0.0.1:1883",
            "http://x",
            6,
            "mqtt.urls",
            "'http://x' is not mqtt://host:port or mqtts://host:port",
        ),
        ('id = "gx1"', 'id = "xn1"', 14, "analyser.xn1.id", "the id 'xn1' is used on line 9 already"),
        ('id = "gx1"', 'id = "any"', 14, "analyser.any.id", "'any' is reserved"),
        (
            "127.0.0.1:5600",
            "0.0.0.0:5600",
            8,
            "analyser.xn1",
            'a server beyond this machine needs peer = ["address"], or peer = ["any"]',
        ),
        ('gateway = "gw-01"', 'gateway = "ivd"', 3, "agent.gateway", "a consumer has this name"),
        (
            'profile = "sysmex_xn"',
            'profile = "sysmex_xn"\nmodus = "production"',
            11,
            "analyser.xn1.modus",
            "unknown key; did you mean 'mode'?",
        ),
        ("[agent]", "[aggent]\n[agent]", 1, "aggent", "unknown key; did you mean 'agent'?"),
        ("[mqtt]", '[mqtt]\nca_file = "a\\u0000b"', 6, "mqtt.ca_file", "must not contain control characters"),
        ("mqtt://127", "mqtt://\\u0000127", 6, "mqtt.urls.0", "must not contain control characters"),
        ("[mqtt]", "[mqtt]\nkeepalive_s = 65536", 6, "mqtt.keepalive_s", "must be at most 65535"),
        ("[mqtt]", "[store]\nretention_days = 99999999999\n[mqtt]", 6, "store.retention_days", "must be at most 36500"),
        ("[agent]", "\ufeff[agent]", 1, "", "begins with a byte order mark; save it as UTF-8 without one"),
    ],
)
def test_a_mistake_is_named_with_its_line(written, old: str, new: str, line: int, key: str, text: str) -> None:
    assert old in GOOD
    assert mistakes(written(GOOD.replace(old, new, 1))) == [(line, key, text)]


@pytest.mark.parametrize("value", ["[" * 3000 + "]" * 3000, "1" * 5000], ids=["too-deep", "too-long"])
def test_what_is_beyond_any_reader_is_a_mistake_like_others(written, value: str) -> None:
    assert mistakes(written(f"{GOOD}\n[x]\nx = {value}\n")) == [
        (0, "", "cannot be read: a list or a number in it is longer or deeper than anything that can be meant")
    ]
    with pytest.raises(ConfigurationError):
        data_dir_of(written(f"x = {value}\n"))


def test_three_mistakes_are_reported_at_once_in_the_order_of_their_lines(written) -> None:
    text = GOOD.replace("seoul-01", "Seoul").replace("[mqtt]", "[mqtt]\nwnidow = 3").replace("sysmex_xn", "x", 1)
    text = text.replace('id = "gx1"', 'id = "GX 1"')
    assert [m[0] for m in mistakes(written(text))] == [2, 6, 15]


def test_a_half_saved_file_is_refused_with_the_line_it_breaks_at(written) -> None:
    [(line, _, text)] = mistakes(written(GOOD[: GOOD.index("5600")]))
    assert line == 11
    assert text.startswith("is not TOML")


def test_a_file_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    assert mistakes(tmp_path / "none.toml") == [
        (0, "", "cannot be read: the file does not exist; name another with --config")
    ]


def test_two_analysers_on_one_port_need_different_peers(written) -> None:
    text = GOOD.replace("serial:///dev/ttyUSB0?baudrate=9600", "tcp-server://127.0.0.1:5600")
    [(line, key, _)] = mistakes(written(text))
    assert (line, key) == (16, "analyser.gx1.transport")


def test_the_file_is_found_by_option_environment_or_default(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.delenv("EDGE_AGENT_CONFIG", raising=False)
    assert find(None) == Path("/etc/edge-agent/edge-agent.toml")
    monkeypatch.setenv("EDGE_AGENT_CONFIG", str(tmp_path / "env.toml"))
    assert find(None) == tmp_path / "env.toml"
    assert find(tmp_path / "option.toml") == tmp_path / "option.toml"
    assert resolve(tmp_path / "edge-agent.toml", "keys/gw.pem") == tmp_path / "keys" / "gw.pem"


def test_each_of_several_links_has_a_name_of_its_own() -> None:
    def parts(*roles: str) -> list[str]:
        links = [{"role": role, "transport": f"tcp-client://10.0.0.9:{n}"} for n, role in enumerate(roles, 1)]
        return [part for part, _ in AnalyserTable(id="xn1", profile="sysmex_xn", links=links).parts()]

    assert parts("results", "orders") == ["results", "orders"]
    assert parts("results", "orders", "results") == ["results-1", "orders", "results-2"]
    assert AnalyserTable(id="xn1", profile="p", transport="tcp-client://10.0.0.9:1").parts() == [
        ("", "tcp-client://10.0.0.9:1")
    ]


def test_hours_and_an_address_that_cannot_be_are_named_with_their_lines(written) -> None:
    text = GOOD + 'hours = "mo-fr 07:00-19:00"\nusual_gap_s = -1\n[metrics]\nlisten = "9464"\n'
    assert mistakes(written(text)) == [
        (17, "analyser.gx1.hours", "'mo-fr 07:00-19:00' is not hours such as 'mon-fri 07:00-19:00' or '22:00-06:00'"),
        (18, "analyser.gx1.usual_gap_s", "must be at least 0"),
        (20, "metrics.listen", 'must be an address and a port such as "127.0.0.1:9464"'),
    ]


def test_hours_are_of_the_analysers_own_time_zone(written) -> None:
    settings = load(written(GOOD + 'hours = "07:00-19:00"\ntimezone = "Europe/Berlin"\n'))
    assert [str(settings.opening_hours(a).zone) for a in settings.analyser] == ["Asia/Seoul", "Europe/Berlin"]
    assert settings.opening_hours(settings.analyser[0]).rules == ()
