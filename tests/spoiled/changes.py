"""One change to a good message, as a function of its bytes. Each names what it does; none knows the rules."""

from collections.abc import Callable

Change = Callable[[bytes], bytes]


def _segments(payload: bytes) -> list[str]:
    return payload.decode("utf-8").split("\r")[:-1]


def _joined(segments: list[str]) -> bytes:
    return "".join(segment + "\r" for segment in segments).encode("utf-8")


def _place(segments: list[str], name: str, occurrence: int) -> int:
    places = [place for place, segment in enumerate(segments) if segment.startswith(name + "|")]
    return places[occurrence - 1]


def put(name: str, n: int, value: str, occurrence: int = 1) -> Change:
    """Write ``value`` into field n of the segment (fields are added as needed)."""

    def change(payload: bytes) -> bytes:
        segments = _segments(payload)
        place = _place(segments, name, occurrence)
        fields = segments[place].split("|")
        index = n - 1 if name == "MSH" else n
        fields += [""] * (index + 1 - len(fields))
        fields[index] = value
        segments[place] = "|".join(fields)
        return _joined(segments)

    return change


def drop(name: str, occurrence: int = 1) -> Change:
    """Leave the segment out."""

    def change(payload: bytes) -> bytes:
        segments = _segments(payload)
        del segments[_place(segments, name, occurrence)]
        return _joined(segments)

    return change


def move(name: str, before: str, occurrence: int = 1) -> Change:
    """Put the segment before the first ``before`` (or at the end for "")."""

    def change(payload: bytes) -> bytes:
        segments = _segments(payload)
        segment = segments.pop(_place(segments, name, occurrence))
        segments.insert(_place(segments, before, 1) if before else len(segments), segment)
        return _joined(segments)

    return change


def add(segment: str, before: str = "") -> Change:
    """Insert a whole segment before the first ``before``, or at the end."""

    def change(payload: bytes) -> bytes:
        segments = _segments(payload)
        segments.insert(_place(segments, before, 1) if before else len(segments), segment)
        return _joined(segments)

    return change


def swap(old: bytes, new: bytes) -> Change:
    """Replace the first ``old``; an absent ``old`` is an error in the table."""

    def change(payload: bytes) -> bytes:
        if old not in payload:
            raise KeyError(old)
        return payload.replace(old, new, 1)

    return change


def every(old: bytes, new: bytes) -> Change:
    """Replace all ``old``."""
    return lambda payload: payload.replace(old, new)


def both(*changes: Change) -> Change:
    """One change after the other."""

    def change(payload: bytes) -> bytes:
        for single in changes:
            payload = single(payload)
        return payload

    return change
