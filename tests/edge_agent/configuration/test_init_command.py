"""`init`: a commented file that is correct, from questions or from options, never over what is there."""

import os
import pty
import stat
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner, Result

from edge_agent.cli import init as init_command
from edge_agent.cli import init_analyser
from edge_agent.cli.main import main
from edge_agent.cli.prompts import answered
from edge_agent.configuration import place as config_place
from edge_agent.configuration.file import load
from edge_agent.configuration.place import place
from edge_agent.configuration.text import filled, written
from edge_agent.errors import AgentError
from edge_agent.service.unit import config_text
from edge_agent.transport.serial_names import SerialName, serial_names

ROOT = Path(__file__).parents[3]
GIVEN = ("--site", "s1", "--gateway", "g1", "--broker", "mqtt://localhost")
XN = "id=xn1 profile=sysmex_xn transport=serial:///dev/ttyS9?baudrate=19200"


def edge_agent(*words: object, typed: str = "") -> Result:
    runner = CliRunner(env={"EDGE_AGENT_CONFIG": ""})
    return runner.invoke(main, [*map(str, words)], input=typed, catch_exceptions=False)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "랩" / "edge-agent.toml"


@pytest.fixture
def _terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(init_command, "on_a_terminal", lambda: True)
    ports = [SerialName("/dev/serial/by-id/usb-FTDI_A1-if00-port0", "/dev/ttyUSB0", "FT232R USB UART")]
    monkeypatch.setattr(init_analyser, "serial_names", lambda: ports)


# Without a terminal


def test_with_every_answer_as_an_option_a_correct_file_is_written_and_checked(path: Path) -> None:
    second = (
        "id=gx profile=cepheid_genexpert transport=tcp-server://0.0.0.0:5601 peer=10.0.0.7,10.0.0.8 mode=production"
    )
    result = edge_agent("init", "--config", path, *GIVEN, "--timezone", "UTC", "--analyser", XN, "--analyser", second)
    assert result.exit_code == 0, result.output
    settings = load(path)
    assert (settings.agent.site, settings.agent.timezone, settings.mqtt.urls) == ("s1", "UTC", ["mqtt://localhost"])
    first, other = settings.analyser
    assert (first.id, first.mode, first.peer) == ("xn1", "validation", [])
    assert (other.id, other.mode, other.peer) == ("gx", "production", ["10.0.0.7", "10.0.0.8"])
    assert f"edge-agent test xn1 --config '{path}'" in result.stdout
    assert "xn1: sysmex_xn revision" in result.stdout


def test_every_explanation_of_the_shipped_file_is_in_the_written_one(path: Path) -> None:
    edge_agent("init", "--config", path, *GIVEN, "--analyser", XN)
    explained = [line for line in config_text().splitlines() if line.startswith("##")]
    assert len(explained) > 20
    assert [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("##")] == explained


def test_everything_that_is_missing_or_wrong_is_named_at_once(path: Path) -> None:
    words = ("--site", "서울", "--cert-file", "gw.pem", "--timezone", "Mars", "--analyser", "id=a profle=x")
    result = edge_agent("init", "--config", path, *words, "--analyser", "id=a profile=sysmex_xm transport=tcp:1")
    assert result.exit_code == 2
    for complaint in (
        "missing --gateway",
        "missing --broker",
        "missing --key-file",
        "--site: must be 1 to 32 of a-z, 0-9 and -",
        "--timezone: 'Mars' is not a time zone",
        "--analyser 1: profle is none of id, profile, mode, transport, peer; did you mean profile?",
        "--analyser 1: missing transport=",
        "--analyser 2: id: another analyser has this id",
        'did you mean "sysmex_xn"?',
        "--analyser 2: transport: ",
    ):
        assert complaint in result.stderr
    assert not path.exists()


def test_a_broker_that_is_nothing_is_missing_too(path: Path) -> None:
    result = edge_agent("init", "--config", path, "--site", "s", "--gateway", "g", "--broker", " ")
    assert result.exit_code == 2
    assert "--broker: must not be empty" in result.stderr


def test_without_an_analyser_the_example_is_only_shown(path: Path) -> None:
    assert edge_agent("init", "--config", path, *GIVEN).exit_code == 0
    assert load(path).analyser == []
    assert "# [[analyser]]" in path.read_text(encoding="utf-8")


def test_a_certificate_that_is_not_there_yet_is_said_after_the_file_was_written(path: Path) -> None:
    result = edge_agent("init", "--config", path, *GIVEN, "--cert-file", "gw.pem", "--key-file", "gw.key")
    assert result.exit_code == 78
    assert f"mqtt.cert_file: {path.parent / 'gw.pem'} does not exist" in result.stderr
    assert load(path).mqtt.cert_file == "gw.pem"


# What is there


def test_a_file_that_is_there_is_kept_unless_forced_and_then_beside_the_new_one(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("# ours", encoding="utf-8")
    refused = edge_agent("init", "--config", path, *GIVEN)
    assert (refused.exit_code, path.read_text(encoding="utf-8")) == (1, "# ours")
    assert "[config-there]" in refused.stderr
    assert edge_agent("init", "--config", path, *GIVEN, "--force").exit_code == 0
    assert (path.parent / "edge-agent.toml.bak").read_text(encoding="utf-8") == "# ours"
    assert load(path).agent.site == "s1"
    assert sorted(p.name for p in path.parent.iterdir()) == ["edge-agent.toml", "edge-agent.toml.bak"]


def test_the_example_that_service_install_wrote_is_nobodys_work(path: Path) -> None:
    path.parent.mkdir()
    path.write_text(config_text(), encoding="utf-8")
    assert edge_agent("init", "--config", path, *GIVEN).exit_code == 0
    assert load(path).agent.site == "s1"


def test_a_file_that_appears_at_the_last_moment_is_not_overwritten(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.parent.mkdir()
    fsync = os.fsync

    def somebody_is_faster(file: int) -> None:
        fsync(file)
        path.write_text("# theirs", encoding="utf-8")

    monkeypatch.setattr(config_place.os, "fsync", somebody_is_faster)
    with pytest.raises(AgentError) as caught:
        place(path, "# ours")
    assert caught.value.code == "config-there"
    assert path.read_text(encoding="utf-8") == "# theirs"
    assert len(list(path.parent.iterdir())) == 1


def test_a_disk_that_fails_leaves_nothing_behind(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(config_place.os, "fsync", full)
    with pytest.raises(AgentError) as caught:
        place(path, "# ours")
    assert caught.value.code == "config-place"
    assert list(path.parent.iterdir()) == []


def test_the_group_of_the_service_reads_it_and_nobody_else(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = SimpleNamespace(getgrnam=lambda name: SimpleNamespace(gr_gid=os.getgid()))
    monkeypatch.setattr(config_place, "grp", mine)
    former = os.umask(0o077)
    try:
        place(path, "x")
    finally:
        os.umask(former)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o755


# On a terminal


@pytest.mark.usefixtures("_terminal")
def test_questions_are_asked_again_with_the_reason_until_the_answer_can_stand(path: Path) -> None:
    typed = [
        "Seoul 01", "seoul-01",  # site
        "any", "ivd", "gw-01",
        "", "",  # time zone, data directory
        "http://x", "mqtt://localhost",
        "",  # user name
        "y", "xn1",
        "sysmx", "sysmex x",  # nearly a name, then part of one
        "",  # mode
        "serial", "7", "1", "19200", "9", "8", "E", "", "rtscts",
        "y", "xn1", "gx1", "e", "genexpert", "production", "tcp-server", "70000", "5601", "10.0.0", "10.0.0.7",
        "n",
    ]  # fmt: skip
    result = edge_agent("init", "--config", path, typed="\n".join(typed) + "\n")
    assert result.exit_code == 0, result.output
    for said in (
        "must be 1 to 32 of a-z, 0-9 and -",
        "'any' is reserved",
        "a consumer has this name",
        "'http://x' is not mqtt://host:port",
        "did you mean sysmex_xn?",
        "FT232R USB UART",
        "there is no number 7 in the list",
        "it is 5, 6, 7 or 8",
        "another analyser has this id",
        "e can mean",
        "its port must be a number up to 65535",
        "marked as training",
    ):
        assert said in result.stdout
    first, second = load(path).analyser
    assert first.transport == (
        "serial:///dev/serial/by-id/usb-FTDI_A1-if00-port0?baudrate=19200&bytesize=8&parity=E&stopbits=1&rtscts=1"
    )
    assert (second.profile, second.mode, second.peer) == ("cepheid_genexpert", "production", ["10.0.0.7"])


@pytest.mark.usefixtures("_terminal")
def test_what_was_given_is_not_asked_and_files_to_come_are_noted(path: Path) -> None:
    words = ("--gateway", "g1", "--timezone", "UTC", "--data-dir", "data", "--broker", "mqtts://b", "--site", "Ü")
    result = edge_agent("init", "--config", path, *words, typed="s1\n\ngw.pem\n\ngw.key\nn\n")
    assert "--site: must be 1 to 32" in result.stdout
    assert "Gateway's name" not in result.stdout
    assert "gw.pem does not exist: put it there before the agent starts." in result.stdout
    assert result.exit_code == 78  # they are not there yet, and `check` says so
    assert load(path).mqtt.key_file == "gw.key"


def test_on_a_real_terminal_it_asks_and_who_gives_up_finds_nothing_written(path: Path) -> None:
    master, slave = pty.openpty()
    words = [sys.executable, "-m", "edge_agent", "init", "--config", str(path)]
    with subprocess.Popen(words, cwd=ROOT, stdin=slave, stdout=slave, stderr=slave) as process:
        os.close(slave)
        said = b""
        while b"Site where" not in said:
            said += os.read(master, 1000)
        os.write(master, "서울\n\x04".encode())  # an answer that cannot stand, then Ctrl-D
        while b"Aborted!" not in said:
            said += os.read(master, 1000)
        assert process.wait(60) == 1
    os.close(master)
    assert b"must be 1 to 32 of a-z, 0-9 and -" in said
    assert not path.exists()


# Parts


def test_text_is_written_so_that_toml_reads_the_same() -> None:
    for text in ('a"b\\c', "한글", "tab\tdel\x7f", ""):
        assert tomllib.loads(f"x = {written(text)}")["x"] == text
    assert tomllib.loads(f"x = {written(['a', 'b'])}")["x"] == ["a", "b"]


def test_a_key_the_shipped_file_does_not_show_is_a_defect() -> None:
    with pytest.raises(KeyError):
        filled(config_text(), {"agent": {"sight": "x"}}, [])
    with pytest.raises(KeyError):
        filled(config_text(), {}, [{"id": "x", "nickname": "y"}])


def test_ports_have_the_name_that_lasts_and_one_without_a_serial_number_is_known_by_its_socket(tmp_path: Path) -> None:
    for device in ("ttyUSB0", "ttyUSB1", "ttyUSB2", "ttyS0"):
        (tmp_path / device).touch()
    for folder, name, device in (
        ("by-id", "usb-FTDI_A1-if00", "ttyUSB0"),
        ("by-path", "pci-0-usb-0:1", "ttyUSB0"),
        ("by-id", "usb-1a86_Serial-if00", "ttyUSB1"),
        ("by-path", "pci-0-usb-0:2", "ttyUSB1"),
    ):
        (tmp_path / "serial" / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / "serial" / folder / name).symlink_to(tmp_path / device)
    listed = [
        SimpleNamespace(device=str(tmp_path / name), description=text, serial_number=number)
        for name, text, number in (
            ("ttyUSB0", "FT232R", "A1"),
            ("ttyUSB1", "n/a", None),
            ("ttyUSB2", "odd", None),
        )
    ]
    first, second, third = serial_names(tmp_path / "serial", lambda: listed)
    assert (first.path, first.description, first.note) == (
        str(tmp_path / "serial/by-id/usb-FTDI_A1-if00"),
        "FT232R",
        "",
    )
    assert second.path == str(tmp_path / "serial/by-path/pci-0-usb-0:2")
    assert "leave it in that socket" in second.note
    assert third.path == str(tmp_path / "ttyUSB2")
    assert "no lasting name" in third.note


def test_a_machine_without_serial_ports_has_none(tmp_path: Path) -> None:
    assert serial_names(tmp_path / "serial", list) == []


@pytest.mark.parametrize("typed", ["\x1b[A", "\udcec\udc84\udc9c"])  # an arrow key; Korean where LC_ALL is C
def test_a_key_or_a_letter_no_file_can_hold_is_asked_for_again(typed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    typing = iter([typed, "/srv/결과"])
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda _prompt: next(typing))
    assert answered("Folder", lambda _answer: "") == "/srv/결과"
