"""Commands that carry a person's decision to the running agent: retry, set-aside."""

from pathlib import Path

import click

from edge_agent.cli.completion import analysers, codes
from edge_agent.cli.options import answered, config_option

_SET_ASIDE = (
    "It stays in the store and can be looked at; its results are not in the management system by this agent's doing, "
    "and are not sent when the analyser repeats them."
)


@click.command()
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--held", is_flag=True, help="Instead of ids: everything that is held or failed.")
@click.option("--analyser", shell_complete=analysers, help="With --held: only of this analyser.")
@click.option("--code", shell_complete=codes, help="With --held: only for this reason, a code that `queue` shows.")
@click.option("--again", is_flag=True, help="Also send a message that is filed, once more.")
@click.option("--note", default="", help="Why, for the audit trail. Name no patient.")
@config_option
def retry(
    config_: Path | None,
    ids: tuple[str, ...],
    held: bool,
    analyser: str | None,
    code: str | None,
    again: bool,
    note: str,
) -> None:
    """Try again. ID is a message, which goes out with the same id, or a transmission (t12), which is read again."""
    if bool(ids) == held:
        raise click.UsageError("Name what to try again, or say --held.")
    if not held and (analyser or code):
        raise click.UsageError("--analyser and --code go with --held.")
    if held and again:
        raise click.UsageError("--again goes with a message.")
    if held:
        answer = answered(config_, "release", analyser=analyser, code=code, note=note)
    else:
        answer = answered(config_, "retry", ids=list(ids), again=again, note=note)
    click.echo(answer["sentence"])


@click.command("set-aside")
@click.argument("id_", metavar="ID")
@click.option("--note", required=True, help="Why, for the audit trail. Name no patient.")
@config_option
def set_aside(config_: Path | None, id_: str, note: str) -> None:
    """Give a message up: it is not sent any more and never counts as filed. There is no way back."""
    answer = answered(config_, "set-aside", ids=[id_], note=note)
    click.echo(f"{answer['sentence']}\n{_SET_ASIDE}")
