"""What is read from the disk, and texts of persons: each file may be anything."""

import io
import json
import logging
import sqlite3
import struct
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, closing, suppress
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import Any

from drivers.errors import ProfileError
from drivers.sdk import FOLDERS, SHIPPED, load
from edge_agent import logs
from edge_agent.backup.archive import Counts, FileFacts, Manifest, Member, NotABackupError, facts_of, verified, write
from edge_agent.clock import SystemClock
from edge_agent.configuration.file import data_dir_of
from edge_agent.configuration.file import load as load_settings
from edge_agent.errors import AgentError, ConfigurationError
from edge_agent.pins import pin_of
from edge_agent.publisher.options import BrokerUrlError, broker
from edge_agent.store.errors import StoreCorruptError
from edge_agent.store.identity import FILE, WITNESS, Identity
from edge_agent.store.wal import Log, read_log
from edge_agent.transport.errors import PortUrlError
from edge_agent.transport.port_url import parse

ROOT = Path(__file__).parents[3]
TOML_WORDS = (
    *(b"[", b"]", b"[[", b"]]", b"=", b'"', b"'''", b"\n", b"#", b"\\u0000", b"{", b"}", b",", b".", b"true", b"nan"),
    *(b"inf", b"0x", b"1" * 5000, b"[" * 400, b"1979-05-27T07:32:00Z", b"a.b.c = 1", b"\xff", b"\xef\xbb\xbf", b"-1"),
    *(b"[agent]\n", b"[mqtt]\n", b"[[analyser]]\n", b"site = ", b"urls = ", b"transport = ", b"peer = ", b"links = "),
)
PROFILE_WORDS = (
    *(b"[link]\n", b"[text]\n", b"[records]\n", b"[[test]]\n", b"[result]\n", b"[[select]]\n", b"[[recognise]]\n"),
    *(b"path = ", b"pattern = ", b'"(a+)+$"', b'"R.4[2].1"', b"source = ", b"charset = ", b"code = ", *TOML_WORDS),
)
URL_WORDS = (
    *(b"tcp-server://", b"tcp-client://", b"serial://", b"rfc2217://", b"mqtt://", b"mqtts://", b":", b"@", b"[::1]"),
    *(b"[", b"]", b"/", b"?", b"#", b"&", b"=", b"%2f", b"%00", b"baudrate=", b"parity=", b"65536", b"9" * 5000),
    *(b"\n", b"\t", b"\xff", "ⅷ".encode(), "①".encode()),
)
TAR_WORDS = (
    b"x",
    b"L",
    b"S",
    b"g",
    b"ustar\x0000",
    b"\0" * 512,
    b"manifest.json",
    b"../",
    b"agent.db",
    b"\x80\xff",
    b"9" * 12,
)
TEXT_WORDS = tuple(chr(n).encode() for n in (0, 8, 10, 13, 27, 0x7F, 0x85, 0x9B, 0x2028, 0x202E, 0xFEFF, 0xE0001))


def _in(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def _reasoned(texts: Sequence[str]) -> None:
    assert texts, "refused without a reason"
    assert all(texts)


def configuration(folder: Path, _stack: ExitStack) -> Callable[[bytes], None]:
    """A configuration file: Settings, or every mistake with its line."""

    def run(data: bytes) -> None:
        path = _in(folder / "edge-agent.toml", data)
        for read in (load_settings, data_dir_of):
            try:
                read(path)
            except ConfigurationError as error:
                _reasoned([problem.text for problem in error.problems])

    return run


def configurations() -> list[bytes]:
    shipped = (ROOT / "config" / "edge-agent.toml").read_bytes()
    small = b'[agent]\nsite = "s"\ngateway = "g"\n[mqtt]\nurls = ["mqtt://b"]\n'
    one = b'[[analyser]]\nid = "a"\nprofile = "lis02_generic"\n'
    one += b'transport = "tcp-server://0.0.0.0:5000"\npeer = "10.0.0.0/8"\n'
    return [small, small + one, small + one + one.replace(b'"a"', b'"b"'), shipped]


def profile(folder: Path, _stack: ExitStack) -> Callable[[bytes], None]:
    """A site's override: refused as a whole, or a device that works without further checks."""
    text = b"H|\\^&\rP|1\rO|1|S1||^^^GLU\rR|1|^^^GLU|5.1|g/L|1 to 2|N||F||kim||20240612\rC|1|I|note|G\rL|1|N\r"

    def run(data: bytes) -> None:
        _in(folder / "lis02_generic.toml", data)
        try:
            device = load("lis02_generic", folder)
        except ProfileError as error:
            _reasoned(error.problems)
            return
        assert len(device.hash) == 64
        device.dialect()
        device.coding()
        device.read(text)

    return run


def profiles() -> list[bytes]:
    return [(FOLDERS / name / "profile.toml").read_bytes() for name in SHIPPED] + [b'[text]\ncharset = "latin-1"\n']


def pin(folder: Path, _stack: ExitStack) -> Callable[[bytes], None]:
    """A pinned profile: a device that works, none, or `pin`."""

    def run(data: bytes) -> None:
        _in(folder / "an1.json", data)
        try:
            device = pin_of(folder, "an1", "lis02_generic")
        except AgentError as error:
            _reasoned([error.sentence] if error.code == "pin" else [])
            return
        if device is not None:
            assert len(device.hash) == 64
            device.dialect()
            device.read(b"H|\\^&\rP|1\rO|1|S1\rR|1|^^^A|1\rL|1\r")

    return run


def pins() -> list[bytes]:
    found = []
    for name in SHIPPED:
        device = load(name)
        found.append(f"lis02_generic\n{device.profile.model_dump_json()}".encode())
        found.append(f"lis02_generic\n{device.profile.model_dump_json(exclude_unset=True)}".encode())
    return found


def identity(folder: Path, _stack: ExitStack) -> Callable[[bytes], None]:
    """What lies beside the database, read before anything is written: usable, absent, or the database is damaged."""
    facts = {"identity": "TESTSTOR", "last_id": "7", "commits": "9 1718161200000000"}
    database: Any = SimpleNamespace(data_dir=folder, fact=lambda name: facts.get(name, ""))

    def run(data: bytes) -> None:
        text, _, witness = data.partition(b"\x1e")
        _in(folder / FILE, text)
        _in(folder / WITNESS, witness)
        with suppress(StoreCorruptError):
            Identity(database).examine(Log(rest=True))

    return run


def identities() -> list[bytes]:
    known = json.dumps({"identity": "TESTSTOR", "reserved": 7, "promised": 1007}).encode()
    return [known, known + b"\x1eTESTSTOR %020d %020d\n" % (9, 1718161200000000), known.replace(b"7", b"9")]


def backup(folder: Path, _stack: ExitStack) -> Callable[[bytes], None]:
    """An archive: what its manifest says, under names that lead nowhere else, or no backup."""

    def take(name: str, content: Iterable[bytes]) -> None:
        path = PurePosixPath(name)
        assert not path.is_absolute(), "a name that leads elsewhere"
        assert ".." not in path.parts
        for _ in content:
            pass

    def run(data: bytes) -> None:
        path = _in(folder / "b.tar", data)
        with suppress(NotABackupError):
            verified(path, take)

    return run


def backups() -> list[bytes]:
    content = b"SQLite format 3\0" + bytes(1000)
    with tempfile.TemporaryDirectory() as folder:
        facts = facts_of(_in(Path(folder) / "agent.db", content))
    manifest = _manifest({"agent.db": facts})
    whole = io.BytesIO()
    write(whole, manifest, [Member("agent.db", len(content), [content])])
    return [whole.getvalue()[:6144], *_odd_tars(manifest.encode())]


def _odd_tars(manifest: bytes) -> list[bytes]:
    """With long names, extended headers and holes."""
    found = []
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=form) as tar:
            for name, content in (("manifest.json", manifest), ("n" * 200, b"x"), ("é" * 60, b"y")):
                info = tarfile.TarInfo(name)
                info.size = len(content)
                if form == tarfile.PAX_FORMAT:
                    info.pax_headers = {"GNU.sparse.map": "0,1", "GNU.sparse.size": "1", "hdrcharset": "BINARY"}
                tar.addfile(info, io.BytesIO(content))
        found.append(out.getvalue()[:6144])
    return found


def _manifest(files: dict[str, FileFacts]) -> Manifest:
    return Manifest(
        made=SystemClock().now(),
        online=True,
        agent="0",
        sqlite="3",
        store_schema=1,
        site="s",
        gateway="g",
        identity="TESTSTOR",
        newest=None,
        audit_entry=1,
        audit_hash="00",
        counts=Counts(messages={}, held=0, failed=0, unconverted=0),
        files=files,
    )


def log(folder: Path, _stack: ExitStack) -> Callable[[bytes], None]:
    """A write-ahead log, as it is and with a header whose checksum is right."""

    def run(data: bytes) -> None:
        for content in (data, _with_right_sum(data)):
            found = read_log(_in(folder / "agent.db-wal", content))
            assert isinstance(found, Log)

    return run


def _with_right_sum(data: bytes) -> bytes:
    """walformat.html: the checksum of the first 24 bytes of the header."""
    if len(data) < 32:
        return data
    head = struct.pack(">I", 0x377F0682) + data[4:24]
    s0 = s1 = 0
    words = struct.unpack("<6I", head)
    for x0, x1 in zip(words[::2], words[1::2], strict=True):
        s0 = (s0 + x0 + s1) & 0xFFFFFFFF
        s1 = (s1 + x1 + s0) & 0xFFFFFFFF
    return head + struct.pack(">2I", s0, s1) + data[32:]


def written_logs() -> list[bytes]:
    """By SQLite itself."""
    with tempfile.TemporaryDirectory() as folder, closing(sqlite3.connect(Path(folder) / "a.db")) as database:
        database.execute("PRAGMA page_size = 512")
        database.execute("PRAGMA journal_mode = WAL")
        for number in range(3):
            database.execute(f"CREATE TABLE t{number} (a)")
        database.commit()
        return [(Path(folder) / "a.db-wal").read_bytes()[:4096]]


def url(data: bytes) -> None:
    """The URL of a port, and that of a broker."""
    text = data.decode("utf-8", "replace")
    with suppress(PortUrlError):
        parse(text)
    with suppress(BrokerUrlError):
        broker(text)


def urls() -> list[bytes]:
    return [
        b"tcp-server://0.0.0.0:5600",
        b"tcp-client://[fe80::1%25eth0]:4001",
        b"serial:///dev/ttyUSB0?baudrate=9600&parity=E&stopbits=1.5",
        b"rfc2217://10.0.0.9:4001?rtscts=1",
        b"mqtts://broker.example:8883",
    ]


def line(data: bytes) -> None:
    """A line of the log, in both forms: one line, nothing in it that a terminal obeys, and JSON reads it back."""
    text = data.decode("utf-8", "surrogateescape")
    record = logging.LogRecord("edge_agent.link", logging.WARNING, "", 0, "%s", (text,), None)
    plain = logs._OneLine("%(levelname)s %(message)s").format(record)
    written = logs._JsonLine().format(record)
    assert (plain + written).isprintable(), "a control character stands in the log"
    assert json.loads(written)["message"] == text, "the log says something else"
