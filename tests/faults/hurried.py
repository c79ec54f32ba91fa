"""The agent with small numbers, so that what it does once in a thousand messages comes with each."""

from edge_agent.store import connection, identity

_SMALL = {"wal_autocheckpoint": "12", "journal_size_limit": "8192"}


def hurry() -> None:
    """A checkpoint after a few commits, its log cut off by the next, and ids promised in blocks of two."""
    connection._PRAGMAS = tuple(
        (name, _SMALL.get(name, value), _SMALL.get(name, wanted)) for name, value, wanted in connection._PRAGMAS
    )
    identity.BLOCK = 2
