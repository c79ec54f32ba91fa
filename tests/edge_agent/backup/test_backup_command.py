"""`backup` and `restore` as a person types them, beside a running agent and without one."""

import json
import os
import shutil
import stat
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result
from support_conversion import until
from support_gateway import CONFIG, Gateway, gateway, one_queued_one_held, stopped_with_the_same

from edge_agent.backup import archive, restoring
from edge_agent.backup import room as backup_room
from edge_agent.cli.main import main
from edge_agent.control import ask, follow
from edge_agent.errors import AgentError

ROOT = Path(__file__).parents[3]
NAME = "edge-agent-gw-01-20200101T000000Z.tar"


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Gateway]:
    """An agent with one message queued and one result held."""
    with one_queued_one_held(tmp_path) as running:
        (tmp_path / "out").mkdir()
        yield running


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    """The configuration of an agent that does not run, with the same in its store."""
    config = stopped_with_the_same(tmp_path)
    (tmp_path / "out").mkdir()
    return config


def edge_agent(*words: object) -> Result:
    return CliRunner().invoke(main, [str(w) for w in words], catch_exceptions=False)


def backed_up(config: Path, *more: object) -> Path:
    result = edge_agent("backup", config.parent / "out", "--json", "--config", config, *more)
    assert result.exit_code == 0, result.output
    return Path(json.loads(result.stdout)["file"])


def refused(result: Result, code: str) -> str:
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"[{code}]" in result.stderr
    return result.stderr


# backup


def test_a_running_agent_is_backed_up_into_one_checked_file(made: Gateway) -> None:
    file = backed_up(made.config)
    manifest = archive.verified(file)
    assert archive.of_gateway(file.name, "gw-01")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert (manifest.online, manifest.gateway, manifest.identity) == (
        True,
        "gw-01",
        made.answer("status")["store"]["identity"],
    )
    assert (manifest.counts.messages["queued"], manifest.counts.held) == (1, 1)
    assert {"agent.db", "identity.json", "config/edge-agent.toml"} <= set(manifest.files)
    assert not (made.data_dir / "backup.partial").exists()


def test_the_person_is_told_what_is_in_it_and_what_is_not(made: Gateway) -> None:
    text = edge_agent("backup", made.config.parent / "out", "--config", made.config).stdout
    assert text.startswith("Done: ")
    assert "Not in it: private keys, password files, certificates. It contains patient data." in text


def test_it_is_in_the_audit_trail_and_in_status(made: Gateway) -> None:
    assert made.answer("status")["store"]["last_backup"] == ""
    file = backed_up(made.config)
    store = made.answer("status")["store"]
    assert store["last_backup"]
    assert store["last_backup_file"] == str(file)
    [entry] = [e for e in made.bench.do(lambda s: s.audit_entries(limit=1000)) if e.kind == "backup"]
    assert entry.facts["database"] == archive.verified(file).files["agent.db"].sha256


def test_what_is_not_reported_as_written_is_not_in_the_audit_trail(made: Gateway) -> None:
    """The negative control: everything was sent, and nobody said that it arrived."""
    assert list(follow(made.data_dir, "backup"))[-1]
    assert made.answer("status")["store"]["last_backup"] == ""
    with pytest.raises(AgentError):
        ask(made.data_dir, "backup-done", database="0" * 64, file="x")


def test_a_command_that_goes_away_leaves_nothing_and_the_next_one_works(made: Gateway) -> None:
    parts = follow(made.data_dir, "backup")
    next(parts)
    parts.close()
    until(
        lambda: "backup-running" not in edge_agent("backup", made.config.parent / "out", "--config", made.config).output
    )
    assert len(list((made.config.parent / "out").iterdir())) == 1
    assert not (made.data_dir / "backup.partial").exists()


def test_keys_passwords_and_certificates_are_not_in_it(made: Gateway) -> None:
    for name in ("gw.key", "gw.pem", "password"):
        (made.config.parent / name).write_text("-----BEGIN CANARY KEY-----", encoding="utf-8")
    (made.config.parent / "devices.d" / "mine").mkdir(parents=True)
    (made.config.parent / "devices.d" / "mine" / "profile.toml").write_text("# mine", encoding="utf-8")
    (made.config.parent / "devices.d" / "mine" / "gw.key").write_text("CANARY KEY", encoding="utf-8")
    file = backed_up(made.config)
    assert "config/devices.d/mine/profile.toml" in archive.verified(file).files
    assert b"CANARY KEY" not in file.read_bytes()


def test_without_an_agent_the_store_is_opened_for_it(stopped: Path) -> None:
    file = backed_up(stopped)
    manifest = archive.verified(file)
    assert (manifest.online, manifest.counts.messages["queued"]) == (False, 1)
    assert not (stopped.parent / "data" / "backup.partial").exists()
    with gateway(stopped.parent) as running:
        assert running.answer("status")["store"]["last_backup_file"] == str(file)


def test_older_ones_of_this_gateway_go_only_after_success(made: Gateway) -> None:
    out = made.config.parent / "out"
    others = [out / "edge-agent-gw-02-20200101T000000Z.tar", out / "notes.txt", out / f"{NAME}.partial"]
    for file in (out / NAME, *others):
        file.write_bytes(b"old")
    (out / "busy").write_bytes(b"")
    refused(edge_agent("backup", out / "busy", "--keep", 1, "--config", made.config), "backup-place")
    assert (out / NAME).exists()
    newest = backed_up(made.config, "--keep", 1)
    assert not (out / NAME).exists()
    assert newest.exists()
    assert all(file.exists() for file in others)


@pytest.mark.parametrize("where", ["data", "data/profiles", "nowhere", "edge-agent.toml"])
def test_a_place_that_cannot_be_is_refused(made: Gateway, where: str) -> None:
    (made.data_dir / "profiles").mkdir(exist_ok=True)
    dest = made.config.parent / where
    refused(
        edge_agent("backup", dest / "x.tar" if where == "nowhere" else dest, "--config", made.config), "backup-place"
    )


def test_a_full_disk_is_refused_with_how_much_is_needed(made: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    full = SimpleNamespace(f_bavail=1, f_frsize=4096)
    monkeypatch.setattr(backup_room.os, "statvfs", lambda _path: full)
    said = refused(edge_agent("backup", made.config.parent / "out", "--config", made.config), "no-room")
    assert "MB are needed, 0 MB are free." in said
    assert list((made.config.parent / "out").iterdir()) == []


def test_a_disk_that_fills_up_leaves_no_file(made: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(archive, "write", lambda file, manifest, members: full(0))
        refused(edge_agent("backup", made.config.parent / "out", "--config", made.config), "backup-place")
    assert list((made.config.parent / "out").iterdir()) == []


def test_a_disk_that_fills_up_where_no_agent_runs_is_said_in_a_sentence_too(
    stopped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(archive, "write", full)
    said = refused(edge_agent("backup", stopped.parent / "out", "--config", stopped), "backup-place")
    assert "No space left on device" in said
    assert list((stopped.parent / "out").iterdir()) == []
    assert not (stopped.parent / "data" / "backup.partial").exists()


# restore


def test_a_backup_becomes_the_store_of_an_empty_place(stopped: Path) -> None:
    former = stopped.parent / "data" / "profiles" / "history" / "an1" / "0001.json"
    former.parent.mkdir(parents=True)
    former.write_text("{}", encoding="utf-8")
    file = backed_up(stopped)
    identity = archive.verified(file).identity
    data = stopped.parent / "data"
    shutil.rmtree(data)
    result = edge_agent("restore", file, "--config", stopped)
    assert result.exit_code == 0, result.output
    assert stat.S_IMODE((data / "agent.db").stat().st_mode) == 0o600
    assert former.read_text(encoding="utf-8") == "{}"
    with gateway(stopped.parent) as running:
        assert running.answer("status")["store"]["identity"] != identity
        [message] = running.answer("queue")["messages"]
        assert message["id"].startswith(identity)


def test_a_place_where_an_agent_only_made_its_directory_is_empty(stopped: Path) -> None:
    file = backed_up(stopped)
    data = stopped.parent / "data"
    shutil.rmtree(data)
    data.mkdir()
    (data / "agent.lock").touch()
    assert edge_agent("restore", file, "--config", stopped).exit_code == 0
    assert sorted(p.name for p in stopped.parent.iterdir()) == ["data", "edge-agent.toml", "out"]


def test_a_store_that_is_there_is_not_replaced_unasked_and_what_it_holds_is_said(stopped: Path) -> None:
    file = backed_up(stopped)
    before = contents(stopped.parent / "data")
    said = refused(edge_agent("restore", file, "--config", stopped), "restore-present")
    assert "1 messages that are not filed, 1 results held or failed." in said
    assert contents(stopped.parent / "data") == before


def test_with_replace_it_is_moved_aside_whole(stopped: Path) -> None:
    file = backed_up(stopped)
    data = stopped.parent / "data"
    before = contents(data)
    answer = json.loads(edge_agent("restore", file, "--replace", "--json", "--config", stopped).stdout)
    aside = Path(answer["aside"])
    assert contents(aside) == before
    assert "1 messages that are not filed" in answer["former"]
    assert (data / "restored").exists()
    assert aside.parent == data.parent


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_running_agent_is_never_restored_over(made: Gateway) -> None:
    file = backed_up(made.config)
    for more in ((), ("--replace",)):
        refused(edge_agent("restore", file, "--config", made.config, *more), "store-locked")


def test_a_damaged_backup_changes_nothing(stopped: Path) -> None:
    file = backed_up(stopped)
    data = bytearray(file.read_bytes())
    data[100_000] ^= 1
    file.write_bytes(data)
    before = contents(stopped.parent / "data")
    refused(edge_agent("restore", file, "--replace", "--config", stopped), "backup-damaged")
    assert contents(stopped.parent / "data") == before


def test_the_backup_of_another_gateway_is_refused(stopped: Path) -> None:
    file = backed_up(stopped)
    stopped.write_text(CONFIG.replace("gw-01", "gw-02"), encoding="utf-8")
    said = refused(edge_agent("restore", file, "--replace", "--config", stopped), "backup-other-gateway")
    assert "gw-01 at seoul-01" in said


def test_a_backup_by_a_newer_version_is_refused(stopped: Path, tmp_path: Path) -> None:
    file = backed_up(stopped)
    newer = repacked(file, tmp_path / "newer.tar", user_version=99)
    before = contents(stopped.parent / "data")
    refused(edge_agent("restore", newer, "--replace", "--config", stopped), "store-too-new")
    assert contents(stopped.parent / "data") == before


def repacked(file: Path, other: Path, user_version: int) -> Path:
    """A whole backup of a database with another schema number (sqlite.org/fileformat.html, offset 60)."""
    folder = other.with_suffix("")
    folder.mkdir()
    with tarfile.open(file) as tar:
        for member in tar:
            content = tar.extractfile(member)
            assert content is not None
            place = folder / member.name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content.read())
    data = bytearray((folder / "agent.db").read_bytes())
    data[60:64] = user_version.to_bytes(4, "big")
    (folder / "agent.db").write_bytes(data)
    manifest = archive.verified(file)
    files = {**manifest.files, "agent.db": archive.facts_of(folder / "agent.db")}
    manifest = manifest.model_copy(update={"files": files})
    with other.open("wb") as out:
        archive.write(out, manifest, archive.sources(manifest, {name: folder / name for name in files}))
    shutil.rmtree(folder)
    return other


def test_a_file_system_that_cannot_exchange_names_changes_nothing(
    stopped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = backed_up(stopped)
    before = contents(stopped.parent / "data")

    def cannot(one: Path, other: Path) -> None:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(restoring, "exchange", cannot)
    refused(edge_agent("restore", file, "--replace", "--config", stopped), "restore-failed")
    assert contents(stopped.parent / "data") == before


_DIE = {
    "while it writes the copy": "shutil.copystat = lambda *a: os._exit(9)",
    "when the database is there": "restoring.backup.examine = lambda *a, **k: os._exit(9)",
    "before the exchange": "restoring.exchange = lambda *a: os._exit(9)",
}
_DIE_AFTER = "real = restoring.exchange; restoring.exchange = lambda *a: (real(*a), os._exit(9))"


def killed(die: str, *words: object) -> None:
    """A command in a process of its own, which ends as kill -9 ends it where ``die`` says."""
    modules = "import os, shutil; from edge_agent.backup import restoring, taking"
    code = f"{modules}; {die}\nfrom edge_agent.cli.main import main; main()"
    done = subprocess.run([sys.executable, "-c", code, *map(str, words)], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 9, done.stderr.decode()


@pytest.mark.parametrize("where", _DIE)
def test_a_restore_killed_before_its_end_changes_nothing_and_can_be_tried_again(stopped: Path, where: str) -> None:
    file = backed_up(stopped)
    data = stopped.parent / "data"
    before = contents(data)
    killed(_DIE[where], "restore", file, "--replace", "--config", stopped)
    assert contents(data) == before
    assert edge_agent("restore", file, "--replace", "--config", stopped).exit_code == 0
    assert before in [contents(p) for p in stopped.parent.glob("data.before-*")]
    with gateway(stopped.parent) as running:
        assert [m["state"] for m in running.answer("queue")["messages"]] == ["queued"]


def test_a_restore_killed_after_the_exchange_is_a_whole_restore(stopped: Path) -> None:
    file = backed_up(stopped)
    before = contents(stopped.parent / "data")
    killed(_DIE_AFTER, "restore", file, "--replace", "--config", stopped)
    [aside] = stopped.parent.glob("data.before-*")
    assert contents(aside) == before
    with gateway(stopped.parent) as running:
        assert running.answer("status")["store"]["identity"] != archive.verified(file).identity
        assert [m["state"] for m in running.answer("queue")["messages"]] == ["queued"]


def test_a_backup_killed_while_it_writes_leaves_no_file_and_can_be_tried_again(made: Gateway) -> None:
    out = made.config.parent / "out"
    killed("taking.archive.verified = lambda *a: os._exit(9)", "backup", out, "--config", made.config)
    assert list(out.glob("[!.]*")) == []
    until(lambda: not (made.data_dir / "backup.partial").exists())
    file = backed_up(made.config)
    assert list(out.iterdir()) == [file]


def test_check_only_reads(stopped: Path) -> None:
    file = backed_up(stopped)
    before = contents(stopped.parent / "data")
    result = edge_agent("restore", file, "--check", "--config", stopped)
    assert result.exit_code == 0
    assert f"{file} is whole: store " in result.stdout
    assert contents(stopped.parent / "data") == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can work as another user")
def test_what_root_writes_belongs_to_the_owner_of_the_data_directory(stopped: Path) -> None:
    data = stopped.parent / "data"
    for folder in (tmp := stopped.parent, *tmp.parents):
        if folder.owner() == "root" and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o011)
    for path in (data, *data.rglob("*")):
        os.chown(path, 65534, 65534)
    file = backed_up(stopped)
    owners: set[Any] = {p.stat().st_uid for p in (data, *data.rglob("*"))}
    assert owners == {65534}
    assert file.stat().st_uid == 0
    assert edge_agent("restore", file, "--replace", "--config", stopped).exit_code == 0
    assert {p.stat().st_uid for p in (data, *data.rglob("*"))} == {65534}
