"""The agent with small numbers: what it does once in a thousand messages comes with each, and its waits are short."""

from edge_agent import converter, intake
from edge_agent.publisher import retries, sender
from edge_agent.store import connection, identity, thread
from edge_agent.watch import Watch

_SMALL = {"wal_autocheckpoint": "12", "journal_size_limit": "8192"}


def hurry() -> None:
    """A checkpoint after a few commits, its log cut off by the next, and ids promised in blocks of two."""
    connection._PRAGMAS = tuple(
        (name, _SMALL.get(name, value), _SMALL.get(name, wanted)) for name, value, wanted in connection._PRAGMAS
    )
    connection.LOG_EVERY = 20
    identity.BLOCK = 2
    intake.RETRY_S = converter.RETRY_S = 0.1
    thread.RETRY_MAX_S = sender._LOOK_AGAIN_S = retries.BASE_S = 0.5
    assert Watch.__init__.__kwdefaults__ is not None
    Watch.__init__.__kwdefaults__["every_s"] = 0.2


def leave_the_log() -> None:
    """The same, and nobody looks whether the log still gets into the database."""
    hurry()
    connection.LOG_EVERY = 10**9
