"""What `init` asks about the gateway and its broker: one table; options, prompts and missing answers come from it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import click

from edge_agent.cli.prompts import answered
from edge_agent.configuration.answers import broker_objection, file_objection, objection
from edge_agent.settings import AgentTable, Consumers

Answers = dict[str, str]  # by option; of what was not asked nothing


def _always(answers: Mapping[str, str]) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Question:
    """``default`` None: there is no sensible one, a person has to say it. ``wanted``: whether it is asked at all."""

    option: str
    table: str
    key: str
    text: str
    default: str | None = None
    wanted: Callable[[Mapping[str, str]], bool] = _always
    is_file: bool = False

    def judge(self, answer: str) -> str:
        """Why the answer cannot stand; "" when it can."""
        if self.default is None and not addresses(answer):
            return "must not be empty"
        if self.key == "urls":
            return next((wrong for url in addresses(answer) if (wrong := broker_objection(url))), "")
        if self.key == "gateway" and answer in Consumers().model_dump().values():
            return "a consumer has this name"
        return objection(self.table, self.key, answer)

    def remark(self, answer: str, config: Path) -> str:
        """What is worth saying of an answer that can stand."""
        wrong = file_objection(config, answer) if self.is_file and answer else ""
        return f"{wrong}: put it there before the agent starts" if wrong else ""


def addresses(answer: str) -> list[str]:
    """Several in one answer, separated by blanks or commas."""
    return answer.replace(",", " ").split()


def _tls(answers: Mapping[str, str]) -> bool:
    return "mqtts:" in answers.get("broker", "")


def _has(option: str) -> Callable[[Mapping[str, str]], bool]:
    return lambda answers: bool(answers.get(option))


def _no_certificate(answers: Mapping[str, str]) -> bool:
    return not answers.get("cert-file")


_DEFAULT = {name: str(field.default) for name, field in AgentTable.model_fields.items()}

QUESTIONS = (
    Question("site", "agent", "site", "Site where this gateway stands (a-z, 0-9, -)"),
    Question("gateway", "agent", "gateway", "Gateway's name, unique in the fleet, the CN of its certificate"),
    Question("timezone", "agent", "timezone", "Time zone of the analysers' clocks", _DEFAULT["timezone"]),
    Question("data-dir", "agent", "data_dir", "Folder for results, on a local disk", _DEFAULT["data_dir"]),
    Question("broker", "mqtt", "urls", "Broker, mqtts://host:port; several in the order to try"),
    Question("ca-file", "mqtt", "ca_file", "File of the broker's authority; empty: the system's", "", _tls, True),
    Question("cert-file", "mqtt", "cert_file", "File of this gateway's certificate; empty: none", "", _tls, True),
    Question("key-file", "mqtt", "key_file", "File of its key", None, _has("cert-file"), True),
    Question("username", "mqtt", "username", "User name at the broker; empty: none", "", _no_certificate),
    Question(
        "password-file", "mqtt", "password_file", "File with its password; empty: none", "", _has("username"), True
    ),
)


def ask(given: Mapping[str, str], config: Path) -> Answers:
    """Ask what was not given. What was given and cannot stand is asked, too, with the reason."""
    answers: Answers = {}
    for question in QUESTIONS:
        answer = given.get(question.option)
        if answer is None and question.wanted({**given, **answers}):
            answer = answered(question.text, question.judge, question.default)
        elif answer is not None and (wrong := question.judge(answer)):
            click.echo(f"--{question.option}: {wrong}")
            answer = answered(question.text, question.judge, question.default)
        if answer is not None:
            answers[question.option] = answer
            if remark := question.remark(answer, config):
                click.echo(f"Note: {remark}.")
    return answers


def complaints(given: Mapping[str, str]) -> list[str]:
    """Without a terminal: everything that is missing and everything that cannot stand."""
    wanted = [q for q in QUESTIONS if q.default is None and q.wanted(given) and q.option not in given]
    missing = [f"missing --{question.option}: {question.text}" for question in wanted]
    wrong = [(q, q.judge(given[q.option])) for q in QUESTIONS if q.option in given]
    return [*missing, *(f"--{question.option}: {why}" for question, why in wrong if why)]


def tables(answers: Mapping[str, str]) -> dict[str, dict[str, str | list[str]]]:
    """The answers where they stand in the file."""
    found: dict[str, dict[str, str | list[str]]] = {"agent": {}, "mqtt": {}}
    for question in QUESTIONS:
        if question.option in answers:
            answer = answers[question.option]
            found[question.table][question.key] = addresses(answer) if question.key == "urls" else answer
    return found
