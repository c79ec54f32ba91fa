"""Cables that can be pulled: network namespaces of one run, joined by veth pairs.

A thread enters a namespace, and what it starts there (threads, processes, sockets) stays there. Everything is taken
down at the end, whatever happened; names are of this process alone.
"""

import contextlib
import ctypes
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr.strip()}"


def _enter(path: Path) -> None:
    with path.open("rb") as namespace:
        if _libc.setns(namespace.fileno(), _NEWNET) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


@contextmanager
def inside(name: str) -> Iterator[None]:
    """This thread, and what it starts, is in that namespace."""
    home = Path(f"/proc/self/task/{threading.get_native_id()}/ns/net")
    with home.open("rb") as before:
        _enter(Path("/run/netns") / name)
        try:
            yield
        finally:
            assert _libc.setns(before.fileno(), _NEWNET) == 0


@dataclass(frozen=True)
class Cable:
    """From the agent to something else. ``near`` is the agent's address, ``far`` the other's."""

    far_namespace: str
    device: str
    near: str
    far: str

    def pull(self) -> None:
        _ip("-n", self.far_namespace, "link", "set", self.device, "down")

    def plug_in(self) -> None:
        _ip("-n", self.far_namespace, "link", "set", self.device, "up")


class Room:
    """A namespace for the agent, and one at the other end of each cable."""

    def __init__(self) -> None:
        self._mark = f"fault{os.getpid()}"
        self.agent = f"{self._mark}-agent"
        self._made: list[str] = []
        self._add(self.agent)

    def _add(self, name: str) -> None:
        _ip("netns", "add", name)
        self._made.append(name)
        _ip("-n", name, "link", "set", "lo", "up")

    def cable(self) -> Cable:
        number = len(self._made)
        far = f"{self._mark}-{number}"
        self._add(far)
        made = Cable(far, "far0", f"10.99.{number}.1", f"10.99.{number}.2")
        near_device = f"near{number}"
        _ip("-n", self.agent, "link", "add", near_device, "type", "veth", "peer", "name", made.device, "netns", far)
        for namespace, device, address in ((self.agent, near_device, made.near), (far, made.device, made.far)):
            _ip("-n", namespace, "address", "add", f"{address}/30", "dev", device)
            _ip("-n", namespace, "link", "set", device, "up")
        return made

    def remove(self) -> None:
        for name in self._made:
            with contextlib.suppress(AssertionError):
                _ip("netns", "del", name)


@contextmanager
def room() -> Iterator[Room]:
    made = Room()
    try:
        yield made
    finally:
        made.remove()
