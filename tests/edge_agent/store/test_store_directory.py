"""The data directory: made for its owner alone and durable, on a disk that keeps what was synced, for one agent."""

import os
from pathlib import Path

import pytest

from edge_agent.store import directory
from edge_agent.store.directory import (
    DirectoryLock,
    Mount,
    mount_of,
    prepare,
    put_back,
    refuse_root,
    refuse_unsafe,
    sync_directory,
)
from edge_agent.store.errors import ForeignDirectoryError, StoreLockedError, UnsafeFilesystemError

# proc(5), mountinfo: id, parent, device, root, mount point, options, optional fields, "-", kind, source, options.
ROOT = "22 1 8:2 / / rw,relatime shared:1 - ext4 /dev/sda2 rw,errors=remount-ro\n"


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Paths of what was synced."""
    paths: list[str] = []
    fsync = os.fsync

    def noted(fd: int) -> None:
        paths.append(str(Path(f"/proc/self/fd/{fd}").readlink()))
        fsync(fd)

    monkeypatch.setattr("os.fsync", noted)
    return paths


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_new_directory_is_its_owner_s_alone_and_its_name_is_synced(tmp_path: Path, synced: list[str]) -> None:
    made = tmp_path / "var" / "lib" / "data"
    prepare(made)
    assert mode(made) == 0o700
    assert synced == [str(made.parent)]


@pytest.mark.parametrize(("before", "after"), [(0o777, 0o750), (0o755, 0o750), (0o750, 0o750), (0o700, 0o700)])
def test_others_are_shut_out_of_a_directory_that_is_there_and_a_group_stays(
    tmp_path: Path, synced: list[str], before: int, after: int
) -> None:
    tmp_path.chmod(before)
    prepare(tmp_path)
    assert mode(tmp_path) == after
    assert synced == []


def test_a_synced_directory_leaves_no_descriptor_open(tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    sync_directory(tmp_path)
    assert os.listdir("/proc/self/fd") == before
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        sync_directory(tmp_path / "file")


@pytest.mark.parametrize(("uid", "owner"), [(65_534, "nobody"), (3_999_999, "#3999999")])
def test_root_is_told_whose_directory_it_is_also_where_the_owner_has_no_name(
    tmp_path: Path, uid: int, owner: str
) -> None:
    if os.geteuid() != 0:
        pytest.skip("SKIPPED: giving a directory to another user needs root")
    os.chown(tmp_path, uid, uid)
    with pytest.raises(ForeignDirectoryError) as refused:
        refuse_root(tmp_path)
    assert f"belongs to {owner}," in refused.value.sentence
    assert f"runuser -u {owner} -- " in refused.value.action
    os.chown(tmp_path, 0, 0)
    refuse_root(tmp_path)


def test_who_is_not_root_is_left_to_the_system_s_own_rights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() == 0:
        os.chown(tmp_path, 65_534, 65_534)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    refuse_root(tmp_path)


# the lock


def test_the_lock_is_one_s_own_until_it_is_given_back_and_can_be_given_back_twice(tmp_path: Path) -> None:
    first = DirectoryLock(tmp_path)
    before = os.listdir("/proc/self/fd")
    with pytest.raises(StoreLockedError):
        DirectoryLock(tmp_path)
    assert os.listdir("/proc/self/fd") == before  # the one that was refused holds nothing
    first.release()
    other = os.open(tmp_path, os.O_RDONLY)  # gets the number the lock had
    first.release()
    os.fstat(other)  # and is not closed in its place
    os.close(other)
    DirectoryLock(tmp_path).release()
    assert mode(tmp_path / "agent.lock") == 0o600


# a closing that was interrupted


def test_a_hidden_database_is_put_back_but_never_over_one_that_is_there(tmp_path: Path) -> None:
    hidden, database = tmp_path / "agent.db.closing", tmp_path / "agent.db"
    put_back(tmp_path)
    assert list(tmp_path.iterdir()) == []
    hidden.write_bytes(b"results")
    put_back(tmp_path)
    assert (database.read_bytes(), hidden.exists()) == (b"results", False)
    hidden.write_bytes(b"others")
    put_back(tmp_path)
    assert (database.read_bytes(), hidden.read_bytes()) == (b"results", b"others")


# what it lies on


@pytest.mark.parametrize(
    "kind",
    ["tmpfs", "devtmpfs", "ramfs", "nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "fuse.s3"],
)
def test_memory_and_network_are_refused_by_name(tmp_path: Path, kind: str) -> None:
    with pytest.raises(UnsafeFilesystemError) as refused:
        refuse_unsafe(tmp_path, f"{ROOT}23 22 0:40 / {tmp_path} rw - {kind} dev rw\n")
    assert f"lies on {kind}, which" in refused.value.sentence


@pytest.mark.parametrize("option", ["data=writeback", "nobarrier", "barrier=0"])
@pytest.mark.parametrize("of", ["the mount", "the file system"])
def test_a_disk_that_may_write_in_another_order_is_refused_by_its_option(tmp_path: Path, option: str, of: str) -> None:
    ours, theirs = (f"rw,{option}", "rw") if of == "the mount" else ("rw", f"rw,{option}")
    with pytest.raises(UnsafeFilesystemError) as refused:
        refuse_unsafe(tmp_path, f"{ROOT}23 22 8:3 / {tmp_path} {ours} - ext4 /dev/sdb1 {theirs}\n")
    assert f"lies on ext4 mounted with {option}, which" in refused.value.sentence


@pytest.mark.parametrize("options", ["rw,barrier=1", "rw,data=ordered", "rw,data=journal", "rw"])
def test_a_disk_that_keeps_its_order_is_taken(tmp_path: Path, options: str) -> None:
    refuse_unsafe(tmp_path, f"{ROOT}23 22 8:3 / {tmp_path} rw - ext4 /dev/sdb1 {options}\n")


def test_what_the_directory_really_lies_on_counts_also_behind_a_link(tmp_path: Path) -> None:
    (tmp_path / "memory").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "memory")
    with pytest.raises(UnsafeFilesystemError):
        refuse_unsafe(tmp_path / "link", f"{ROOT}23 22 0:40 / {tmp_path}/memory rw - tmpfs tmpfs rw\n")


def test_the_system_s_own_table_is_read_and_where_there_is_none_nothing_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory, "MOUNTS", tmp_path / "mountinfo")
    refuse_unsafe(tmp_path)
    (tmp_path / "mountinfo").write_text(f"{ROOT}23 22 0:40 / {tmp_path} rw - tmpfs tmpfs rw\n")
    with pytest.raises(UnsafeFilesystemError):
        refuse_unsafe(tmp_path)


DEEP = "23 22 8:3 / /srv rw,noatime - xfs /dev/sdb1 rw,attr2\n"
DEEPER = "24 23 8:4 / /srv/lab rw - btrfs /dev/sdc1 rw\n"
BESIDE = "25 22 8:5 / /srv/labs rw - ext3 /dev/sdd1 rw\n"
OVER = "26 22 8:6 / /srv rw - ext2 /dev/sde1 rw\n"
SPACE = "27 22 8:7 / /srv/two\\040words rw - f2fs /dev/sdf1 rw\n"


@pytest.mark.parametrize(
    ("table", "path", "found"),
    [
        ("", "/srv", Mount("", "", "")),
        (DEEP, "/var", Mount("", "", "")),
        (ROOT, "/srv", Mount("ext4", "rw,relatime,rw,errors=remount-ro", "/dev/sda2")),
        (ROOT + DEEP, "/srv/data", Mount("xfs", "rw,noatime,rw,attr2", "/dev/sdb1")),
        (ROOT + DEEP, "/srv", Mount("xfs", "rw,noatime,rw,attr2", "/dev/sdb1")),
        (DEEPER + DEEP + ROOT, "/srv/lab/data", Mount("btrfs", "rw,rw", "/dev/sdc1")),
        (ROOT + BESIDE + DEEP, "/srv/lab", Mount("xfs", "rw,noatime,rw,attr2", "/dev/sdb1")),
        (ROOT + DEEP + OVER, "/srv/data", Mount("ext2", "rw,rw", "/dev/sde1")),  # the later one hides the earlier
        (ROOT + SPACE, "/srv/two words/data", Mount("f2fs", "rw,rw", "/dev/sdf1")),
    ],
)
def test_the_deepest_and_latest_mount_is_the_one_that_holds_a_path(table: str, path: str, found: Mount) -> None:
    assert mount_of(Path(path), table) == found
