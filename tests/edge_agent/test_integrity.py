"""A wheel is built and installed; then one thing of it is made other than released, as a person or a disk would.

What is installed is looked at by the interpreter of its own environment, from outside the checkout.
"""

import asyncio
import json
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from end_to_end.lab import until

from edge_agent.clock import SystemClock
from edge_agent.integrity import Verdict, examine
from edge_agent.monitor.alarms import Alarms
from edge_agent.monitor.program import NOT_YET, Program

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


class Installed:
    def __init__(self, folder: Path) -> None:
        self.python = folder / "venv" / "bin" / "python"
        run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder / "dist", ROOT)
        run(sys.executable, "-m", "venv", "--without-pip", folder / "venv")
        (wheel,) = (folder / "dist").glob("*.whl")
        quiet = ("--quiet", "--disable-pip-version-check", "--no-deps", "--no-index")
        run(sys.executable, "-m", "pip", "--python", self.python, "install", *quiet, wheel)
        (self.site,) = (folder / "venv" / "lib").glob("python*/site-packages")
        # The libraries are those of this environment; what runs here was installed from the lock file, too.
        (self.site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")

    def verdict(self) -> dict[str, Any]:
        code = "import json; from edge_agent.integrity import examine as e; v = e(); "
        code += "print(json.dumps([v.version, v.files, v.differences, v.text]))"
        told = subprocess.run(
            [self.python, "-c", code], cwd=self.site.parent, capture_output=True, text=True, check=True, timeout=60
        )
        return dict(zip(("version", "files", "differences", "text"), json.loads(told.stdout), strict=True))


def run(*words: object) -> None:
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return Installed(tmp_path_factory.mktemp("installed"))


@contextmanager
def other(path: Path, content: bytes | None) -> Iterator[None]:
    """The file with other content, or gone; then as it was."""
    before = path.read_bytes() if path.exists() else None
    write(path, content)
    try:
        yield
    finally:
        write(path, before)


def write(path: Path, content: bytes | None) -> None:
    if content is None:
        path.unlink()
    else:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)


def test_a_program_as_released_is_said_to_be(installed: Installed) -> None:
    found = installed.verdict()
    assert found["differences"] == []
    assert found["files"] > 200
    assert found["text"] == f"0.1.0, {found['files']} files as released"


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("edge_agent/session.py", lambda b: b.replace(b"a", b"b", 1), "edge_agent/session.py is changed"),
        (
            "drivers/devices/sysmex_xn/profile.toml",
            lambda b: b + b"\n",
            "drivers/devices/sysmex_xn/profile.toml is changed",
        ),
        ("hl7/ack.py", lambda b: None, "hl7/ack.py is missing"),
        ("edge_agent/extra.py", lambda b: b"", "edge_agent/extra.py is added"),
        ("drivers/devices/mine/profile.toml", lambda b: b"", "drivers/devices/mine/profile.toml is added"),
        ("edge_agent/sourceless.pyc", lambda b: b"\0", "edge_agent/sourceless.pyc is added"),
        (
            "edge_agent/_config/run.txt",
            lambda b: b.replace(b"pydantic==", b"pydantic==9"),
            "edge_agent/_config/run.txt is changed",
        ),
    ],
)
def test_one_thing_that_is_other_is_found(
    installed: Installed, name: str, change: Callable[[bytes], bytes | None], said: str
) -> None:
    path = installed.site / name
    with other(path, change(path.read_bytes() if path.exists() else b"")):
        found = installed.verdict()
    assert found["differences"][0] == said
    assert found["text"].startswith(("1 thing differs from the release 0.1.0: ", "2 things differ"))
    assert installed.verdict()["differences"] == []


def test_a_library_of_another_version_is_found(installed: Installed) -> None:
    folder = installed.site / "click-0.0.1.dist-info"
    with other(folder / "METADATA", b"Metadata-Version: 2.1\nName: click\nVersion: 0.0.1\n"):
        (difference,) = installed.verdict()["differences"]
    folder.rmdir()
    assert difference.startswith("click is 0.0.1 instead of ")


def test_what_python_compiles_by_itself_is_no_difference(installed: Installed) -> None:
    run(installed.python, "-m", "compileall", "-q", installed.site / "edge_agent")
    compiled = next((installed.site / "edge_agent" / "__pycache__").glob("codes.*.pyc"))
    with other(compiled, compiled.read_bytes() + b"\0"):
        assert installed.verdict()["differences"] == []


def test_a_checkout_is_not_compared() -> None:
    assert examine() == Verdict()
    assert Verdict().text == "runs from a checkout, files are not compared"


def test_of_many_differences_three_are_named() -> None:
    found = Verdict("0.1.0", 240, ("a is changed", "b is added", "c is missing", "d is changed", "e is changed"))
    assert found.text == "5 things differ from the release 0.1.0: a is changed, b is added, c is missing and 2 more"


def test_a_changed_program_is_an_alarm_and_whole_one_is_none() -> None:
    alarms = Alarms(SystemClock())
    program = Program(alarms, ready, lambda: Verdict("0.1.0", 240, ("hl7/ack.py is changed",)))
    assert program.text == NOT_YET
    asyncio.run(for_a_moment(program))
    (alarm,) = alarms.active()
    assert alarm.code == "program-changed"
    assert alarm.sentence == "The program is not as released: hl7/ack.py is changed."

    quiet = Alarms(SystemClock())
    whole = Program(quiet, ready, lambda: Verdict("0.1.0", 240))
    asyncio.run(for_a_moment(whole))
    assert whole.text == "0.1.0, 240 files as released"
    assert quiet.active() == []


async def ready() -> None: ...


async def for_a_moment(program: Program) -> None:
    """Until it has looked; the part itself goes on until it is cancelled."""
    part = asyncio.create_task(program.run())
    await asyncio.to_thread(until, lambda: program.verdict is not None)
    assert not part.done()
    part.cancel()
    with suppress(asyncio.CancelledError):
        await part
