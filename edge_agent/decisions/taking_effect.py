"""What a person decided is on the disk; the running agent takes it into use."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from edge_agent.errors import AgentError

Reload = Callable[[str], Awaitable[Mapping[str, Any]]]  # with who asked; what was done, with a "sentence"


async def take_into_use(reload: Reload, who: str) -> dict[str, Any]:
    """The decision stands by now, so what goes wrong here is told beside it and not instead of it: ``in_use``."""
    try:
        return {"in_use": True, **await reload(who)}
    except AgentError as error:
        return {"in_use": False, "sentence": f"It is not in use yet: {error.sentence} {error.action}"}
