"""Who asked over the control socket, and the note that says why."""

import asyncio
from collections.abc import Mapping
from typing import Any

from edge_agent.control import user
from edge_agent.errors import AgentError
from edge_agent.store.errors import NoteRequiredError

_LONGEST_NOTE = 500


async def who_asks(request: Mapping[str, Any]) -> str:
    """Put there by the control server. The name may come from a directory service, so not in the event loop."""
    return await asyncio.to_thread(user, int(request["uid"]))


def note_of(request: Mapping[str, Any]) -> str:
    """The note, or "". Raises AgentError for one that is too long."""
    note = request.get("note") or ""
    if not isinstance(note, str) or len(note) > _LONGEST_NOTE:
        raise AgentError("The note is too long.", code="usage", action=f"Use at most {_LONGEST_NOTE} characters.")
    return note.strip()


def needed_note(request: Mapping[str, Any]) -> str:
    """Raises NoteRequiredError where there is none."""
    note = note_of(request)
    if not note:
        raise NoteRequiredError
    return note
