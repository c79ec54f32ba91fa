"""Every key of the configuration mutated: refused with its line and a sentence, or harmless; never a traceback."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from pydantic import BaseModel
from support_broker import Authority

from edge_agent.cli.main import main
from edge_agent.settings import AnalyserTable, Settings

FULL = """\
[agent]
site = "seoul-01"
gateway = "gw-01"
timezone = "Asia/Seoul"
data_dir = "data"
[mqtt]
urls = ["mqtt://127.0.0.1:1883"]
ca_file = "ca.pem"
cert_file = ""
key_file = ""
username = ""
password_file = ""
prefix = "ivd/v1"
confirm = "application"
consumer = "ivd"
window = 16
unfiled = 8
ack_timeout_s = 60
retry_max_s = 300
keepalive_s = 30
will_delay_s = 10
version = "5"
require_digest = false
[hl7]
message = "OUL_R22"
receiving_application = "IVD"
receiving_facility = "CENTRAL"
[store]
retention_days = 90
reserve_mb = 8
low_water_mb = 64
[drivers]
allow = []
devices_dir = "devices.d"
[web]
listen = "127.0.0.1:8480"
[metrics]
listen = ""
[site]
specimen_id = ""
[[analyser]]
id = "xn1"
profile = "lis02_generic"
mode = "validation"
transport = "tcp-server://127.0.0.1:5600"
peer = []
timezone = ""
hours = ""
usual_gap_s = 3600
on_unknown_code = "send-local"
[[analyser]]
id = "gx1"
profile = "lis02_generic"
links = [{ role = "results", transport = "tcp-server://127.0.0.1:5601" }]
"""
LINES = FULL.splitlines()
KEYS = [number for number, line in enumerate(LINES, 1) if " = " in line]
# Keys that take nearly any text: a blank or 한글 there is no mistake that could be told.
FREE_TEXT = {
    "receiving_application",
    "receiving_facility",
    "listen",
    "specimen_id",
    "devices_dir",
    "data_dir",
    "hours",
    "username",
    "prefix",
}
TYPES = {"number": "5", "switch": "true", "text": '"5x"', "table": "{ x = 1 }", "day": "[2024-03-01]"}
ABSURD = {"minus": "-1", "huge": "1" + "0" * 30}
TEXTS = {
    "nul": '"a\\u0000b"',
    "lines": '"a\\r\\nb"',
    "endless": '"' + "x" * 70_000 + '"',
    "blank": '" "',
    "한글": '"한글"',
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With an authority of its own: the system's take 20 ms to read."""
    made = tmp_path_factory.mktemp("keys")
    Authority(made)
    return made


def key(number: int) -> str:
    return LINES[number - 1].partition(" = ")[0]


def where(number: int) -> str:
    return f"{number}-{key(number)}"


def with_line(number: int, line: str) -> str:
    return "\n".join([*LINES[: number - 1], line, *LINES[number:]]) + "\n"


def check(folder: Path, text: str) -> tuple[int, list[str]]:
    """The exit status, and what was said of the file, a mistake a line."""
    path = folder / "edge-agent.toml"
    path.write_text(text, encoding="utf-8")
    result = CliRunner(env={"EDGE_AGENT_CONFIG": ""}).invoke(main, ["check", "--config", str(path)])
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    said = [line.removeprefix(f"{path}:") for line in result.stderr.splitlines() if line.startswith(str(path))]
    return result.exit_code, said


def refused(folder: Path, number: int, value: str) -> list[str]:
    """What is said of the line; whatever is said is a plain sentence."""
    status, said = check(folder, with_line(number, f"{key(number)} = {value}"))
    assert status == 78, f"{key(number)} = {value[:60]} was taken"
    for line in said:
        assert not re.search(r"[Ii]nput|valid_|type=|Traceback|pydantic", line), line
    return [line for line in said if line.startswith((f"{number}: ", f"{table(number)}: "))]


def table(number: int) -> int:
    """The line of the table: there stands what is wrong between two of its keys, as a certificate without its key."""
    return max(n for n, line in enumerate(LINES[:number], 1) if line.startswith("["))


def test_the_file_has_every_key_there_is_and_is_correct(folder: Path) -> None:
    wanted = sorted({name for model in _tables() for name in model.model_fields})
    assert sorted({key(number) for number in KEYS}) == wanted
    assert check(folder, FULL) == (0, [])


def _tables() -> Iterator[type[BaseModel]]:
    for field in Settings.model_fields.values():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield field.annotation
    yield AnalyserTable


@pytest.mark.parametrize("number", KEYS, ids=where)
def test_a_value_of_another_type_is_refused_on_its_line(folder: Path, number: int) -> None:
    own = LINES[number - 1].partition(" = ")[2]
    alike = {"number": own.isdecimal(), "switch": own in ("true", "false"), "text": own.startswith('"')}
    for kind, value in TYPES.items():
        if not alike.get(kind):
            assert refused(folder, number, value), (key(number), value)


@pytest.mark.parametrize("number", KEYS, ids=where)
def test_a_misspelt_key_is_refused_with_the_one_that_was_meant(folder: Path, number: int) -> None:
    name = key(number)
    misspelt = name[:-1] + "x" if len(name) < 3 else name[:1] + name[2:]
    status, said = check(folder, with_line(number, LINES[number - 1].replace(name, misspelt, 1)))
    assert status == 78
    [line] = [line for line in said if line.startswith(f"{number}: ")]
    assert f"did you mean {name!r}?" in line or len(name) < 3


@pytest.mark.parametrize("number", [n for n in KEYS if LINES[n - 1].rpartition(" ")[2].isdecimal()], ids=where)
def test_an_absurd_number_is_refused_on_its_line(folder: Path, number: int) -> None:
    for value in ABSURD.values():
        assert refused(folder, number, value), (key(number), value)


@pytest.mark.parametrize("number", [n for n in KEYS if LINES[n - 1].endswith('"')], ids=where)
@pytest.mark.parametrize("value", TEXTS.values(), ids=list(TEXTS))
def test_an_absurd_text_is_refused_or_harmless_and_never_a_traceback(folder: Path, number: int, value: str) -> None:
    if key(number) in FREE_TEXT and value in (TEXTS["blank"], TEXTS["한글"]):
        assert check(folder, with_line(number, f"{key(number)} = {value}"))[0] in (0, 78)
    else:
        assert refused(folder, number, value), (key(number), value[:20])


@pytest.mark.parametrize(
    "name", ["site", "gateway", "data_dir", "prefix", "confirm", "consumer", "version", "message", "id", "profile"]
)
def test_a_text_that_must_be_there_is_refused_when_empty(folder: Path, name: str) -> None:
    number = next(n for n in KEYS if key(n) == name)
    assert refused(folder, number, '""')


@pytest.mark.parametrize("number", KEYS, ids=where)
def test_a_value_that_was_cut_off_is_refused_with_a_line(folder: Path, number: int) -> None:
    status, said = check(folder, "\n".join(LINES[: number - 1]) + f"\n{key(number)} = ")
    assert status == 78
    assert [line for line in said if re.match(rf"{number}: is not TOML", line)]
