"""Looks once, after the ports are open, whether the program is the one that was released, and says if it is not."""

import asyncio
from collections.abc import Awaitable, Callable

from edge_agent.integrity import Verdict, examine
from edge_agent.monitor.alarms import Alarms

CODE = "program-changed"
NOT_YET = "files are being compared"


class Program:
    def __init__(
        self, alarms: Alarms, after: Callable[[], Awaitable[None]], look: Callable[[], Verdict] = examine
    ) -> None:
        """``look`` is called in a thread, when what ``after`` waits for is done."""
        self._alarms = alarms
        self._after = after
        self._look = look
        self.verdict: Verdict | None = None

    @property
    def text(self) -> str:
        return NOT_YET if self.verdict is None else self.verdict.text

    async def run(self) -> None:
        """Looks once, then waits to be cancelled: what runs is what was loaded, whatever is installed meanwhile."""
        await self._after()
        self.verdict = await asyncio.to_thread(self._look)
        if self.verdict.differences:
            self._alarms.raise_(CODE, what=self.verdict.named)
        await asyncio.get_running_loop().create_future()
