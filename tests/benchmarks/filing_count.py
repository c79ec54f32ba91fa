"""What a management system got, in counts that hold for millions: a bit per message, a number per specimen.

Looked at before anything is recognised as a repeat. ``repeats``: the same id again, which a retry is allowed to be.
``doubled``: one place of an analyser's sequence under two ids. ``altered``: bytes that are not those of the digest.
``overtaken``: a message of a specimen that came after a later one of it. ``late``: how many places behind the newest
of its analyser the latest comer was, retries and what had to wait for one apart.
"""

import re
from array import array

_SPECIMEN = re.compile(rb"\rSPM\|[^|]*\|(\d+)")
_MOST = 1 << 24


class _Places:
    """Which places of one analyser's sequence (of one identity of its store) have come, and under which number."""

    def __init__(self) -> None:
        self.newest = 0
        self._ids = array("Q")

    def first_time(self, sequence: int, number: int) -> bool | None:
        """None: it had come under another id."""
        if sequence >= len(self._ids):
            self._ids.extend([0] * (max(sequence + 1, 2 * len(self._ids)) - len(self._ids)))
        known = self._ids[sequence]
        self._ids[sequence] = known or number
        return not known if known in (0, number) else None


class FilingCount:
    def __init__(self) -> None:
        self.messages = 0  # different ones, on the ledger's disk
        self.repeats = self.doubled = self.altered = self.overtaken = self.late = 0
        self._new = 0
        self._places: dict[tuple[str, bytes], _Places] = {}
        self._specimens = array("Q")
        self._retried = set[int]()  # specimens whose later messages waited for a retry

    def add(self, topic: str, id_: bytes, digest: str, user: dict[str, str], payload: bytes) -> None:
        self.altered += digest != user.get("digest")
        identity, _, number = id_.rpartition(b"-")
        analyser = topic.split("/up/", 1)[1].split("/", 1)[0]
        places = self._places.setdefault((analyser, identity), _Places())
        sequence, replay = int(user.get("sequence", 0)), user.get("replay")
        first = places.first_time(sequence, int(number))
        self.doubled += first is None
        self.repeats += first is False
        self._new += bool(first)
        found = _SPECIMEN.search(payload)
        specimen = int(found[1]) if found is not None else _MOST
        if replay != "original":
            self._retried.add(specimen)
        if first:
            self._in_order(places, specimen, sequence)

    def _in_order(self, places: _Places, specimen: int, sequence: int) -> None:
        self.overtaken += self._is_overtaken(specimen, sequence)
        if specimen not in self._retried:
            self.late = max(self.late, places.newest - sequence)
            places.newest = max(places.newest, sequence)

    def _is_overtaken(self, specimen: int, sequence: int) -> bool:
        if specimen >= _MOST:
            return False
        if specimen >= len(self._specimens):
            self._specimens.extend([0] * (max(specimen + 1, 2 * len(self._specimens)) - len(self._specimens)))
        newest = self._specimens[specimen]
        self._specimens[specimen] = max(newest, sequence)
        return newest > sequence

    def filed(self) -> None:
        """All that was added is on the ledger's disk."""
        self.messages += self._new
        self._new = 0

    def told(self) -> dict[str, int]:
        names = ("messages", "repeats", "doubled", "altered", "overtaken", "late")
        return {name: getattr(self, name) for name in names}
