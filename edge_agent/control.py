"""The local socket the other commands use: one JSON line in, one JSON line out.

An answer that takes long or brings files is a stream: ``{"ok": true, "part": ...}`` lines, bytes behind a line that
says how many, and ``{"ok": true, "end": true}`` last, so that one cut short is never taken for whole.

Who asks is what the kernel says of the connection (unix(7), SO_PEERCRED), never what the line says: the answers find
the user id under ``uid``. Only this machine's users who may open the socket (0660, group ``edge-agent`` where that
group exists) can ask. The running agent alone reads the store; commands never open its files (design invariant 8).
"""

import asyncio
import contextlib
import grp
import json
import logging
import os
import pwd
import socket
import stat
import struct
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from edge_agent.errors import AgentError, ConfigurationError, NotRunningError, Problem

log = logging.getLogger(__name__)

Answer = Callable[[Mapping[str, Any]], Awaitable[Any]]
Part = Mapping[str, Any] | bytes
Stream = Callable[[Mapping[str, Any]], AsyncGenerator[Part, None]]
GROUP = "edge-agent"
_LONGEST_REQUEST = 64 * 1024
_PATIENCE_S = 30
_LAST_ANSWERS_S = 1.0
_UCRED = struct.Struct("3i")
# What a defect in an answer raises: the one who asked is told, everybody else is served on.
_DEFECTS = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


def socket_path(data_dir: Path) -> Path:
    return data_dir / "control.sock"


class ControlServer:
    """Answers ``{"ask": name, ...}`` from a table of functions."""

    def __init__(self, path: Path, answers: Mapping[str, Answer | Stream]) -> None:
        self._path = path
        self._answers = answers
        self._server: asyncio.AbstractServer | None = None
        self._serving: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        # The data directory's lock is ours, so a socket file that is there was left by a dead agent.
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, self._path, limit=_LONGEST_REQUEST)
        self._path.chmod(0o660)
        with contextlib.suppress(KeyError, PermissionError):
            self._let_in(grp.getgrnam(GROUP).gr_gid)

    def _let_in(self, group: int) -> None:
        """The group may use the socket and pass through its directory, not list it; every other file there is 0600."""
        folder = self._path.parent
        _give(self._path, group)
        _give(folder, group)
        folder.chmod(folder.stat().st_mode | stat.S_IXGRP)

    async def stop(self) -> None:
        """Answers under way may end; a stream that takes longer is given up."""
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)
        if self._serving:
            _, left = await asyncio.wait(self._serving, timeout=_LAST_ANSWERS_S)
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (task := asyncio.current_task()) is not None:
            self._serving.add(task)
            task.add_done_callback(self._serving.discard)
        try:
            async with contextlib.aclosing(self._replies(reader, _uid(writer))) as replies:
                async for reply in replies:
                    writer.write(reply)
                    await writer.drain()
        except ConnectionError:
            log.info("A command went away before it had its answer")
        finally:
            writer.close()

    async def _replies(self, reader: asyncio.StreamReader, uid: int) -> AsyncGenerator[bytes, None]:
        try:
            answer, request = await self._asked(reader)
            answered = answer({**request, "uid": uid})
            if isinstance(answered, AsyncGenerator):
                async with contextlib.aclosing(answered) as parts:
                    async for part in _framed(parts):
                        yield part
            else:
                yield _line({"ok": True, "result": await answered})
        except AgentError as error:
            yield _line(_failure(error))
        except _DEFECTS as error:
            # The error's own words may quote a patient's data.
            log.error("A command could not be answered: %s", type(error).__name__)
            yield _line(_failure(_CANNOT_ANSWER))

    async def _asked(self, reader: asyncio.StreamReader) -> tuple[Answer | Stream, Mapping[str, Any]]:
        try:
            request = json.loads(await reader.readline())  # ValueError, too, where it is longer than a request can be
            json.dumps(request, ensure_ascii=False).encode()  # half a surrogate pair can be stored nowhere
            return self._answers[request["ask"]], request
        except (ValueError, KeyError, TypeError, RecursionError):
            raise AgentError("The agent does not know this command.", code="usage", action="Update both.") from None


def _line(reply: Mapping[str, Any]) -> bytes:
    return json.dumps(reply).encode() + b"\n"


async def _framed(parts: AsyncIterator[Part]) -> AsyncGenerator[bytes, None]:
    async for part in parts:
        if isinstance(part, bytes):
            yield _line({"ok": True, "bytes": len(part)}) + part
        else:
            yield _line({"ok": True, "part": part})
    yield _line({"ok": True, "end": True})


def _uid(writer: asyncio.StreamWriter) -> int:
    """Of the process at the other end when it connected (struct ucred: pid, uid, gid)."""
    credentials = writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    _, uid, _ = _UCRED.unpack(credentials)
    return int(uid)


def user(uid: int) -> str:
    """The name of a user of this machine; ``uid 1234`` where it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def _give(path: Path, group: int) -> None:
    """What has the group already is left alone: the service may not call chown at all."""
    if path.stat().st_gid != group:
        os.chown(path, -1, group)


_CANNOT_ANSWER = AgentError(
    "The agent could not answer this.",
    code="internal",
    action="Report it with the agent's log; results are not touched.",
)


def _failure(error: AgentError) -> dict[str, Any]:
    reply = {"ok": False, "sentence": error.sentence, "code": error.code, "action": error.action}
    if isinstance(error, ConfigurationError):
        reply["problems"] = [[str(p.file), p.line, p.key, p.text] for p in error.problems]
    return reply


def ask(data_dir: Path, name: str, **arguments: object) -> Any:
    """Ask the running agent. Raises NotRunningError, or AgentError (ConfigurationError) as the agent said it."""
    with _asking(socket_path(data_dir), name, arguments) as answers:
        return _good(json.loads(answers.read()))["result"]


def follow(data_dir: Path, name: str, **arguments: object) -> Iterator[Part]:
    """A stream's parts as they come. Raises as ``ask`` does, also when it ends before its end."""
    with _asking(socket_path(data_dir), name, arguments) as answers:
        while "end" not in (reply := _good(json.loads(answers.readline()))):
            if "bytes" in reply:
                part = answers.read(reply["bytes"])
                if len(part) < reply["bytes"]:
                    raise ValueError("cut short")
                yield part
            else:
                yield reply["part"]


def _good(reply: Mapping[str, Any]) -> Mapping[str, Any]:
    if problems := reply.get("problems"):
        raise ConfigurationError([Problem(Path(file), line, key, text) for file, line, key, text in problems])
    if not reply["ok"]:
        raise AgentError(reply["sentence"], code=reply["code"], action=reply["action"])
    return reply


@contextlib.contextmanager
def _asking(path: Path, name: str, arguments: Mapping[str, object]) -> Iterator[BinaryIO]:
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_PATIENCE_S)
            connection.connect(os.fspath(path))
            connection.sendall(json.dumps({"ask": name, **arguments}).encode() + b"\n")
            with connection.makefile("rb") as answers:
                yield answers
    except PermissionError as error:
        raise AgentError(
            f"You may not open {path}.", code="permission", action=f"Run as a member of the group {GROUP}, or as root."
        ) from error
    except TimeoutError as error:
        raise AgentError(
            f"The agent did not answer within {_PATIENCE_S} s.",
            code="no-answer",
            action="Look at its log and at the disk, then ask again.",
        ) from error
    except OSError as error:
        raise NotRunningError(path) from error
    except ValueError as error:
        raise AgentError("The agent stopped before it had answered.", code="no-answer", action="Ask again.") from error
