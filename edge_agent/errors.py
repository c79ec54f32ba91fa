"""The agent's errors.

AgentError                 one sentence, a code, a next action
├── ConfigurationError     every mistake of a configuration at once (exit 78)
├── OutOfServiceError      this data directory was decommissioned (exit 78)
├── NotRunningError        no agent answers on the control socket
└── UnknownIdError         no message, transmission or specimen has this id
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


class AgentError(Exception):
    """What a person is told: a sentence, a code, and what to do next. Never patient data."""

    def __init__(self, sentence: str, *, code: str, action: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.code = code
        self.action = action


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a configuration file. ``line`` is 0 when the file as a whole is meant."""

    file: Path
    line: int
    key: str
    text: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else str(self.file)
        return f"{place}: {self.key}: {self.text}" if self.key else f"{place}: {self.text}"


class ConfigurationError(AgentError):
    def __init__(self, problems: Sequence[Problem]) -> None:
        count = "one mistake" if len(problems) == 1 else f"{len(problems)} mistakes"
        super().__init__(
            f"The configuration has {count}.", code="configuration", action="Correct the lines above, then run `check`."
        )
        self.problems = tuple(problems)


class OutOfServiceError(AgentError):
    def __init__(self, mark: Path) -> None:
        super().__init__(
            f"This gateway was decommissioned: {mark} says when and by whom.",
            code="decommissioned",
            action="Name another data_dir; or, to take this one into service again, delete that file.",
        )


class NotRunningError(AgentError):
    def __init__(self, socket: Path) -> None:
        super().__init__(
            f"No agent is running for this configuration (nothing answers at {socket}).",
            code="not-running",
            action="Look why with `systemctl status edge-agent`; start it with `systemctl start edge-agent` (where it "
            "is no service, `edge-agent run`); or name its configuration with --config.",
        )


class UnknownIdError(AgentError):
    def __init__(self) -> None:
        super().__init__(
            "Nothing with this id is in the store.",
            code="unknown-id",
            action="Use a message id of `edge-agent queue`; `show` and `trace` also take a specimen id, "
            "`trace` and `retry` a transmission (t12).",
        )
