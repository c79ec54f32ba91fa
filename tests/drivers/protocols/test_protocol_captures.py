"""Real traffic, where it is at hand: every framed file verifies, and no byte of any file is lost.

The files are not ours and not shipped. ``FIELD_CAPTURES`` names their folder; the default lies beside the checkout.
"""

import os
import re
from pathlib import Path

import pytest

from drivers.protocols import lis01, lis02

ROOT = Path(__file__).parents[3]
CAPTURES = Path(os.environ.get("FIELD_CAPTURES", ROOT.parent / "shared" / "captures"))
GENERIC = lis01.Dialect(framing="auto", trailer="any", frame_number="any")
CELL = r"(?:[^|\\]|\\.)*"
ROW = re.compile(rf"^\| (?P<file>\S+) (?:\|{CELL}){{5}}\| (?P<good>\d+)/(?P<all>\d+) \|", re.MULTILINE)


def index():
    """File name -> frames whose checksum verifies, of those the index gives a figure for."""
    if not (CAPTURES / "INDEX.md").is_file():
        print(f"no captures at {CAPTURES}: real traffic is not tested here (set FIELD_CAPTURES)")
        return {}
    rows = ROW.finditer((CAPTURES / "INDEX.md").read_text("utf-8"))
    return {row["file"]: (int(row["good"]), int(row["all"])) for row in rows}


def astm_files():
    return [p for p in sorted(CAPTURES.glob("*/*")) if p.suffix in (".txt", ".astm")] if index() else []


@pytest.mark.parametrize("size", [0, 1, 240])
def test_every_framed_file_verifies_frame_by_frame_as_its_index_says(plain, size):
    for name, (good, total) in index().items():
        it = plain(GENERIC, size)
        it.send((CAPTURES / name).read_bytes())
        it.lose()
        assert len(it.frames) == good == total, name
        assert not [n for n in it.names if n.startswith(("Refused", "Noise"))], name
        print(f"{name}: {good} frames")


def test_no_byte_of_any_file_is_lost_in_any_dialect(plain):
    for path in [p for p in sorted(CAPTURES.glob("*/*")) if p.is_file()] if index() else []:
        data = path.read_bytes()
        for dialect in (lis01.Dialect(), GENERIC, lis01.Dialect(framing="bare", ack_unit="record")):
            it = plain(dialect, 4096)
            it.send(data)
            it.lose()
            assert it.lost_bytes(data) == b"", path.name


def test_every_accepted_text_reads_as_records_and_none_is_lost(plain):
    for path in astm_files():
        it = plain(GENERIC)
        it.send(path.read_bytes())
        it.lose()
        reading = lis02.read(it.text)
        records = [*reading.stray, *(r for m in reading.messages for r in m.records)]
        assert b"".join(r.raw for r in records) == it.text.replace(b"\r", b"").replace(b"\n", b"").strip(), path.name
        assert not [r for r in records if r.undecodable], path.name
        assert all(m.terminated for m in reading.messages), path.name


def test_frames_without_number_and_checksum_are_refused_by_the_book_and_read_in_their_own_dialect(plain):
    for name in [p for p in astm_files() if p.name.startswith("maglumi")]:
        book, own = plain(), plain(lis01.Dialect(checksum="none", frame_number="none", trailer="any"))
        for it in (book, own):
            it.send(name.read_bytes())
            it.lose()
        assert book.names.count("Refused(no-checksum)") == 4
        assert [len(m.records) for m in lis02.read(own.text).messages] == [7, 7, 7, 7]


def test_a_gs_chunk_of_a_real_record_verifies(plain):
    for path in [p for p in astm_files() if p.name == "mini_vidas.txt"]:
        it = plain(lis01.Dialect(checksum="gs_hex", frame_number="none", trailer="any"))
        it.send(b"\x05" + path.read_bytes())
        it.lose()
        assert it.names == ["Opened", "FrameReceived", "Closed(link)"]


def test_flipped_bits_of_real_frames_are_never_data(plain):
    """Every eighth byte's eight bits of the first frames of each framed file, in the wrong and the right dialect."""
    for name in index():
        data = (CAPTURES / name).read_bytes()[:3000]
        whole = plain(GENERIC)
        whole.send(data)
        texts = {f.text for f in whole.frames}
        for at in range(0, len(data), 8):
            for bit in range(8):
                it = plain(GENERIC)
                it.send(data[:at] + bytes((data[at] ^ 1 << bit,)) + data[at + 1 :])
                assert {f.text for f in it.frames} <= texts, (name, at, bit)
