"""The local socket: one line in, one line out, whoever talks nonsense."""

import asyncio
import json
import os
import pwd
import socket
import stat
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edge_agent import control
from edge_agent.control import ControlServer, ask, socket_path
from edge_agent.errors import AgentError, ConfigurationError, NotRunningError, Problem, UnknownIdError


class Answers:
    """A control server in a thread of its own."""

    def __init__(self, folder: Path, **more: Any) -> None:
        self.folder = folder
        self.path = socket_path(folder)
        self.loop = asyncio.new_event_loop()
        self.server = ControlServer(self.path, {"echo": self.echo, "unknown": self.unknown, **more})
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    async def echo(self, request: Mapping[str, Any]) -> Any:
        return {"said": request.get("word")}

    async def unknown(self, request: Mapping[str, Any]) -> Any:
        raise UnknownIdError

    def do(self, job: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(job, self.loop).result(10)

    def talk(self, data: bytes, *, end: bool = False) -> bytes:
        """Raw bytes to the socket; whatever comes back."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(str(self.path))
            try:
                connection.sendall(data)
                if end:
                    connection.shutdown(socket.SHUT_WR)
                return b"".join(iter(lambda: connection.recv(65536), b""))
            except (BrokenPipeError, ConnectionResetError):
                return b""


@contextmanager
def serving(folder: Path, **more: Any) -> Iterator[Answers]:
    made = Answers(folder, **more)
    made.thread.start()
    made.do(made.server.start())
    try:
        yield made
    finally:
        made.do(made.server.stop())
        made.do(asyncio.sleep(0))
        made.loop.call_soon_threadsafe(made.loop.stop)
        made.thread.join(10)
        made.loop.close()


def code(reply: bytes) -> str:
    answer = json.loads(reply)
    assert answer["ok"] is False
    assert answer["sentence"].endswith(".")
    assert answer["action"].endswith(".")
    found: str = answer["code"]
    return found


def test_a_question_is_answered(tmp_path: Path) -> None:
    with serving(tmp_path):
        assert ask(tmp_path, "echo", word="한국어") == {"said": "한국어"}


def test_an_answer_larger_than_a_socket_buffer_comes_whole(tmp_path: Path) -> None:
    with serving(tmp_path):
        assert ask(tmp_path, "echo", word="x" * 60_000) == {"said": "x" * 60_000}


def test_a_request_longer_than_any_is_refused_as_what_it_is(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def asked(reader: asyncio.StreamReader) -> list[bytes]:
        reader.feed_data(b'{"ask": "echo", "word": "' + b"x" * 70_000 + b'"}\n')
        reader.feed_eof()
        return [reply async for reply in ControlServer(tmp_path / "control.sock", {})._replies(reader, 0)]

    async def replies() -> list[bytes]:
        return await asked(asyncio.StreamReader(limit=64 * 1024))

    (reply,) = asyncio.run(replies())
    assert code(reply) == "usage"
    assert not caplog.records, "it is no defect of the agent"


def test_only_the_owner_and_the_group_may_open_the_socket(tmp_path: Path) -> None:
    with serving(tmp_path) as made:
        assert stat.S_IMODE(made.path.stat().st_mode) == 0o660


def test_a_service_that_may_not_call_chown_still_lets_its_group_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    own = tmp_path.stat().st_gid
    tmp_path.chmod(0o700)
    monkeypatch.setattr(control.os, "chown", refuse)
    monkeypatch.setattr(control.grp, "getgrnam", lambda _: SimpleNamespace(gr_gid=own))
    with serving(tmp_path) as made:
        assert stat.S_IMODE(made.path.stat().st_mode) == 0o660
        assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o710


def test_a_group_that_is_not_the_owners_is_given_the_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = []
    monkeypatch.setattr(control.os, "chown", lambda path, _, group: given.append((Path(path).name, group)))
    monkeypatch.setattr(control.grp, "getgrnam", lambda _: SimpleNamespace(gr_gid=tmp_path.stat().st_gid + 1))
    with serving(tmp_path):
        assert given == [("control.sock", tmp_path.stat().st_gid + 1), (tmp_path.name, tmp_path.stat().st_gid + 1)]


def test_an_error_of_the_agent_comes_as_it_was_said(tmp_path: Path) -> None:
    with serving(tmp_path), pytest.raises(AgentError) as caught:
        ask(tmp_path, "unknown", id="S24-0028")
    assert caught.value.code == "unknown-id"
    assert caught.value.sentence == "Nothing with this id is in the store."
    assert "S24-0028" not in caught.value.sentence + caught.value.action


def test_every_mistake_of_a_configuration_comes_with_its_line(tmp_path: Path) -> None:
    problems = [Problem(Path("/etc/a.toml"), 7, "mqtt.urls", "is required"), Problem(Path("/etc/a.toml"), 0, "", "odd")]

    async def wrong(request: Mapping[str, Any]) -> Any:
        raise ConfigurationError(problems)

    with serving(tmp_path, reload=wrong), pytest.raises(ConfigurationError) as caught:
        ask(tmp_path, "reload")
    assert list(caught.value.problems) == problems


def test_an_unknown_command_is_an_error_with_a_next_action(tmp_path: Path) -> None:
    with serving(tmp_path), pytest.raises(AgentError) as caught:
        ask(tmp_path, "dance")
    assert (caught.value.code, caught.value.action) == ("usage", "Update both.")


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"hello\n",
        b"\xff\xfe\x00\n",
        b"[]\n",
        b'"ask"\n',
        b"{}\n",
        b'{"ask": ["echo"]}\n',
        b'{"ask": null}\n',
        b"[" * 60_000 + b"\n",
    ],
)
def test_nonsense_gets_an_error_and_the_next_one_an_answer(tmp_path: Path, line: bytes) -> None:
    with serving(tmp_path) as made:
        assert code(made.talk(line)) == "usage"
        assert ask(tmp_path, "echo", word="still there") == {"said": "still there"}


def test_half_a_line_without_an_end_is_nonsense_too(tmp_path: Path) -> None:
    with serving(tmp_path) as made:
        assert code(made.talk(b'{"ask": "ec', end=True)) == "usage"


def test_somebody_who_says_nothing_keeps_nobody_waiting(tmp_path: Path) -> None:
    with serving(tmp_path) as made, socket.socket(socket.AF_UNIX) as silent:
        silent.connect(str(made.path))
        silent.sendall(b'{"ask"')
        assert ask(tmp_path, "echo", word="me") == {"said": "me"}


def test_a_line_without_end_is_cut_off(tmp_path: Path) -> None:
    with serving(tmp_path) as made:
        reply = made.talk(b'{"ask": "echo", "word": "' + b"x" * 1_000_000)
        assert reply == b"" or code(reply)  # the rest of the line may still be on its way when it is answered
        assert ask(tmp_path, "echo", word="me") == {"said": "me"}


def test_somebody_who_hangs_up_before_the_answer_does_no_harm(tmp_path: Path) -> None:
    with serving(tmp_path) as made:
        for _ in range(20):
            with socket.socket(socket.AF_UNIX) as hasty:
                hasty.connect(str(made.path))
                hasty.sendall(b'{"ask": "echo"}\n')
        assert ask(tmp_path, "echo", word="me") == {"said": "me"}


@pytest.mark.parametrize("error", [KeyError("S24-0028"), ValueError("S24-0028"), ZeroDivisionError(), RecursionError()])
def test_a_defect_in_an_answer_is_said_without_its_words(tmp_path: Path, error: Exception, caplog: Any) -> None:
    async def defective(request: Mapping[str, Any]) -> Any:
        raise error

    with serving(tmp_path, defective=defective), pytest.raises(AgentError) as caught:
        ask(tmp_path, "defective")
    assert caught.value.code == "internal"
    assert "S24-0028" not in caught.value.sentence + caplog.text
    assert type(error).__name__ in caplog.text


def test_a_socket_left_by_a_dead_agent_is_no_obstacle(tmp_path: Path) -> None:
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(socket_path(tmp_path)))
    left.close()
    with pytest.raises(NotRunningError):
        ask(tmp_path, "echo")
    with serving(tmp_path):
        assert ask(tmp_path, "echo", word="me") == {"said": "me"}


def test_without_an_agent_it_is_said_that_none_runs(tmp_path: Path) -> None:
    with pytest.raises(NotRunningError) as caught:
        ask(tmp_path, "status")
    assert caught.value.code == "not-running"
    assert str(tmp_path) in caught.value.sentence
    assert "edge-agent run" in caught.value.action


def test_after_the_stop_nothing_answers_and_nothing_is_left(tmp_path: Path) -> None:
    with serving(tmp_path) as made:
        pass
    assert not made.path.exists()
    with pytest.raises(NotRunningError):
        ask(tmp_path, "echo")


def answering_with(folder: Path, data: bytes) -> threading.Thread:
    """A server that sends ``data`` and hangs up."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(socket_path(folder)))
    listener.listen()

    def serve() -> None:
        with listener, listener.accept()[0] as connection:
            connection.recv(65536)
            connection.sendall(data)

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


@pytest.mark.parametrize("data", [b"", b'{"ok": true, "resu'])
def test_an_agent_that_dies_over_its_answer_is_said_to_have_stopped(tmp_path: Path, data: bytes) -> None:
    thread = answering_with(tmp_path, data)
    with pytest.raises(AgentError) as caught:
        ask(tmp_path, "status")
    thread.join(10)
    assert caught.value.code == "no-answer"


def test_an_agent_that_does_not_answer_is_not_said_to_be_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "_PATIENCE_S", 0.05)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(socket_path(tmp_path)))
        listener.listen()
        with pytest.raises(AgentError) as caught:
            ask(tmp_path, "status")
    assert caught.value.code == "no-answer"
    assert "did not answer" in caught.value.sentence


def test_somebody_who_may_not_open_the_socket_is_told_who_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: socket.socket, address: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    with pytest.raises(AgentError) as caught:
        ask(tmp_path, "status")
    assert caught.value.code == "permission"
    assert "edge-agent" in caught.value.action


def test_the_answer_is_told_who_asks_whatever_the_line_says(tmp_path: Path) -> None:
    async def who(request: Mapping[str, Any]) -> Any:
        return request["uid"]

    with serving(tmp_path, who=who):
        assert ask(tmp_path, "who", uid=424242) == os.getuid()


def test_a_user_without_a_name_is_a_number() -> None:
    assert control.user(os.getuid()) == pwd.getpwuid(os.getuid()).pw_name
    assert control.user(424242) == "uid 424242"


def test_half_a_surrogate_pair_is_refused_before_any_answer_sees_it(tmp_path: Path) -> None:
    """JSON can write one, UTF-8 cannot, so neither the store nor the trail can keep it."""
    with serving(tmp_path) as made:
        assert code(made.talk(b'{"ask": "echo", "word": "\\ud800"}\n')) == "usage"
