"""A backup as one file: a plain tar with ``manifest.json`` first, which names every other file with its SHA-256.

Promised: ``verified`` reads every byte, and takes only what the manifest names, with the digest it names, under names
that lead nowhere else; a file that is cut short, changed or added to is refused. Not promised: that nobody wrote
another manifest; keep backups where only those may write who may write results.
"""

import hashlib
import io
import re
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import IO, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from edge_agent.errors import AgentError

MANIFEST = "manifest.json"
DATABASE = "agent.db"
LEFT_OUT = ("private keys", "password files", "certificates")
_LONGEST_MANIFEST = 1024 * 1024
_BLOCK = 256 * 1024
_PLACES = ("profiles", "config")
# tarfile lets the others out: for numbers in a header that are none or that no file can have, for a header that is cut
# off, and for more headers before one file than it can go through.
_NOT_A_TAR = (tarfile.TarError, EOFError, LookupError, OverflowError, RecursionError, ValueError)
_PLAIN = (tarfile.REGTYPE, tarfile.AREGTYPE)

Take = Callable[[str, Iterable[bytes]], None]


class NotABackupError(AgentError):
    def __init__(self, why: str) -> None:
        super().__init__(
            f"This file cannot be used as a backup: {why}.",
            code="backup-damaged",
            action="Use another backup; nothing was changed.",
        )


class FileFacts(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    size: int
    sha256: str


class Counts(BaseModel):
    """Of the copied database."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    messages: dict[str, int]
    held: int
    failed: int
    unconverted: int


class Manifest(BaseModel):
    """What a backup is, in ``manifest.json``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    made: datetime
    online: bool  # by the running agent
    agent: str
    sqlite: str
    store_schema: int
    site: str
    gateway: str
    identity: str
    newest: datetime | None  # the last commit in it
    audit_entry: int
    audit_hash: str
    counts: Counts
    left_out: tuple[str, ...] = LEFT_OUT
    files: dict[str, FileFacts]

    def encode(self) -> bytes:
        return self.model_dump_json(indent=2).encode()

    @property
    def bytes(self) -> int:
        return sum(file.size for file in self.files.values())


@dataclass(frozen=True, slots=True)
class Member:
    name: str
    size: int
    content: Iterable[bytes]


def file_name(gateway: str, made: datetime) -> str:
    return f"edge-agent-{gateway}-{made:%Y%m%dT%H%M%SZ}.tar"


def of_gateway(name: str, gateway: str) -> bool:
    """Whether ``name`` is one that ``file_name`` gives."""
    return re.fullmatch(rf"edge-agent-{re.escape(gateway)}-\d{{8}}T\d{{6}}Z\.tar", name) is not None


def blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            yield block


def facts_of(path: Path) -> FileFacts:
    digest, size = hashlib.sha256(), 0
    for block in blocks(path):
        digest.update(block)
        size += len(block)
    return FileFacts(size=size, sha256=digest.hexdigest())


def write(file: IO[bytes], manifest: Manifest, members: Iterable[Member]) -> None:
    """The whole archive. Raises OSError, also when a member is shorter than it said."""
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        text = manifest.encode()
        for member in chain((Member(MANIFEST, len(text), [text]),), members):
            info = tarfile.TarInfo(member.name)
            info.size, info.mode, info.mtime = member.size, 0o600, int(manifest.made.timestamp())
            tar.addfile(info, io.BufferedReader(_Reader(member.content)))


class _Reader(io.RawIOBase):
    """A file made of blocks."""

    def __init__(self, content: Iterable[bytes]) -> None:
        self._content = iter(content)
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # typeshed's WriteableBuffer
        while not self._rest:
            block = next(self._content, None)
            if block is None:
                return 0
            self._rest = memoryview(block)
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


def verified(path: Path, take: Take | None = None) -> Manifest:
    """Read everything, giving each file to ``take``. Raises NotABackupError; what was taken is worth nothing then."""
    try:
        with _plain_file(path) as file, tarfile.open(fileobj=file, mode="r:") as tar:
            manifest = _manifest(tar)
            left = dict(manifest.files)
            while (member := tar.next()) is not None:
                _check(tar, member, left.pop(member.name, None), take)
    except OSError as error:
        raise NotABackupError(error.strerror or "it cannot be read") from error
    except _NOT_A_TAR as error:
        raise NotABackupError("it is not a whole tar file") from error
    if left:
        raise NotABackupError(f"{min(left)} is missing")
    return manifest


def _plain_file(path: Path) -> IO[bytes]:
    if path.exists() and not path.is_file():  # a pipe would wait for ever
        raise NotABackupError("it is no plain file")
    return path.open("rb")


def _manifest(tar: tarfile.TarFile) -> Manifest:
    first = tar.next()
    file = tar.extractfile(first) if first and first.name == MANIFEST and _is_whole(first) else None
    if first is None or file is None or first.size > _LONGEST_MANIFEST:
        raise NotABackupError("it does not begin with a manifest")
    try:
        manifest = Manifest.model_validate_json(file.read())
    except ValidationError:
        raise NotABackupError("its manifest is not one this version knows") from None
    if DATABASE not in manifest.files or not all(map(_is_plain, manifest.files)):
        raise NotABackupError("its manifest names no database, or names that are not allowed")
    return manifest


def _is_plain(name: str) -> bool:
    """A file of its own or in one of two folders, and nowhere else."""
    path = PurePosixPath(name)
    inside = len(path.parts) == 1 or path.parts[0] in _PLACES
    return name == str(path) and name.isprintable() and inside and not path.is_absolute() and ".." not in path.parts


def _check(tar: tarfile.TarFile, member: tarfile.TarInfo, wanted: FileFacts | None, take: Take | None) -> None:
    file = tar.extractfile(member) if wanted is not None and _is_whole(member) else None
    if wanted is None or file is None or member.size != wanted.size:
        raise NotABackupError(f"{member.name!a} is not as its manifest says")
    digest = hashlib.sha256()

    def counted() -> Iterator[bytes]:
        while block := file.read(_BLOCK):
            digest.update(block)
            yield block

    if take is None:
        for _ in counted():
            pass
    else:
        take(member.name, counted())
    if digest.hexdigest() != wanted.sha256:
        raise NotABackupError(f"{member.name!a} is not as its manifest says")


def _is_whole(member: tarfile.TarInfo) -> bool:
    """A plain file with all its bytes in the archive: one with holes says a size that no disk has to have."""
    return member.type in _PLAIN and not member.issparse()


def sources(manifest: Manifest, places: Mapping[str, Path]) -> Iterator[Member]:
    """The manifest's files as they lie on the disk."""
    for name, facts in manifest.files.items():
        yield Member(name, facts.size, blocks(places[name]))
