"""`init`: the first configuration of this gateway, by questions or by options. Needs no agent, no root, no port."""

import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from edge_agent.cli import init_analyser, init_questions
from edge_agent.cli.options import config_option, config_path
from edge_agent.configuration.file import DEFAULT_PATH, resolve
from edge_agent.configuration.place import place, there_already
from edge_agent.configuration.preflight import examine, loaded
from edge_agent.configuration.text import filled
from edge_agent.service.unit import config_text
from edge_agent.settings import DriversTable


def _options(command: Callable[..., Any]) -> Callable[..., Any]:
    for question in reversed(init_questions.QUESTIONS):
        option = click.option(f"--{question.option}", multiple=question.key == "urls", help=f"{question.text}.")
        command = option(command)
    return command


@click.command()
@config_option
@_options
@click.option(
    "--analyser",
    "analysers",
    multiple=True,
    metavar="WORDS",
    help='An analyser: "id=xn1 profile=sysmex_xn transport=tcp-server://0.0.0.0:5600 peer=10.0.0.5 mode=validation".',
)
@click.option("--yes", is_flag=True, help="Ask nothing: defaults where there are, an error where an answer is missing.")
@click.option("--force", is_flag=True, help="Write the file anew where there is one, and keep that as .bak.")
def init(config_: Path | None, analysers: tuple[str, ...], yes: bool, force: bool, **options: Any) -> None:
    """Ask for what this gateway needs, write a configuration with every key explained, check it."""
    path = config_path(config_)
    if not force and _is_written_by_a_person(path):
        raise there_already(path)
    given = {name.replace("_", "-"): _text(value) for name, value in options.items() if value not in (None, ())}
    may_ask = on_a_terminal() and not yes
    answers, found = _asked(path, given, analysers) if may_ask else _stated(path, given, analysers)
    text = filled(config_text(), init_questions.tables(answers), found)
    kept = place(path, text, force=path.exists())
    click.echo(f"Wrote {path}." + (f" The former one is {kept}." if kept else ""))
    click.echo("\n".join(examine(path, loaded(path))))
    click.echo(_next(path, [str(analyser["id"]) for analyser in found]))


def on_a_terminal() -> bool:
    return sys.stdin.isatty()


def _is_written_by_a_person(path: Path) -> bool:
    """`service install` puts the shipped example there, and nobody's work is lost with that."""
    if not path.exists():
        return False
    try:
        return path.read_text(encoding="utf-8") != config_text()
    except (OSError, UnicodeDecodeError):
        return True


def _text(value: str | tuple[str, ...]) -> str:
    return value if isinstance(value, str) else " ".join(value)


def _asked(
    path: Path, given: dict[str, str], analysers: Sequence[str]
) -> tuple[dict[str, str], list[init_analyser.Analyser]]:
    click.echo("Enter takes what stands in [ ]. Ctrl-C ends it, and nothing is written.")
    folder = _devices_of_site(path)
    known, wrong = _read(analysers, folder)
    if wrong:
        raise click.UsageError("\n".join(wrong))
    return init_questions.ask(given, path), init_analyser.ask_all(known, folder)


def _stated(
    path: Path, given: dict[str, str], analysers: Sequence[str]
) -> tuple[dict[str, str], list[init_analyser.Analyser]]:
    known, wrong = _read(analysers, _devices_of_site(path))
    wrong = [*init_questions.complaints(given), *wrong]
    if wrong:
        raise click.UsageError("Nobody can be asked here, and there is\n" + "\n".join(f"  {line}" for line in wrong))
    return given, known


def _devices_of_site(path: Path) -> Path:
    return resolve(path, DriversTable().devices_dir)


def _read(analysers: Sequence[str], folder: Path) -> tuple[list[init_analyser.Analyser], list[str]]:
    found: list[init_analyser.Analyser] = []
    wrong: list[str] = []
    for number, words in enumerate(analysers, 1):
        analyser, complaints = init_analyser.read(words, folder, [str(a.get("id")) for a in found])
        found.append(analyser)
        wrong += [f"--analyser {number}: {complaint}" for complaint in complaints]
    return found, wrong


def _next(path: Path, analysers: Sequence[str]) -> str:
    here = "" if path == DEFAULT_PATH else f" --config {shlex.quote(str(path))}"
    tests = [f"  edge-agent test {analyser}{here}" for analyser in analysers]
    start = "  systemctl start edge-agent" if path == DEFAULT_PATH else f"  edge-agent run{here}"
    return "\n".join(["Next:", *tests, start, f"  edge-agent status{here}"])
