"""The agent with defects whose own words quote a patient: ``python defective_agent.py run --config FILE``.

A driver fails on what it reads, an answer of the socket fails, and with EDGE_AGENT_CRASH set everything that can end
badly does: a callback, a thread, a task nobody waits for, a line of the log, a warning, and at last a part.
"""

import asyncio
import gc
import logging
import os
import threading
import warnings

from end_to_end.canaries import CANARIES

from drivers.sdk import Device
from edge_agent.cli.main import main
from edge_agent.questions import Questions
from edge_agent.watch import Watch

WORDS = " ".join(CANARIES.values())
DEFECT = b"DEFECT"
_read, _show, _look = Device.read, Questions.show, Watch.look
looks = 0


def read(self, text, **more):
    if DEFECT in text:
        raise ValueError(f"invalid literal: {text!r} {WORDS}")
    return _read(self, text, **more)


async def show(self, request):
    if request.get("id") == "defect":
        raise LookupError(WORDS)
    return await _show(self, request)


def fail(*words: str) -> None:
    raise RuntimeError(WORDS, *words)


async def fail_alone() -> None:
    fail()


class Unraisable:
    def __del__(self) -> None:
        fail()


async def look(self) -> None:
    global looks
    looks += 1
    await _look(self)
    if looks == 1:
        return
    asyncio.get_running_loop().call_soon(fail, WORDS)
    alone = asyncio.create_task(fail_alone(), name="alone")
    await asyncio.sleep(0.01)
    del alone
    gc.collect()
    thread = threading.Thread(target=fail, name="thread")
    thread.start()
    thread.join()
    Unraisable()
    logging.getLogger("edge_agent").info("%d", WORDS)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.warn(WORDS, UserWarning, stacklevel=1)
    fail()


Device.read, Questions.show = read, show
if os.environ.get("EDGE_AGENT_CRASH"):
    Watch.look = look
main()
