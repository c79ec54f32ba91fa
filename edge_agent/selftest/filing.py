"""Puts a statement where it is filed.

Promised: whole or not at all, on the disk when ``file`` returns, readable for everybody (nothing of a patient is in
it); what is there is never overwritten.
"""

import os
from pathlib import Path

from edge_agent.errors import AgentError
from edge_agent.store.directory import sync_directory


def refuse(path: Path) -> None:
    """Before minutes are spent. Raises AgentError."""
    if os.path.lexists(path):
        raise _place(f"{path} exists", "Name a new file: what was filed is not written over.")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise _place(f"{path.parent} is no folder this user may write to", "Name another.")


def file(path: Path, text: str) -> None:
    """Raises AgentError."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        try:
            with open(os.open(aside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8") as opened:
                opened.write(text)
                opened.flush()
                os.fchmod(opened.fileno(), 0o644)
                os.fsync(opened.fileno())
            os.link(aside, path)  # unlike a rename it fails where something is
        finally:
            aside.unlink(missing_ok=True)
        sync_directory(path.parent)
    except OSError as error:
        raise _place(f"{path}: {os.strerror(error.errno or 0)}", "Name another file.") from error


def _place(what: str, action: str) -> AgentError:
    return AgentError(f"The verdict cannot be written: {what}.", code="selftest-place", action=action)
