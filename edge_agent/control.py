"""The local socket the other commands use: one JSON line in, one JSON line out.

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
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from edge_agent.errors import AgentError, ConfigurationError, NotRunningError, Problem

log = logging.getLogger(__name__)

Answer = Callable[[Mapping[str, Any]], Awaitable[Any]]
GROUP = "edge-agent"
_LONGEST_REQUEST = 64 * 1024
_PATIENCE_S = 30
_UCRED = struct.Struct("3i")
# What a defect in an answer raises: the one who asked is told, everybody else is served on.
_DEFECTS = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


def socket_path(data_dir: Path) -> Path:
    return data_dir / "control.sock"


class ControlServer:
    """Answers ``{"ask": name, ...}`` from a table of functions."""

    def __init__(self, path: Path, answers: Mapping[str, Answer]) -> None:
        self._path = path
        self._answers = answers
        self._server: asyncio.AbstractServer | None = None

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
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(json.dumps(await self._reply(reader, _uid(writer))).encode() + b"\n")
            await writer.drain()
        except ConnectionError:
            log.info("A command went away before it had its answer")
        finally:
            writer.close()

    async def _reply(self, reader: asyncio.StreamReader, uid: int) -> dict[str, Any]:
        try:
            return await self._answer(await reader.readline(), uid)
        except AgentError as error:
            return _failure(error)
        except _DEFECTS as error:
            # The error's own words may quote a patient's data.
            log.error("A command could not be answered: %s", type(error).__name__)
            return _failure(_CANNOT_ANSWER)

    async def _answer(self, line: bytes, uid: int) -> dict[str, Any]:
        try:
            request = json.loads(line)
            answer = self._answers[request["ask"]]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise AgentError("The agent does not know this command.", code="usage", action="Update both.") from None
        return {"ok": True, "result": await answer({**request, "uid": uid})}


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
    reply = _exchange(socket_path(data_dir), json.dumps({"ask": name, **arguments}).encode() + b"\n")
    if problems := reply.get("problems"):
        raise ConfigurationError([Problem(Path(file), line, key, text) for file, line, key, text in problems])
    if not reply["ok"]:
        raise AgentError(reply["sentence"], code=reply["code"], action=reply["action"])
    return reply["result"]


def _exchange(path: Path, request: bytes) -> Any:
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_PATIENCE_S)
            connection.connect(os.fspath(path))
            connection.sendall(request)
            return json.loads(_read_all(connection))
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


def _read_all(connection: socket.socket) -> bytes:
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)
