"""Places a backup, a restore or a bundle meets in a real lab: links, mounted disks, folders of others, full disks."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner, Result
from support_gateway import CONFIG, ONE_GOOD, gateway, stopped_having_received

from edge_agent.backup import archive, restoring
from edge_agent.backup import room as backup_room
from edge_agent.backup import serving as backups
from edge_agent.cli.main import main
from edge_agent.store.directory import DirectoryLock
from edge_agent.store.errors import StoreLockedError


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Of an agent that does not run, with one message in its store and a backup of it in ``out``."""
    config = stopped_having_received(tmp_path, ONE_GOOD)
    (tmp_path / "out").mkdir()
    backed_up(config)
    return config


def edge_agent(*words: object) -> Result:
    return CliRunner().invoke(main, [str(w) for w in words], catch_exceptions=False)


def backed_up(config: Path) -> None:
    result = edge_agent("backup", config.parent / "out", "--config", config)
    assert result.exit_code == 0, result.output


def the_backup(config: Path) -> Path:
    [file] = (config.parent / "out").glob("*.tar")
    return file


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def refused(result: Result, code: str) -> str:
    assert (result.exit_code, result.stdout) == (1, ""), result.output
    assert f"[{code}]" in result.stderr
    return result.stderr


@contextmanager
def somebody_else(folder: Path) -> Iterator[None]:
    """Who may pass through the folders above ``folder`` and no more."""
    for each in (folder, *folder.parents):
        if each.owner() == "root" and each != Path("/"):
            each.chmod(each.stat().st_mode | 0o011)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def test_a_data_directory_that_is_a_link_stays_one_and_what_it_means_is_replaced(config: Path) -> None:
    """The results lie on another disk then, and must not move to the disk of the link."""
    disk, data = config.parent / "disk", config.parent / "data"
    disk.mkdir()
    data.rename(disk / "data")
    data.symlink_to(disk / "data")
    before = contents(disk / "data")
    answer = json.loads(edge_agent("restore", the_backup(config), "--replace", "--json", "--config", config).stdout)
    assert data.is_symlink()
    assert (disk / "data" / "restored").exists()
    assert not (disk / "data").is_symlink()
    aside = Path(answer["aside"])
    assert (aside.parent, contents(aside)) == (disk, before)


def test_a_folder_above_that_is_not_there_yet_is_made(config: Path) -> None:
    config.write_text(CONFIG.replace('"data"', '"srv/edge/data"'), encoding="utf-8")
    result = edge_agent("restore", the_backup(config), "--config", config)
    assert result.exit_code == 0, result.output
    assert (config.parent / "srv/edge/data/restored").exists()


def test_the_root_of_a_disk_cannot_be_exchanged_and_is_refused_before_anything_is_copied(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = config.parent / "data"
    before = contents(data)
    monkeypatch.setattr(restoring.os.path, "ismount", lambda path: path == data)
    monkeypatch.setattr(restoring.Restoring, "_stage", None)
    assert "is the root of a disk" in refused(
        edge_agent("restore", the_backup(config), "--replace", "--config", config), "restore-failed"
    )
    assert contents(data) == before


def test_a_disk_that_fills_up_during_a_restore_is_not_said_to_be_a_damaged_backup(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a person looks for another backup, and throws this one away."""

    def full(folder: Path) -> None:
        raise OSError(28, "No space left on device")

    data = config.parent / "data"
    before = contents(data)
    monkeypatch.setattr(restoring, "sync_directory", full)
    said = refused(edge_agent("restore", the_backup(config), "--replace", "--config", config), "restore-failed")
    assert "No space left on device" in said
    assert contents(data) == before
    assert [p.name for p in config.parent.iterdir() if "data." in p.name] == []


def test_only_the_database_itself_is_taken_from_a_backup_not_a_log_beside_it(config: Path, tmp_path: Path) -> None:
    """Whatever a manifest names: SQLite would play a log into the database before anybody has looked at it."""
    whole = the_backup(config)
    manifest = archive.verified(whole)
    places = {name: tmp_path / "unpacked" / name for name in (*manifest.files, "agent.db-wal", "agent.dbx")}
    taken: dict[str, bytes] = {"agent.db-wal": b"log", "agent.dbx": b"x"}
    archive.verified(whole, lambda name, content: taken.__setitem__(name, b"".join(content)))
    for name, path in places.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(taken[name])
    forged = manifest.model_copy(update={"files": {name: archive.facts_of(path) for name, path in places.items()}})
    file = tmp_path / "forged.tar"
    with file.open("wb") as out:
        archive.write(out, forged, archive.sources(forged, places))
    shutil.rmtree(config.parent / "data")
    assert edge_agent("restore", file, "--config", config).exit_code == 0
    assert {p.name for p in (config.parent / "data").iterdir()} >= {"agent.db", "restored"}
    assert not {"agent.db-wal", "agent.dbx"} & {p.name for p in (config.parent / "data").iterdir()}


def test_what_another_gateway_is_writing_into_the_same_folder_is_left_alone(config: Path) -> None:
    out = config.parent / "out"
    others = [out / f".edge-agent-gw-01-{name}-20200101T000000Z.tar.partial" for name in ("a", "20200101T000000Z")]
    ours = out / ".edge-agent-gw-01-20200101T000000Z.tar.partial"
    for file in (*others, ours):
        file.write_bytes(b"half")
    the_backup(config).unlink()
    backed_up(config)
    assert not ours.exists()
    assert all(file.exists() for file in others)


@only_root
def test_somebody_who_may_not_is_told_so_in_a_sentence(config: Path, tmp_path: Path) -> None:
    file = the_backup(config)
    file.chmod(0o644)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with somebody_else(tmp_path / "out"):
        denied = [
            refused(edge_agent("restore", file, "--config", config), "restore-failed"),
            refused(edge_agent("restore", file, "--replace", "--config", config), "restore-failed"),
            refused(edge_agent("backup", closed / "x", "--config", config), "backup-place"),
        ]
        bundle = edge_agent("support-bundle", "--yes", closed / "x", "--config", config)
    assert bundle.exit_code == 1
    assert "[bundle]" in bundle.stderr
    assert all("Permission denied" in said for said in (*denied, bundle.stderr))


def test_both_directories_are_locked_through_the_exchange(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent that starts at that moment must not begin on either."""
    real, locked = restoring.exchange, []

    def watched(one: Path, other: Path) -> None:
        for moment in (lambda: None, lambda: real(one, other)):
            moment()
            for folder in (one, other):
                with pytest.raises(StoreLockedError):
                    DirectoryLock(folder)
                locked.append(folder)

    monkeypatch.setattr(restoring, "exchange", watched)
    assert edge_agent("restore", the_backup(config), "--replace", "--config", config).exit_code == 0
    assert len(locked) == 4
    DirectoryLock(config.parent / "data").release()  # the control: afterwards it can be had


def test_a_restore_that_failed_leaves_nothing_that_looks_like_a_former_store(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot(one: Path, other: Path) -> None:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(restoring, "exchange", cannot)
    refused(edge_agent("restore", the_backup(config), "--replace", "--config", config), "restore-failed")
    assert sorted(p.name for p in config.parent.iterdir()) == ["data", "edge-agent.toml", "out"]


def test_a_backup_has_its_name_only_once_it_is_on_the_disk(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    the_backup(config).unlink()
    synced: list[int] = []
    real_sync, real_rename, renamed = os.fsync, Path.rename, []

    def sync(fd: int) -> None:
        real_sync(fd)
        synced.append(os.fstat(fd).st_ino)

    def rename(path: Path, target: Path) -> Path:
        if target.suffix == ".tar":
            renamed.append(path.stat().st_ino in synced)
        return real_rename(path, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Path, "rename", rename)
    backed_up(config)
    assert renamed == [True]


def test_a_second_backup_waits_for_the_end_of_the_first(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with gateway(tmp_path) as running:
        first = running.backups.backup({})
        running.run(first.__anext__())
        refused(edge_agent("backup", tmp_path / "out", "--config", running.config), "backup-running")
        running.run(first.aclose())
        backed_up(running.config)


def test_what_a_first_backup_takes_away_at_its_end_is_never_the_copy_of_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out").mkdir()
    with gateway(tmp_path) as running:
        real, said = backups.forget_unfinished, []

        def slow(data_dir: Path) -> None:
            if not said:  # the second command comes while the first one's copy is being taken away
                said.append("")
                said.append(edge_agent("backup", tmp_path / "out", "--config", running.config).stderr)
            real(data_dir)

        monkeypatch.setattr(backups, "forget_unfinished", slow)
        first = running.backups.backup({})
        running.run(first.__anext__())
        running.run(first.aclose())
        assert "[backup-running]" in said[1]
        backed_up(running.config)


def test_an_agent_whose_own_disk_has_no_room_for_a_copy_begins_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy would take the room that results need."""
    (tmp_path / "out").mkdir()
    with gateway(tmp_path) as running:
        full, real = SimpleNamespace(f_bavail=1, f_frsize=4096), os.statvfs
        monkeypatch.setattr(backup_room.os, "statvfs", lambda p: full if p == running.data_dir else real(p))
        said = refused(edge_agent("backup", tmp_path / "out", "--config", running.config), "no-room")
        assert f"in {running.data_dir}" in said
        assert not (running.data_dir / "backup.partial").exists()
