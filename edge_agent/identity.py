"""When two observations are the same one (design invariant 3).

The identity is content: analyser, specimen, patient, full test code, value, unit, range, flags, status, run, result
time and attached comments. Sequence numbers, the header's time and control id and the "previously transmitted" mark do
not count: they differ between a transmission and its resend. Equal replicates of one transmission are told apart by
their ordinal, so the second of two equal ones is compared with the second of the other transmission's.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from drivers.canonical import Observation, Specimen
from edge_agent.store.rows import ObservationKey
from edge_agent.to_hl7_status import result_status

# LIS02-A2 R.9 "R" says "sent before"; the first sending of the same final result said "F".
_RESENT, _FINAL = "R", "F"
_FIELDS: Mapping[str, tuple[str, object]] = {
    "unit": ("unit", ""),
    "range": ("range", ""),
    "flags": ("flags", ()),
    "status": ("status", ""),
    "run": ("run", ""),
    "time": ("completed", ""),
    "comments": ("comments", ()),
}
_TO_THE_MINUTE = re.compile(r"\D*\d{12}|\D*\d{4}\D\d{2}\D\d{2}\D+\d{2}\D\d{2}")


class KeyRing:
    """Gives keys to the observations of one transmission, in the order they were sent."""

    def __init__(self, analyser: str, volatile: Collection[str] = ()) -> None:
        """``volatile``: what the profile says this device changes when it sends a result again."""
        self._analyser = analyser
        self._volatile = volatile
        self._seen: Counter[bytes] = Counter()

    def key(self, specimen: Specimen, observation: Observation, report_type: str = "") -> ObservationKey:
        """``report_type``: the order's O.26, which decides the status where the result has none of its own."""
        steady = _without(observation, self._volatile)
        digest = observation_digest(self._analyser, specimen, steady, "" if "status" in self._volatile else report_type)
        occurrence = self._seen[digest]
        self._seen[digest] += 1
        return ObservationKey(digest, occurrence)

    def timed(self, observation: Observation) -> bool:
        """Whether equal content is a repeat for good. Not where the time itself changes when a result is sent again."""
        return "time" not in self._volatile and timed_to_the_minute(observation)


def observation_digest(analyser: str, specimen: Specimen, observation: Observation, report_type: str = "") -> bytes:
    """SHA-256 over the identity's fields, each with its length in front so that no two sets of fields run together."""
    status = _FINAL if observation.status == _RESENT or observation.resend else observation.status
    graphic = observation.graphic.data if observation.graphic else ""
    return _digest(
        (
            analyser,
            specimen.id,
            specimen.patient.id,
            observation.full_code,
            observation.component,
            observation.value,
            observation.unit,
            observation.range,
            *_counted(observation.flags),
            status,
            result_status(status, report_type, ""),  # preliminary by its order and final later: not a repeat
            observation.run,
            observation.completed,
            observation.no_result,
            *_counted(c.text for c in observation.comments),
            graphic,
        )
    )


def _without(observation: Observation, volatile: Collection[str]) -> Observation:
    emptied = {field: empty for word in volatile for field, empty in (_FIELDS[word],)}
    return replace(observation, **emptied) if emptied else observation  # type: ignore[arg-type]  # texts and tuples


def specimen_key(analyser: str, specimen: Specimen) -> bytes:
    """Which messages must keep their order: those of one specimen of one analyser."""
    return _digest((analyser, specimen.id))


def timed_to_the_minute(observation: Observation) -> bool:
    """Whether the result time can tell a resend from a new measurement with the same value."""
    return bool(_TO_THE_MINUTE.match(observation.completed))


def _counted(texts: Iterable[str]) -> tuple[str, ...]:
    parts = tuple(texts)
    return (str(len(parts)), *parts)


def _digest(parts: Iterable[str]) -> bytes:
    sha = hashlib.sha256()
    for part in parts:
        data = part.encode()
        sha.update(len(data).to_bytes(4, "big"))
        sha.update(data)
    return sha.digest()
