"""The libraries of the agent, loaded, and an event loop in which nothing happens until the line ends."""

import asyncio
import importlib
import sys

from benchmarks.kit import say


async def wait() -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    say("ready")
    await reader.read()


def main() -> None:
    for name in ("click", "logging", "paho.mqtt.client", "pydantic", "serial", "sqlite3", "ssl"):
        importlib.import_module(name)
    asyncio.run(wait())


if __name__ == "__main__":
    main()
