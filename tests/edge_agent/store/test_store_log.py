"""The write-ahead log as bytes, whatever they are."""

import struct

import pytest

from edge_agent.store.wal import Log, read_log


def header(page_size: int) -> bytes:
    """With a right checksum, reckoned after walformat.html: s0 += x0 + s1, s1 += x1 + s0."""
    head = struct.pack(">6I", 0x377F0682, 3007000, page_size, 0, 1, 2)
    s0 = s1 = 0
    words = struct.unpack("<6I", head)
    for x0, x1 in zip(words[::2], words[1::2], strict=True):
        s0 = (s0 + x0 + s1) % 2**32
        s1 = (s1 + x1 + s0) % 2**32
    return head + struct.pack(">2I", s0, s1)


@pytest.mark.parametrize("page_size", [0, 1, 196, 511, 513, 1 << 17, 2**32 - 1])
def test_a_page_size_that_sqlite_does_not_have_is_damage(tmp_path, page_size):
    path = tmp_path / "agent.db-wal"
    path.write_bytes(header(page_size) + bytes(1000))
    assert read_log(path) == Log(damaged=True, rest=True)


@pytest.mark.parametrize("page_size", [512, 65536])
def test_one_that_it_has_is_read(tmp_path, page_size):
    path = tmp_path / "agent.db-wal"
    path.write_bytes(header(page_size) + bytes(24 + page_size))
    assert read_log(path) == Log()


# walformat.html, "WAL File Format": the header, then frames of a 24-byte header and a page each.

PAGE = 512
SALT, OLDER_SALT = (11, 12), (7, 8)
MAGIC = {"<": 0x377F0682, ">": 0x377F0683}


def added(sums: tuple[int, int], data: bytes, order: str) -> tuple[int, int]:
    """The checksum, carried on over ``data``."""
    s0, s1 = sums
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for x0, x1 in zip(words[::2], words[1::2], strict=True):
        s0 = (s0 + x0 + s1) % 2**32
        s1 = (s1 + x1 + s0) % 2**32
    return s0, s1


def written(frames: str, order: str = "<") -> bytes:
    """A log of one-page transactions, a letter a frame: c commit, p page of a longer one, capital: with a bad byte,
    o: a valid commit of the file's earlier life."""
    head = struct.pack(">6I", MAGIC[order], 3007000, PAGE, 0, *SALT)
    sums = added((0, 0), head, order)
    data = head + struct.pack(">2I", *sums)
    for number, letter in enumerate(frames):
        words = struct.pack(">2I", number + 1, 0 if letter in "pP" else 5)
        page = bytes([number + 1]) * PAGE
        sums = added(added(sums, words, order), page, order)
        salt = OLDER_SALT if letter == "o" else SALT
        data += words + struct.pack(">4I", *salt, *sums) + (b"\xee" + page[1:] if letter.isupper() else page)
    return data


WELL, LET_GO, DAMAGED = Log(), Log(damaged=False, rest=True), Log(damaged=True, rest=True)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("frames", "found"),
    [
        ("", WELL),
        ("c", WELL),
        ("cpc", WELL),
        ("p", LET_GO),  # a transaction that never committed
        ("cp", LET_GO),
        ("cC", LET_GO),  # the last commit may be torn
        ("C", LET_GO),
        ("cPc", LET_GO),
        ("cPpc", LET_GO),
        ("cCp", DAMAGED),  # what follows a commit frame shows that it was synced
        ("cCc", DAMAGED),
        ("Cc", DAMAGED),
        ("pCp", DAMAGED),
        ("co", WELL),  # the rest of an earlier life
        ("cCo", LET_GO),
        ("cooo", WELL),
    ],
)
def test_a_bad_frame_is_damage_only_where_it_was_synced(tmp_path, frames, found, order):
    path = tmp_path / "agent.db-wal"
    path.write_bytes(written(frames, order))
    assert read_log(path) == found


@pytest.mark.parametrize("cut", [1, 100, 24 + PAGE - 1])
def test_a_frame_that_is_cut_off_is_the_rest_of_this_log(tmp_path, cut):
    path = tmp_path / "agent.db-wal"
    path.write_bytes(written("cc")[:-cut])
    assert read_log(path) == LET_GO
    path.write_bytes(written("cc")[: -(24 + PAGE)])
    assert read_log(path) == WELL


@pytest.mark.parametrize("length", [0, 1, 31, 32])
def test_a_log_without_a_frame_is_well_whatever_its_header(tmp_path, length):
    path = tmp_path / "agent.db-wal"
    path.write_bytes(b"\xff" * length)
    assert read_log(path) == WELL
    path.unlink()
    assert read_log(path) == WELL


@pytest.mark.parametrize("at", [0, 3, 8, 16, 20, 24, 28, 31])
def test_a_header_with_a_bad_byte_is_damage_and_an_empty_one_was_never_written(tmp_path, at):
    path = tmp_path / "agent.db-wal"
    data = bytearray(written("c"))
    data[at] ^= 1
    path.write_bytes(data)
    assert read_log(path) == DAMAGED
    path.write_bytes(bytes(len(data)))
    assert read_log(path) == LET_GO
