"""A salvage from beginning to end: evidence, reading, judging, a new store, its place.

Promised: until everything is in its place the damaged files are all there is, untouched, and no agent starts; what is
put in place passed the check of every start. The new store takes a new identity at that start (``store/identity.py``).
What is not known to be filed goes out again with the id and bytes it had, so that the management system recognises it:
rather twice under one id than never. Not promised: what cannot be read; ``Loss`` names it.
"""

import os
import sqlite3
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from edge_agent.backup.room import refuse_full
from edge_agent.clock import Clock
from edge_agent.errors import AgentError
from edge_agent.owner import as_owner
from edge_agent.salvage import found
from edge_agent.salvage.evidence import Evidence
from edge_agent.salvage.image import Image
from edge_agent.salvage.judgement import Judgement
from edge_agent.salvage.loss import Carried, Loss
from edge_agent.salvage.rebuilding import counts, rebuild, tell
from edge_agent.salvage.reckoning import reckon
from edge_agent.salvage.told import Chain, listen
from edge_agent.store import backup, facts, schema, soundness
from edge_agent.store.connection import Database
from edge_agent.store.directory import DirectoryLock, database_files
from edge_agent.store.identity import FILE, ended_well, name_in, read_witness

_UNKNOWN = "00000000"  # the identity of a store that cannot say it any more


@dataclass(frozen=True, slots=True)
class Salvaged:
    data_dir: Path
    evidence: Path
    sums: dict[str, str]  # file -> SHA-256
    identity: str  # the damaged store's
    broke: datetime  # when it was last written
    loss: Loss
    carried: Carried


class Salvaging:
    def __init__(self, data_dir: Path, analysers: Collection[str], clock: Clock) -> None:
        """``analysers``: the configured ones. Touches nothing."""
        self._data_dir = data_dir
        self._analysers = analysers
        self._clock = clock

    def needed(self) -> int:
        """Bytes that have to be free: for what is read, and for the new store.

        Raises AgentError where there is nothing to salvage.
        """
        folders = (self._data_dir, Evidence(self._data_dir, self._clock.now()).folder)
        files = [path for folder in folders for path in (*database_files(folder), folder / FILE) if path.exists()]
        if not files:
            raise AgentError(
                f"There is no store in {self._data_dir}.",
                code="salvage-nothing",
                action="Nothing was done. Name the right configuration with --config.",
            )
        return 2 * sum(path.stat().st_size for path in files)

    def salvage(self) -> Salvaged:
        """Raises AgentError (StoreLockedError while an agent runs, StoreTooNewError)."""
        needed = self.needed()
        with as_owner(self._data_dir):
            lock = DirectoryLock(self._data_dir)
            try:
                refuse_full(self._data_dir, needed)
                with _image(self._data_dir) as image:
                    found.version_of(image)  # a newer agent's store is not ours to touch
                return self._salvage()
            except OSError as error:
                raise _failed(os.strerror(error.errno or 0)) from error
            except sqlite3.Error as error:
                raise _failed(str(error)) from error
            finally:
                lock.release()

    def _salvage(self) -> Salvaged:
        evidence = Evidence(self._data_dir, self._clock.now())
        sums = evidence.secure()
        broke = max(path.stat().st_mtime for path in evidence.folder.iterdir())
        damaged = _Damaged(evidence, self._analysers, datetime.fromtimestamp(broke, UTC))
        work = evidence.work_folder()
        damaged.read(work / "found.db")
        database = Database(work, self._clock)
        database.open()
        try:
            damaged.carry_into(database, work / "found.db")
        finally:
            database.close()
        backup.examine(work, self._clock, keep=True)
        evidence.put_in_place(database.path, damaged.since)
        return Salvaged(
            self._data_dir, evidence.folder, sums, damaged.identity, damaged.broke, damaged.loss, damaged.carried
        )


class _Damaged:
    """The damaged store, read and judged."""

    def __init__(self, evidence: Evidence, analysers: Collection[str], broke: datetime) -> None:
        self.broke = broke
        self.loss = Loss()
        self.carried = Carried()
        self.identity = ""
        self._evidence = evidence
        self._analysers = analysers
        self._version = 0
        self._chain = Chain()
        self._anew = False  # the audit chain tells of rows that are lost or were mended, so it begins anew

    def read(self, file: Path) -> None:
        with _image(self._evidence.folder) as image:
            self._version = found.version_of(image)
            scratch = found.Scratch(file, self._version)
            try:
                spoiled = found.read(image, scratch)
                self.loss.frames = image.lost_frames
                self.loss.pages = sum(map(len, spoiled.pages.values())) + len(spoiled.homeless)
                self.loss.identities = "seen" in spoiled.pages or bool(spoiled.homeless)
                self._judge(scratch.connection, {*spoiled.pages, *([""] if spoiled.homeless else [])})
            finally:
                scratch.close()

    def _judge(self, connection: sqlite3.Connection, spoiled: Collection[str]) -> None:
        facts_lost = _without_spoiled_facts(connection)
        read = counts(connection)
        self._recognise(connection)
        self._chain = listen(connection)
        judgement = Judgement(
            connection,
            self._chain,
            self.loss,
            current=self._version == schema.migrations()[-1][0],
            noted=not (self.loss.commits or self.loss.frames) and ended_well(self._evidence.identity, self.identity),
        )
        judgement.run()
        self.carried = judgement.carried
        unharmed = not (spoiled or facts_lost or self.loss.frames)
        whole = self._chain.whole and unharmed and counts(connection) == read
        self._anew = not whole or judgement.mended or bool(self.carried.reread or self.carried.rebuilt)
        self.carried.read = read
        reckon(connection, self._chain, spoiled, self.loss, self._analysers, self.broke)

    def _recognise(self, connection: sqlite3.Connection) -> None:
        """Who it is, and how many commits the directory knows of that it does not have."""
        said = dict(connection.execute("SELECT name, value FROM fact WHERE name IN ('identity', 'commits')"))
        self.identity = said.get("identity") or name_in(self._evidence.identity) or _UNKNOWN
        witness = read_witness(self._evidence.witness)
        if witness is not None and witness[0] == self.identity:
            number = said.get("commits", "0").partition(" ")[0]
            self.loss.commits = max(witness[1] - int(number), 0)

    def carry_into(self, database: Database, scratch: Path) -> None:
        chain, anew = self._chain, self._anew or bool(self.loss)
        self.carried.rows = rebuild(database, scratch, self._version, self.identity, anew=anew)
        tell(database, self._facts(), chain, anew=anew)
        soundness.check(database)

    @property
    def since(self) -> datetime:
        """Results after it may be missing."""
        return min((one.since for one in self.loss.resend if one.since), default=self.broke)

    def _facts(self) -> dict[str, str]:
        told: dict[str, object] = {
            "evidence": self._evidence.folder.name,
            "identity": self.identity,
            "head": f"{self._chain.head} {self._chain.head_hash}",
            "again": self.carried.again,
            "reread": self.carried.reread,
            "missing_transmissions": len(self.loss.transmissions),
            "missing_messages": len(self.loss.messages),
            **{f"kept_{table}": count for table, count in self.carried.rows.items()},
        }
        return {name: str(value) for name, value in told.items()}


def _without_spoiled_facts(connection: sqlite3.Connection) -> bool:
    """Whether there were any: with them a store would not start, and nobody can say what they were."""
    names = facts.spoiled(connection.execute("SELECT name, value FROM fact").fetchall())
    connection.executemany("DELETE FROM fact WHERE name = ?", [(name,) for name in names])
    return bool(names)


def _image(folder: Path) -> Image:
    database, log, _ = database_files(folder)
    return Image(database, log)


def _failed(why: str) -> AgentError:
    return AgentError(
        f"The store was not salvaged: {why}.",
        code="salvage-failed",
        action="Nothing of the damaged store is lost: its files are where they were or in evidence-... of the data "
        "directory. Put right what it says and run `edge-agent salvage` again; it goes on where it was.",
    )
