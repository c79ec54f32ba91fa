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
