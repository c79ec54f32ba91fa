"""A serial line without hardware: two pseudo-terminals and a wire between them, as slow as the real one."""

import os
import select
import threading
import time
import tty

BITS_PER_BYTE = 10  # start, eight data, stop
PIECE = 32


class SerialLine:
    """``agent_end`` and ``analyser_end`` are device paths. Bytes cross at the line's rate in each direction."""

    def __init__(self, baudrate: int = 9600) -> None:
        self._pause = BITS_PER_BYTE / baudrate
        self._masters: list[int] = []
        self._slaves: list[int] = []  # held open, so that a port closed by one side does not hang up the line
        for _ in range(2):
            master, slave = os.openpty()
            tty.setraw(slave)
            self._masters.append(master)
            self._slaves.append(slave)
        self.agent_end, self.analyser_end = (os.ttyname(slave) for slave in self._slaves)
        self._cut = threading.Event()
        first, second = self._masters
        self._wires = [
            threading.Thread(target=self._carry, args=ends, name="serial-wire", daemon=True)
            for ends in ((first, second), (second, first))
        ]

    def start(self) -> None:
        for wire in self._wires:
            wire.start()

    def stop(self) -> None:
        self._cut.set()
        for wire in self._wires:
            wire.join(2)
        for end in (*self._masters, *self._slaves):
            os.close(end)

    def _carry(self, source: int, target: int) -> None:
        while not self._cut.is_set():
            ready, _, _ = select.select([source], [], [], 0.2)
            if not ready:
                continue
            data = os.read(source, PIECE)
            time.sleep(len(data) * self._pause)
            os.write(target, data)
