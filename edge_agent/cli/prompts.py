"""A question on a terminal that is asked until its answer can stand."""

from collections.abc import Callable

import click


def answered(text: str, judge: Callable[[str], str], default: str | None = None) -> str:
    """The answer without blanks around it. ``judge`` says why one cannot stand; "" when it can."""

    def judged(typed: str) -> str:
        answer = typed.strip()
        # An arrow key, or letters the terminal's character set does not have: no file can be written with them.
        wrong = judge(answer) if not answer or answer.isprintable() else "a key or a letter in it cannot be read"
        if wrong:
            raise click.BadParameter(wrong)
        return answer

    return str(click.prompt(text, default=default, value_proc=judged, show_default=bool(default)))
