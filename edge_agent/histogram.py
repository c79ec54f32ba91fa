"""How long things took: a count per upper bound, and the sum. Written by one thread, read by any."""

from collections.abc import Sequence


class Histogram:
    def __init__(self, bounds: Sequence[float]) -> None:
        """``bounds``: upper ones in seconds, rising; one without end is added."""
        self._bounds = (*bounds, float("inf"))
        self._counts = [0] * len(self._bounds)
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        self.sum += seconds
        for place, bound in enumerate(self._bounds):
            if seconds <= bound:
                self._counts[place] += 1
                return

    @property
    def count(self) -> int:
        return sum(self._counts)

    def buckets(self) -> list[tuple[float, int]]:
        """(upper bound, how many took at most so long)."""
        found, so_far = [], 0
        for bound, count in zip(self._bounds, self._counts, strict=True):
            so_far += count
            found.append((bound, so_far))
        return found
