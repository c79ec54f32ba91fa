"""How long to wait before a port is tried again."""

import random


class Backoff:
    """Doubling waits with jitter: at least half of each step, so that a room of gateways does not knock as one."""

    def __init__(self, rng: random.Random, *, first: float = 0.5, cap: float = 30.0) -> None:
        self._rng = rng
        self._first = first
        self._cap = cap
        self._step = first

    def next(self) -> float:
        """Seconds to wait now."""
        step = self._step
        self._step = min(step * 2, self._cap)
        return step * (0.5 + self._rng.random() / 2)

    def reset(self) -> None:
        self._step = self._first
