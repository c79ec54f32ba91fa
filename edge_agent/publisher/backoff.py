"""Waiting longer after every failure, never longer than the cap, never all gateways at once."""

from random import Random


def whole(attempt: int, *, base_s: float, cap_s: float) -> float:
    """Seconds to wait at most after failure number ``attempt`` (0 = the first)."""
    return min(cap_s, base_s * (1 << min(attempt, 32)))


def jitter(rng: Random) -> float:
    """What part of the whole is waited: half of it fixed, half drawn."""
    return 0.5 + rng.random() / 2


def delay(attempt: int, *, base_s: float, cap_s: float, rng: Random) -> float:
    return whole(attempt, base_s=base_s, cap_s=cap_s) * jitter(rng)
