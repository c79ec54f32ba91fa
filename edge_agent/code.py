"""What a row of the table of codes is."""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """WARNING: odd, nothing lost. ERROR: a person is needed."""

    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Code:
    id: str
    severity: Severity
    sentence: str
    action: str
