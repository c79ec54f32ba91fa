"""A backup's file: what is taken from it is what its manifest says, or nothing is."""

import io
import json
import os
import tarfile
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from edge_agent.backup import archive
from edge_agent.backup.archive import Counts, Manifest, Member, NotABackupError

MADE = datetime(2024, 6, 12, 3, 0, tzinfo=UTC)
FILES = {"agent.db": b"SQLite format 3\0" + bytes(300_000), "profiles/an1.json": b"lis02_generic\n{}"}


def made(folder: Path) -> Path:
    """A whole one."""
    places = {}
    for name, content in FILES.items():
        places[name] = folder / name
        places[name].parent.mkdir(exist_ok=True)
        places[name].write_bytes(content)
    manifest = Manifest(
        made=MADE,
        online=True,
        agent="0.1.0",
        sqlite="3.40.1",
        store_schema=1,
        site="seoul-01",
        gateway="gw-01",
        identity="TESTSTOR",
        newest=MADE,
        audit_entry=1,
        audit_hash="00",
        counts=Counts(messages={"filed": 2}, held=0, failed=0, unconverted=0),
        files={name: archive.facts_of(path) for name, path in places.items()},
    )
    path = folder / "whole.tar"
    with path.open("wb") as file:
        archive.write(file, manifest, archive.sources(manifest, places))
    return path


def rewritten(path: Path, change: Callable[[list[tuple[str, bytes]]], object]) -> Path:
    """The same with its members changed, whatever the manifest says."""
    with tarfile.open(path) as tar:
        members = [(m.name, tar.extractfile(m).read()) for m in tar]  # type: ignore[union-attr]  # all are files
    change(members)
    other = path.with_name("other.tar")
    with tarfile.open(other, "w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return other


def test_what_was_written_reads_back_the_same(tmp_path: Path) -> None:
    taken: dict[str, bytes] = {}

    def take(name: str, content: Iterable[bytes]) -> None:
        taken[name] = b"".join(content)

    assert archive.verified(made(tmp_path), take).gateway == "gw-01"
    assert taken == FILES


def test_any_tar_lists_it_with_the_manifest_first(tmp_path: Path) -> None:
    with tarfile.open(made(tmp_path)) as tar:
        assert tar.getnames() == ["manifest.json", "agent.db", "profiles/an1.json"]
        assert {m.mode for m in tar} == {0o600}


def test_a_file_that_is_not_changed_is_accepted_when_it_is_packed_anew(tmp_path: Path) -> None:
    """The control of the tests below: what they change is what is refused."""
    assert archive.verified(rewritten(made(tmp_path), lambda members: None)).identity == "TESTSTOR"


def manifest_with(members: list[tuple[str, bytes]], **changes: object) -> None:
    members[0] = ("manifest.json", json.dumps({**json.loads(members[0][1]), **changes}).encode())


def swapped(members: list[tuple[str, bytes]]) -> None:
    name, content = members[1]
    members[1] = (name, content[:-1] + b"x")


def renamed(members: list[tuple[str, bytes]], name: str) -> None:
    facts = json.loads(members[0][1])["files"]
    facts[name] = facts.pop("profiles/an1.json")
    manifest_with(members, files=facts)
    members[2] = (name, members[2][1])


@pytest.mark.parametrize(
    "change",
    [
        swapped,
        lambda members: members.pop(),
        lambda members: members.append(("agent.db", b"")),
        lambda members: members.append(("profiles/more.json", b"{}")),
        lambda members: members.reverse(),
        lambda members: manifest_with(members, format=2),
        lambda members: manifest_with(members, surprise=1),
        lambda members: manifest_with(members, files={}),
        lambda members: renamed(members, "../an1.json"),
        lambda members: renamed(members, "/etc/passwd"),
        lambda members: renamed(members, "profiles/../../an1.json"),
        lambda members: renamed(members, "control.sock/an1.json"),
    ],
)
def test_what_is_not_as_the_manifest_says_is_refused(
    tmp_path: Path, change: Callable[[list[tuple[str, bytes]]], object]
) -> None:
    with pytest.raises(NotABackupError):
        archive.verified(rewritten(made(tmp_path), change))


@pytest.mark.parametrize("size", [0, 100, 512, 4096, 200_000])
def test_a_file_cut_short_is_refused(tmp_path: Path, size: int) -> None:
    path = made(tmp_path)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(NotABackupError):
        archive.verified(path)


def test_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"\xff\xd8" + bytes(5000))
    with pytest.raises(NotABackupError):
        archive.verified(path)
    with pytest.raises(NotABackupError):
        archive.verified(tmp_path / "none.tar")


def test_a_link_in_place_of_a_file_is_refused(tmp_path: Path) -> None:
    path = made(tmp_path)
    other = tmp_path / "link.tar"
    with tarfile.open(path) as tar, tarfile.open(other, "w") as out:
        first = tar.getmembers()[0]
        out.addfile(first, tar.extractfile(first))
        link = tarfile.TarInfo("agent.db")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        out.addfile(link)
    with pytest.raises(NotABackupError):
        archive.verified(other)


def with_headers(path: Path, headers: dict[str, str]) -> Path:
    """The same with a pax header (POSIX.1-2001) before the database."""
    other = path.with_name("headers.tar")
    with tarfile.open(path) as tar, tarfile.open(other, "w", format=tarfile.PAX_FORMAT) as out:
        for member in tar:
            content = tar.extractfile(member)
            member.pax_headers = headers if member.name == "agent.db" else {}
            out.addfile(member, content)
    return other


def test_a_header_that_says_nothing_of_the_content_is_accepted(tmp_path: Path) -> None:
    """The control of the next one."""
    assert archive.verified(with_headers(made(tmp_path), {"comment": "x"})).identity == "TESTSTOR"


@pytest.mark.parametrize(
    "headers",
    [
        {"GNU.sparse.map": "a,b"},
        {"GNU.sparse.map": "0,300016"},  # a file with holes, which has none
        {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "x"},
        {"size": "-5"},
        {"size": "9" * 30},
        {"path": "../\x1b[2Jagent.db"},
    ],
)
def test_a_header_that_lies_about_the_content_is_refused(tmp_path: Path, headers: dict[str, str]) -> None:
    with pytest.raises(NotABackupError) as caught:
        archive.verified(with_headers(made(tmp_path), headers))
    assert caught.value.sentence.isprintable()


def test_a_number_no_file_can_have_is_no_archive(tmp_path: Path) -> None:
    path = made(tmp_path)
    data = bytearray(path.read_bytes())
    at = data.index(b"agent.db".ljust(100, b"\0"))
    data[at + 124 : at + 136] = b"\x80" + b"\x7f" * 11  # base 256, as GNU tar writes large sizes
    data[at + 156 : at + 157] = b"L"  # a long name, which is read at once
    data[at + 148 : at + 156] = b" " * 8
    data[at + 148 : at + 156] = b"%06o\0 " % sum(data[at : at + 512])
    path.write_bytes(data)
    with pytest.raises(NotABackupError):
        archive.verified(path)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(NotABackupError, match="no plain file"):
        archive.verified(tmp_path / "pipe")


def test_a_member_shorter_than_it_said_is_no_archive(tmp_path: Path) -> None:
    manifest = archive.verified(made(tmp_path))
    with pytest.raises(OSError), (tmp_path / "short.tar").open("wb") as file:
        archive.write(file, manifest, [Member("agent.db", 100, [b"short"])])


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE])
def test_headers_without_end_before_a_file_are_no_backup(tmp_path: Path, kind: bytes) -> None:
    info = tarfile.TarInfo("n")
    info.type, info.size = kind, 13
    header = info.tobuf(tarfile.GNU_FORMAT) + b"13 path=abcd\n".ljust(512, b"\0")
    path = tmp_path / "deep.tar"
    path.write_bytes(header * 5000)
    with pytest.raises(NotABackupError):
        archive.verified(path)


def test_a_file_with_holes_whose_list_is_cut_off_is_no_backup(tmp_path: Path) -> None:
    info = tarfile.TarInfo("manifest.json")
    info.type = tarfile.GNUTYPE_SPARSE
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[482] = 1  # "the list goes on in the next block", which does not come
    header[148:156] = b"%06o\0 " % (sum(header[:148]) + 8 * 32 + sum(header[156:512]))
    path = tmp_path / "holes.tar"
    path.write_bytes(bytes(header))
    with pytest.raises(NotABackupError):
        archive.verified(path)
