"""Who may reload, in which order, and what is said of it; the parts that follow are stand-ins."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support_ports import run, until

from edge_agent.clock import SystemClock
from edge_agent.errors import AgentError, ConfigurationError
from edge_agent.generation import Configuration, Generation
from edge_agent.monitor.alarms import Alarms
from edge_agent.reload import Reload
from edge_agent.running import Changes
from edge_agent.store.errors import StorageFailedError

GOOD = """\
[agent]
site = "seoul-01"
gateway = "gw-01"
data_dir = "data"

[mqtt]
urls = ["mqtt://127.0.0.1:1883"]
"""
ANALYSER = """
[[analyser]]
id = "an1"
profile = "lis02_generic"
transport = "tcp-server://127.0.0.1:5600"
"""


class Parts:
    """Stands for everything that runs: remembers what it became, and may be held up over it."""

    def __init__(self, generation: Generation) -> None:
        self.generation = generation
        self.became: list[int] = []
        self.going_on = 0
        self.most_at_once = 0
        self.defect = False
        self.hold = asyncio.Event()
        self.hold.set()

    async def become(self, new: Generation) -> Changes:
        self.going_on += 1
        self.most_at_once = max(self.most_at_once, self.going_on)
        await self.hold.wait()
        if self.defect:
            raise KeyError("an1")
        self.became.append(new.settings.mqtt.window)
        self.generation = new
        self.going_on -= 1
        return Changes()


class Book:
    """Stands for the store: the audit entries, or an error."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, dict[str, str]]] = []
        self.broken = False
        self.limits: list[tuple[int, int]] = []

    def limit_disk(self, *, reserve_mb: int, low_water_mb: int) -> None:
        self.limits.append((reserve_mb, low_water_mb))

    def audit(self, kind: str, facts: dict[str, str]) -> None:
        self.entries.append((kind, facts))

    def later(self, job: Any) -> "Future[Any]":
        future: Future[Any] = Future()
        if self.broken:
            future.set_exception(StorageFailedError("disk I/O error"))
        else:
            future.set_result(job(self))
        return future


class Scene:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.write(GOOD)
        self.parts, self.book, self.alarms = Parts(self.read()), Book(), Alarms(SystemClock())
        self.asked = asyncio.Event()
        parts: Any = self.parts
        store: Any = self.book
        self.reload = Reload(path, parts, store, self.alarms, self.asked)

    def write(self, text: str, *, window: int = 16) -> None:
        self.path.write_text(text.replace("[mqtt]", f"[mqtt]\nwindow = {window}"), encoding="utf-8")

    def read(self) -> Generation:
        return Generation.of(Configuration.read(self.path))

    def reason(self) -> str:
        """Of the alarm; "" while it is not up."""
        return next((a.params["reason"] for a in self.alarms.active() if a.code == "configuration"), "")


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path / "edge-agent.toml")


def test_who_asked_and_what_was_loaded_is_on_record_before_anything_changes(scene: Scene) -> None:
    async def main() -> None:
        scene.write(GOOD, window=4)
        scene.parts.hold.clear()
        loading = asyncio.create_task(scene.reload.reload("kim"))
        await until(lambda: scene.parts.going_on)
        facts = {"who": "kim", "config": scene.read().configuration.hash}
        assert scene.book.entries == [("reload", facts)]
        scene.parts.hold.set()
        assert (await loading)["config_hash"] == facts["config"]
        assert scene.parts.became == [4]

    run(main())


def test_what_cannot_be_put_on_record_is_not_done(scene: Scene) -> None:
    async def main() -> None:
        scene.book.broken = True
        with pytest.raises(StorageFailedError):
            await scene.reload.reload("kim")
        assert scene.parts.became == []
        scene.book.broken = False
        await scene.reload.reload("kim")
        assert scene.parts.became == [16]

    run(main())


def test_the_limits_of_the_store_hold_at_once(scene: Scene) -> None:
    async def main() -> None:
        scene.write(GOOD + "[store]\nreserve_mb = 3\nlow_water_mb = 5\n")
        await scene.reload.reload("kim")
        assert scene.book.limits == [(3, 5)]

    run(main())


def test_a_defect_half_way_ends_the_agent_so_that_it_starts_by_one_file(scene: Scene) -> None:
    async def main() -> None:
        following = asyncio.create_task(scene.reload.run())
        await scene.reload.reload("kim")
        assert not following.done()  # the negative control
        scene.parts.defect = True
        with pytest.raises(KeyError):
            await scene.reload.reload("kim")
        with pytest.raises(RuntimeError, match="half way"):
            await following

    run(main())


def test_two_at_the_same_moment_go_one_after_the_other(scene: Scene) -> None:
    async def main() -> None:
        scene.parts.hold.clear()
        two = [asyncio.create_task(scene.reload.reload(who)) for who in ("kim", "lee")]
        await until(lambda: scene.parts.going_on)
        scene.write(GOOD, window=4)
        scene.parts.hold.set()
        await asyncio.gather(*two)
        assert scene.parts.most_at_once == 1
        assert scene.parts.became == [16, 4]  # the second read what was there when its turn came

    run(main())


def test_an_agent_that_stops_finishes_the_one_under_way_and_begins_no_other(scene: Scene) -> None:
    async def main() -> None:
        scene.parts.hold.clear()
        first = asyncio.create_task(scene.reload.reload("kim"))
        await until(lambda: scene.parts.going_on)
        closing = asyncio.create_task(scene.reload.close())
        late = asyncio.create_task(scene.reload.reload("lee"))
        await asyncio.sleep(0)
        assert not closing.done()
        scene.parts.hold.set()
        await asyncio.gather(first, closing)
        with pytest.raises(AgentError) as caught:
            await late
        assert caught.value.code == "stopping"
        assert scene.parts.became == [16]

    run(main())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (GOOD.replace("urls", "url"), "it has 2 mistakes, the first in line 6"),
        (GOOD.replace("seoul-01", "Seoul 01"), "it has 1 mistake, the first in line 2"),
        (GOOD[:-3], "it has 1 mistake, the first in line 8"),
        ("", "it has 2 mistakes"),
    ],
)
def test_a_wrong_file_changes_nothing_and_stands_as_an_alarm_until_a_good_one_is_loaded(
    scene: Scene, text: str, reason: str
) -> None:
    async def main() -> None:
        scene.write(text)
        with pytest.raises(ConfigurationError):
            await scene.reload.reload("kim")
        assert scene.reason() == reason
        assert (scene.parts.became, scene.book.entries) == ([], [])
        scene.write(GOOD)
        await scene.reload.reload("kim")
        assert scene.reason() == ""

    run(main())


@pytest.mark.parametrize(
    ("old", "new", "keys"),
    [
        ("seoul-01", "busan-01", "site"),
        ("gw-01", "gw-02", "gateway"),
        ('"data"', '"elsewhere"', "data_dir"),
        ('site = "seoul-01"\ngateway = "gw-01"', 'site = "b"\ngateway = "c"', "site and gateway"),
    ],
)
def test_what_needs_a_restart_refuses_the_whole_file(scene: Scene, old: str, new: str, keys: str) -> None:
    async def main() -> None:
        scene.write(GOOD.replace(old, new), window=4)
        with pytest.raises(AgentError) as caught:
            await scene.reload.reload("kim")
        assert caught.value.sentence == f"Nothing was loaded: another {keys} needs a restart."
        assert scene.reason() == f"another {keys} needs a restart"
        assert scene.parts.became == []
        assert not (scene.path.parent / "elsewhere").exists()

    run(main())


@pytest.mark.parametrize("place", ["generation.loaded", "generation.pinned"])
@pytest.mark.parametrize("defect", [RecursionError("1017"), ValueError("1017"), PermissionError(13, "1017")], ids=repr)
def test_a_defect_while_the_file_is_read_ends_nothing(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, place: str, defect: Exception
) -> None:
    def broken(*_: object) -> None:
        raise defect

    async def main() -> None:
        (scene.path.parent / "data").mkdir()
        scene.write(GOOD + ANALYSER, window=4)
        with following(scene) as task, monkeypatch.context() as patch:
            patch.setattr(f"edge_agent.{place}", broken)
            scene.asked.set()
            await until(lambda: scene.reason())
            assert "1017" not in scene.reason()
            with pytest.raises(AgentError) as caught:
                await scene.reload.reload("kim")
            assert "Nothing was loaded" in caught.value.sentence or caught.value.code == "configuration"
            patch.undo()
            await scene.reload.reload("kim")
            assert not task.done()
        assert (scene.parts.became, scene.reason()) == ([4], "")

    run(main())


@contextmanager
def following(scene: Scene) -> Iterator[asyncio.Task[None]]:
    task = asyncio.create_task(scene.reload.run())
    try:
        yield task
    finally:
        task.cancel()


def test_a_signal_loads_and_a_wrong_file_is_logged_once(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        with following(scene):
            scene.write(GOOD.replace("seoul-01", "Seoul 01"))
            for _ in range(3):
                scene.asked.set()
                await until(lambda: not scene.asked.is_set() and not scene.reload._one.locked() and scene.reason())
            scene.write(GOOD, window=4)
            scene.asked.set()
            await until(lambda: scene.parts.became == [4])
        assert scene.book.entries[0][1]["who"] == "SIGHUP"

    run(main())
    assert caplog.text.count("agent.site") == 1


def test_the_user_at_the_socket_is_who_asked(scene: Scene) -> None:
    async def main() -> None:
        await scene.reload.answer({"ask": "reload", "uid": 0})
        assert scene.book.entries[0][1]["who"] == "root"

    run(main())
