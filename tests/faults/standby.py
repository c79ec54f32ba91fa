"""An agent that is started without its imports, so that a round of killing and starting costs a tenth of a second.

    python standby.py DEFECT CONFIG     # loads everything, then forks an agent for each byte on its standard input

What is forked is the program as imported, before it touched anything; configuration, store and ports are read and
opened by the new process, as in ``python -m edge_agent``. DEFECT is one of PRELUDES.
"""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from end_to_end.lab import ROOT, AgentProcess, started
from faults.defective import DEFECTS
from faults.hurried import hurry, leave_the_log

GO = b"."
NONE = "none"
PRELUDES = {**DEFECTS, NONE: lambda: None, "hurried": hurry, "leave-the-log": leave_the_log}


class Forked:
    """What ``subprocess.Popen`` offers, for a process that is not our child."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._fd = os.pidfd_open(pid)
        self._gone = False

    def send_signal(self, number: int) -> None:
        if not self._gone:
            signal.pidfd_send_signal(self._fd, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def poll(self) -> int | None:
        """None while it runs. How it ended is not known here."""
        return 0 if self._ended(0) else None

    def wait(self, patience: float) -> int:
        if not self._ended(patience):
            raise subprocess.TimeoutExpired("agent", patience)
        return 0

    def _ended(self, patience: float) -> bool:
        if not self._gone and select.select([self._fd], [], [], patience)[0]:
            os.close(self._fd)
            self._gone = True
        return self._gone


class StandbyAgent(AgentProcess):
    defect = NONE
    _server: "subprocess.Popen[bytes] | None" = None

    def launch(self) -> None:
        if self._server is None:
            self._server = self._loaded()
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(GO)
        self._server.stdin.flush()
        self.process = Forked(int(self._server.stdout.readline()))

    def _loaded(self) -> "subprocess.Popen[bytes]":
        command = [*self.before, sys.executable, "-W", "error", __file__, self.defect, str(self.config)]
        env = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", **self.more}
        with self.log.open("ab") as log:
            return subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=env
            )

    def ended(self, patience: float = 30.0) -> None:
        """Wait until it is gone, killed from outside."""
        assert self.process is not None
        self.process.wait(patience)
        self.process = None

    def dismiss(self) -> None:
        """No more will be started."""
        if self._server is not None:
            self._server.communicate(timeout=20)
            self._server = None


@contextmanager
def standing_by(agent: StandbyAgent) -> Iterator[StandbyAgent]:
    """A running agent; at the end nothing of it is left."""
    try:
        with started(agent):
            yield agent
    finally:
        agent.dismiss()


def _serve(config: str) -> None:
    """Fork for each byte; who ends is reaped by the system."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while sys.stdin.buffer.read(1) == GO:
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.close(0)
            os.dup2(2, 1)
            sys.argv[1:] = ["run", "--config", config]
            main()
        print(pid, flush=True)


if __name__ == "__main__":
    import edge_agent.agent  # noqa: F401
    from edge_agent.cli.main import main

    defect, config = sys.argv[1:]
    PRELUDES[defect]()
    _serve(config)
