"""The port of the metrics: open where and while the configuration says so.

``prometheus_client`` is an extra: it is imported when the port is first wanted.
"""

import asyncio

from edge_agent.generation import Generation
from edge_agent.metrics.gather import gather
from edge_agent.questions import Questions


class MetricsPort:
    def __init__(self, generation: Generation, questions: Questions) -> None:
        self._generation = generation
        self._questions = questions
        self._changed = asyncio.Event()

    def use(self, generation: Generation) -> None:
        """Another configuration. A port that stays where it is stays open."""
        moved = generation.settings.metrics != self._generation.settings.metrics
        self._generation = generation
        if moved:
            self._changed.set()

    async def run(self) -> None:
        """Serve until cancelled."""
        while True:
            self._changed.clear()
            async with asyncio.TaskGroup() as group:
                serving = group.create_task(self._serve(), name="metrics")
                await self._changed.wait()
                serving.cancel()

    async def _serve(self) -> None:
        if not self._generation.settings.metrics.listen:
            return
        from edge_agent.metrics.endpoint import Endpoint

        address = self._generation.settings.metrics.address
        await Endpoint(address, lambda: gather(self._questions, self._generation.cert_file)).run()
