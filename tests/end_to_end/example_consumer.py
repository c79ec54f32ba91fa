"""The example of docs/mqtt-contract.md as a process: docs/consumer.py, as it is, or killed at the worst moment."""

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

FILE = Path(__file__).parents[2] / "docs" / "consumer.py"
# Runs the file unchanged, in a Python whose paho kills the process where its n-th acknowledgement would go out.
_KILLED = """
import os, runpy, signal, sys
import paho.mqtt.client
publish, last = paho.mqtt.client.Client.publish, int(sys.argv[1])
def killed(client, topic, *rest):
    global last
    last -= "/down/ack/" in topic
    if not last:
        os.kill(os.getpid(), signal.SIGKILL)
    return publish(client, topic, *rest)
paho.mqtt.client.Client.publish = killed
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


class Consumer:
    def __init__(self, host: str, port: int, database: Path, instance: str = "a", group: str = "") -> None:
        self.database = database
        self._errors = database.with_name(f"{database.stem}-{instance}.err")
        self._words = [str(FILE), host, str(port), str(database), instance, *([group] if group else [])]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *, killed_instead_of_answer: int = 0) -> None:
        """``killed_instead_of_answer``: it files that many results and kills itself (-9) before it answers the last."""
        program = ["-c", _KILLED, str(killed_instead_of_answer)] if killed_instead_of_answer else []
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen([sys.executable, *program, *self._words], stderr=errors)

    def said(self) -> str:
        """Its standard error, since it was started last."""
        return self._errors.read_text(encoding="utf-8")

    def ended(self) -> int | None:
        """How it ended; None while it runs."""
        return None if self._process is None else self._process.poll()

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(20)
        self._process = None

    def filed(self) -> list[tuple[str, str, int]]:
        """(id, topic, sequence) of what its database holds."""
        if not self.database.exists():
            return []
        with closing(sqlite3.connect(self.database, timeout=30)) as db:
            try:
                return db.execute("SELECT id, topic, sequence FROM filed ORDER BY rowid").fetchall()
            except sqlite3.OperationalError:
                return []  # the file is there, its table not yet


@contextmanager
def consumer(host: str, port: int, database: Path, instance: str = "a", group: str = "") -> Iterator[Consumer]:
    """Not started."""
    made = Consumer(host, port, database, instance, group)
    try:
        yield made
    finally:
        made.kill()
