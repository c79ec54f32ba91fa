"""Whether there is room for a copy, and how much is missing where there is none."""

import os
from pathlib import Path

from edge_agent.errors import AgentError
from edge_agent.store.disk import MB


def refuse_full(folder: Path, needed: int) -> None:
    """Raises AgentError when fewer than ``needed`` bytes are free for this process."""
    found = os.statvfs(folder)
    free = found.f_bavail * found.f_frsize
    if free < needed:
        raise AgentError(
            f"There is not enough room in {folder}: {-(-needed // MB)} MB are needed, {free // MB} MB are free.",
            code="no-room",
            action="Free space there, or name another place.",
        )
