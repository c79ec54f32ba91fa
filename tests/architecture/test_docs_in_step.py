"""What the documents say is there is there, and what is there is in the documents."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import click
import pytest
from architecture.demo_picture import picture
from pydantic import BaseModel

from drivers.profile import Profile
from edge_agent.cli.main import main as edge_agent
from edge_agent.codes import CODES
from edge_agent.states import ItemState, MessageState, TransmissionState
from simulators.cli import main as analyser_sim

ROOT = Path(__file__).parents[2]
COMMANDS = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
CODE_PAGE = (ROOT / "docs" / "codes.md").read_text(encoding="utf-8")
TOPS = ("config", "docs", "drivers", "edge_agent", "hl7", "simulators", "tests")
PAGES = sorted({*ROOT.glob("*.md"), *(page for top in TOPS for page in (ROOT / top).rglob("*.md"))})
PROGRAMS = {"edge-agent": edge_agent, "analyser-sim": analyser_sim}
AWAITED = {"docs/demo.svg"}  # a picture of the demonstration, made last of all; goes from here when it is there
EVERYWHERE = {"--config", "--json", "--help", "-h", "--version"}  # said once for all commands

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_MACHINE_PATH = re.compile(r"(?<![\w.:/<-])/(?:root|home|work|tmp|Users|mnt)/[\w.]")
_PACKAGE_INDEX = re.compile(
    r"(?i)(?:--(?:extra-)?index-url|--find-links|pypi\.org/simple|/simple/?(?=[\s\"']|$)|pythonhosted)"
)


def section(program: str) -> str:
    """The part of docs/commands.md about one program."""
    return COMMANDS.partition(f"\n## {program}\n")[2].partition("\n## ")[0]


def every_command(group: click.Group) -> Iterator[tuple[str, click.Command]]:
    """Commands by the words a person types; of a group with commands of its own each of these."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from ((f"{name} {inner}", each) for inner, each in every_command(command))
        else:
            yield name, command


ALL_COMMANDS = [
    (program, name, command) for program, group in PROGRAMS.items() for name, command in every_command(group)
]


@pytest.mark.parametrize(("program", "name", "command"), ALL_COMMANDS, ids=[f"{p} {n}" for p, n, _ in ALL_COMMANDS])
def test_every_command_and_option_is_in_the_page(program: str, name: str, command: click.Command) -> None:
    page = section(program)
    [row] = [line for line in page.splitlines() if re.match(rf"\| `{name}[ `]", line)]
    for parameter in command.params:
        if isinstance(parameter, click.Argument):
            assert re.search(rf"`{name} [A-Z]+`", row), f"{name} has an argument"
            continue
        for option in (*parameter.opts, *parameter.secondary_opts):
            assert option in row or (option in EVERYWHERE and option in page), f"{name} {option}"


@pytest.mark.parametrize("program", PROGRAMS)
def test_no_command_or_option_in_the_page_is_made_up(program: str) -> None:
    commands = dict(every_command(PROGRAMS[program]))
    options = {o for c in commands.values() for p in c.params for o in (*p.opts, *p.secondary_opts)}
    rows = re.findall(
        r"(?m)^\| `([a-z0-9-]+(?: [a-z0-9-]+)?)(?: [A-Z]+)?` \|.*$", section(program).partition("\n### ")[0]
    )
    assert sorted(rows) == sorted(commands)
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", section(program))) <= options | EVERYWHERE


def test_the_exit_statuses_are_in_the_page() -> None:
    assert "0 done, 1 failed or a person is needed, 2 wrong usage, 78 the configuration is wrong" in COMMANDS


def _error_codes() -> Iterator[str]:
    """Every code an error of the agent can have: calls that give both a code and an action."""
    for path in sorted((ROOT / "edge_agent").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                given = {k.arg: k.value for k in node.keywords}
                code = given.get("code")
                if "action" in given and isinstance(code, ast.Constant):
                    yield str(code.value)


def test_every_code_a_command_can_say_is_in_the_page() -> None:
    codes = set(_error_codes())
    assert {"not-running", "unknown-id", "store-locked", "configuration"} <= codes
    assert [code for code in sorted(codes) if f"`{code}`" not in COMMANDS] == []


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_hold_and_alarm_is_in_its_page(code: str) -> None:
    assert f"| `{code}` |" in CODE_PAGE


@pytest.mark.parametrize("code", list(CODES.values()), ids=lambda code: code.id)
def test_an_action_has_no_facts_that_nobody_fills_in(code) -> None:
    assert not re.search(r"[{}]", code.action)


def test_every_hold_a_driver_or_the_pipeline_makes_has_a_code() -> None:
    made = set()
    for path in [*(ROOT / "drivers").glob("*.py"), *(ROOT / "edge_agent").glob("*.py")]:
        made |= set(re.findall(r'Hold\("([a-z-]+)"', path.read_text(encoding="utf-8")))
    assert len(made) > 10
    assert made - set(CODES) == set()


@pytest.mark.parametrize("state", [*TransmissionState, *ItemState, *MessageState])
def test_every_state_is_in_its_page(state: str) -> None:
    assert f"`{state}`" in (ROOT / "docs" / "states.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    assert set(_dead_links(page, page.read_text(encoding="utf-8"))) <= AWAITED


def test_a_link_that_leads_nowhere_is_seen() -> None:
    page = ROOT / "README.md"
    assert list(_dead_links(page, "[a](docs/no-such-page.md) [b](docs/codes.md) [c](docs/codes.md#no-such-head)")) == [
        "docs/no-such-page.md",
        "docs/codes.md#no-such-head",
    ]


def _dead_links(page: Path, text: str) -> Iterator[str]:
    for target in _LINK.findall(text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, head = target.partition("#")
        file = page.parent / name if name else page
        if not file.exists() or (head and head not in _heads(file)):
            yield target


def _heads(page: Path) -> set[str]:
    """Anchors as hosting sites make them of headings."""
    heads = re.findall(r"(?m)^#+ (.*)$", page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_a_page_names_is_there(page: Path) -> None:
    assert _missing_files(page.read_text(encoding="utf-8")) == []


def test_a_file_that_is_not_there_is_seen() -> None:
    assert _missing_files("`tests/no_such_test.py`, `edge_agent/store/`, `docs/codes.md`") == ["tests/no_such_test.py"]


def _missing_files(text: str) -> list[str]:
    """Paths from the top of the project, written as code."""
    tops = "config|docs|drivers|edge_agent|hl7|simulators|tests"
    named = re.findall(rf"`((?:{tops})/[\w./-]*)`", text)
    return [name for name in named if not (ROOT / name).exists()]


def test_a_key_of_a_profile_without_effect_is_said_to_be_one() -> None:
    said = (ROOT / "drivers" / "README.md").read_text(encoding="utf-8").partition("without effect so far")[2]
    code = "".join(p.read_text("utf-8") for top in ("drivers", "edge_agent") for p in (ROOT / top).rglob("*.py"))
    idle = [key for key in _keys(Profile) if not re.search(rf"\.{key[-1]}\b", code)]
    assert len(idle) > 5
    # `api_version` is looked at when a profile is read, `aliases` on the page of devices, `conflict` has one value.
    known = {("api_version",), ("aliases",), ("qc", "conflict")}
    assert [key for key in idle if key not in known and not _is_named(key, said)] == []


def _keys(table: type[BaseModel], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, field in table.model_fields.items():
        yield (*above, name)
        for inner in (field.annotation, *get_args(field.annotation)):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                yield from _keys(inner, (*above, name))


def _is_named(key: tuple[str, ...], text: str) -> bool:
    """By itself, or by a table as a whole."""
    return f"`[{key[0]}]`" in text or bool(re.search(rf"`[^`]*\b{key[-1]}`", text))


def test_the_picture_of_the_demonstration_asks_nobody_for_anything() -> None:
    svg = (ROOT / "docs" / "demo.svg").read_text(encoding="utf-8")
    assert re.findall(r"https?://[^\"]*", svg) == ["http://www.w3.org/2000/svg"]  # the name of the format
    assert re.findall(r"@font-face|url\((?!#)|<script|<image|href", svg) == []
    assert "300&#160;of&#160;300&#160;results&#160;filed" in svg


def test_the_same_output_gives_the_same_picture() -> None:
    output = "acknowledged: xn1 1/1; filed: 1/1\n\nanalyser  device\n1 of 1 results filed in 1 s."
    assert picture(output) == picture(output)
    assert "1&#160;of&#160;1&#160;results" in picture(output)


def _tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    names = [name for name in listed.stdout.decode().split("\0") if name]
    return [ROOT / name for name in names if (ROOT / name).is_file()]


def _texts() -> Iterator[tuple[str, str]]:
    for path in _tracked():
        if path.name == "LICENSE" or path.suffix in (".bin", ".wire"):
            continue
        try:
            yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # not a text


def _offending(text: str) -> list[str]:
    return [line for line in text.splitlines() if _MACHINE_PATH.search(line) or _PACKAGE_INDEX.search(line)]


def test_no_file_names_a_place_on_somebodys_machine_or_a_package_index() -> None:
    texts = list(_texts())
    if not texts:
        print("\nThis is no checkout of git: files are not looked through.")
    here = str(Path(__file__).relative_to(ROOT))
    assert {name: found for name, text in texts if name != here and (found := _offending(text))} == {}


@pytest.mark.parametrize(
    "line",
    [
        "see /" + "home/kim/notes.txt",
        'open("/' + 'tmp/x")',
        "pip install --index" + "-url https://example.org/x",
        "https://pypi" + ".org/simple/click",
    ],
)
def test_such_a_place_would_be_seen(line: str) -> None:
    assert _offending(line) == [line]


@pytest.mark.parametrize("line", ["serial:///dev/ttyUSB0", "/var/lib/edge-agent", "tests/home/one", "~/notes"])
def test_places_of_the_service_itself_are_no_offence(line: str) -> None:
    assert _offending(line) == []
