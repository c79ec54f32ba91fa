"""Run a session on a connection so that its end, whatever it was, ends only the connection."""

import logging

from edge_agent.transport.base import Connection, OnConnection

log = logging.getLogger(__name__)


async def serve(connection: Connection, on_connection: OnConnection) -> None:
    """Run ``on_connection``, then close. A defect in it is logged without its text, which may hold patient data."""
    try:
        await on_connection(connection)
    except Exception as defect:  # noqa: BLE001 - one analyser's defect must not close the port of the others
        log.error(
            "A session with %s ended by a defect: %s at %s.", connection.peer, type(defect).__name__, _place(defect)
        )
    finally:
        await connection.close()


def _place(defect: BaseException) -> str:
    trace = defect.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "an unknown place"
    return f"{trace.tb_frame.f_globals.get('__name__', '?')}:{trace.tb_lineno}"
