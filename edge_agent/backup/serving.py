"""The running agent's part of a backup: it copies and checks its store in its own directory and sends the files.

Only the agent may open the database, and as a service it may write nowhere but its data directory; so the command that
asked writes the backup's file, as the person who runs it. Promised: analysers are served between the steps of the copy;
what is sent was checked; the copy goes away afterwards, whatever happens, or at the next start. Not promised: that what
was sent arrived: the command checks that, and only what it then reports is written to the audit chain.
"""

import asyncio
import contextlib
import os
import threading
from collections.abc import AsyncGenerator, Awaitable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from edge_agent.backup.archive import blocks
from edge_agent.backup.contents import Contents, contents
from edge_agent.backup.room import refuse_full
from edge_agent.clock import Clock
from edge_agent.configuration.file import resolve
from edge_agent.control import Answer, Part, Stream, user
from edge_agent.errors import AgentError
from edge_agent.settings import Settings
from edge_agent.store import backup
from edge_agent.store.directory import forget_unfinished
from edge_agent.store.disk import MB
from edge_agent.store.errors import BackupError
from edge_agent.store.store import Store
from edge_agent.store.thread import StoreThread

T = TypeVar("T")

_TELL_S = 0.5
_LONGEST_NAME = 300


@dataclass(slots=True)
class _Course:
    """How far a backup has come; written by the store's thread."""

    done: int = 0
    of: int = 0

    def told(self, done: int, of: int) -> None:
        self.done, self.of = done, of


class Backups:
    def __init__(self, config: Path, settings: Settings, store: StoreThread, clock: Clock) -> None:
        self._config = config
        self._settings = settings
        self._data_dir = resolve(config, settings.agent.data_dir)
        self._store = store
        self._clock = clock
        self._busy = False
        self._sent: dict[str, Contents] = {}  # by the database's digest

    def answers(self) -> Mapping[str, Answer | Stream]:
        return {"backup": self.backup, "backup-done": self.done}

    async def backup(self, request: Mapping[str, Any]) -> AsyncGenerator[Part, None]:
        """What it comes to, how far it is, the manifest, then each file's name and bytes."""
        if self._busy:
            raise AgentError("A backup is being made already.", code="backup-running", action="Wait for its end.")
        self._busy, given_up = True, threading.Event()
        try:
            size = await self._do(backup.size)
            refuse_full(self._data_dir, size + self._settings.store.low_water_mb * MB)
            yield {"size": size}
            async with contextlib.aclosing(self._made(given_up)) as parts:
                async for part in parts:
                    yield part
        except OSError as error:
            raise BackupError(os.strerror(error.errno or 0)) from error
        finally:
            given_up.set()
            try:
                await asyncio.shield(asyncio.to_thread(forget_unfinished, self._data_dir))
            finally:
                self._busy = False  # only now: the next backup makes its copy in the same place

    async def done(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """The command has the file whole and in its place."""
        digest, name = str(request.get("database")), str(request.get("file"))[:_LONGEST_NAME]
        sent = self._sent.pop(digest, None)
        if sent is None:
            raise AgentError("The agent sent no such backup.", code="usage", action="Make the backup again.")
        who = await asyncio.to_thread(user, int(request["uid"]))
        facts = {"who": who, "database": digest, "identity": sent.manifest.identity}
        made = sent.manifest.made
        await self._do(lambda s: backup.note(s, name, made, facts))
        return {}

    async def _made(self, given_up: threading.Event) -> AsyncGenerator[Part, None]:
        folder, course, made = backup.begin(self._data_dir), _Course(), self._clock.now()
        copying = asyncio.wrap_future(self._store.stepwise(_copying(folder, course, given_up)))
        async for part in _meanwhile(copying, "copying", course, given_up):
            yield part
        checking = asyncio.ensure_future(asyncio.to_thread(self._checked, folder, made, given_up))
        async for part in _meanwhile(checking, "checking", _Course(), given_up):
            yield part
        made_of = checking.result()
        self._sent = {made_of.manifest.files["agent.db"].sha256: made_of}
        yield {"manifest": made_of.manifest.model_dump(mode="json")}
        for name, path in made_of.places.items():
            yield {"file": name}
            content = blocks(path)
            while block := await asyncio.to_thread(next, content, b""):
                yield block

    def _checked(self, folder: Path, made: datetime, given_up: threading.Event) -> Contents:
        facts = backup.examine(folder, self._clock, given_up.is_set)
        return contents(folder, facts, self._config, self._settings, made, online=True)

    async def _do(self, job: Any) -> Any:
        return await asyncio.wrap_future(self._store.later(job))


def _copying(folder: Path, course: _Course, given_up: threading.Event) -> Any:
    def job(store: Store, serve: backup.Nothing) -> None:
        def between() -> None:
            if given_up.is_set():
                raise BackupError("the command that asked for it went away")
            serve()

        backup.copy(store, folder, between, course.told)

    return job


async def _meanwhile(
    work: Awaitable[T], step: str, course: _Course, given_up: threading.Event
) -> AsyncGenerator[Part, None]:
    """Say how far it is until it is done. Raises what the work raised.

    Whoever stops listening has the work given up, and waits for its end: it must not meet the next backup's files.
    """
    running = asyncio.ensure_future(work)
    try:
        while not running.done():
            yield {"step": step, "done": course.done, "of": course.of}
            await asyncio.wait({running}, timeout=_TELL_S)
        await running
    finally:
        if not running.done():
            given_up.set()
            await asyncio.wait({running})
            running.exception()
