"""The folder of its own beside the live data: when it is refused, and what becomes of it."""

import fcntl
import os
from pathlib import Path

import pytest

from edge_agent.errors import AgentError
from edge_agent.selftest import folder as module
from edge_agent.selftest.folder import Folder
from edge_agent.settings import StoreTable

NO_LIMITS = StoreTable(reserve_mb=1, low_water_mb=1)


def test_a_disk_that_is_too_full_is_refused_and_not_touched(tmp_path: Path) -> None:
    free_mb = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize // (1024 * 1024)
    limits = StoreTable(reserve_mb=1, low_water_mb=min(free_mb, 1_000_000))
    with pytest.raises(AgentError, match="not enough room beside the live data") as refused, Folder(tmp_path, limits):
        pass
    assert refused.value.code == "no-room"
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_meanwhile_ends_it(tmp_path: Path) -> None:
    with Folder(tmp_path, NO_LIMITS) as folder:
        (folder.path / "store-1").mkdir()
        with pytest.raises(AgentError, match="not enough room"):
            folder.refuse_full(10**9)
    assert list(tmp_path.iterdir()) == []


def test_a_network_or_memory_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text("1 0 0:1 / / rw - nfs server:/data rw\n", encoding="ascii")
    monkeypatch.setattr("edge_agent.store.directory.MOUNTS", mounts)
    with pytest.raises(AgentError, match="lies on nfs"), Folder(tmp_path, NO_LIMITS):
        pass


def test_a_data_directory_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AgentError, match="made by the agent's first start"), Folder(tmp_path / "data", NO_LIMITS):
        pass
    assert not (tmp_path / "data").exists()


def test_two_never_share_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ORPHAN_S", 0.0)
    with Folder(tmp_path, NO_LIMITS) as first:
        (first.path / "store-1").mkdir()
        with pytest.raises(AgentError, match="running already") as refused, Folder(tmp_path, NO_LIMITS):
            pass
        assert refused.value.code == "selftest-running"
        assert (first.path / "store-1").exists()


def test_left_overs_go_and_nothing_else_does(tmp_path: Path) -> None:
    (tmp_path / "agent.db").touch()
    (tmp_path / "selftest" / "store-1").mkdir(parents=True)
    (tmp_path / "selftest" / "flushes").touch()
    with Folder(tmp_path, NO_LIMITS) as folder:
        assert list(folder.path.iterdir()) == []
    assert [path.name for path in tmp_path.iterdir()] == ["agent.db"]


def test_it_stays_when_it_is_evidence(tmp_path: Path) -> None:
    with Folder(tmp_path, NO_LIMITS) as folder:
        folder.keep = True
    fd = os.open(tmp_path / "selftest", os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(fd)
