"""What the self-test's analyser sends: made-up results, each value once, so that a result found says which one it is.

Promised: the same seed gives the same messages; no text looks like a patient's. The frames are written here, by
LIS01-A2 6.3 and 6.4.1, and share no code with the receiver under test: a mistake must not meet its mirror image.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

_LONGEST_TEXT = 240  # characters of a frame's text in E1381; a longer record goes on in the next frame
_LONGEST_COMMENT = 900
_MOST_SPECIMENS, _MOST_RESULTS = 2, 5
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ abcdefghijklmnopqrstuvwxyz 0123456789"


@dataclass(frozen=True, slots=True)
class Message:
    number: int
    results: dict[tuple[str, str], str]  # (specimen, code) -> value
    records: tuple[bytes, ...]  # without the header, each with its CR

    def frames(self, attempt: int) -> tuple[bytes, ...]:
        """As it goes over the wire. The header has the attempt's number (H.3), so that no two attempts are equal."""
        header = f"H|\\^&|{attempt}||edge-agent selftest|||||||P|LIS02-A2|20240301101500\r".encode()
        texts = (part for record in (header, *self.records) for part in _parts(record))
        return tuple(frame(number, text, last=last) for number, (text, last) in enumerate(texts, start=1))


def frame(number: int, text: bytes, *, last: bool = True) -> bytes:
    """From STX to the check digits: what the store keeps. CR LF, which end it on the line, are the sender's to add."""
    body = b"%d%s%s" % (number % 8, text, b"\x03" if last else b"\x17")
    return b"\x02%s%02X" % (body, sum(body) % 256)


def _parts(record: bytes) -> Iterator[tuple[bytes, bool]]:
    """ETB says that the record goes on, ETX ends it."""
    for start in range(0, len(record), _LONGEST_TEXT):
        part = record[start : start + _LONGEST_TEXT]
        yield part, start + _LONGEST_TEXT >= len(record)


def messages(rng: Random) -> Iterator[Message]:
    """Without end."""
    value = 0
    number = 0
    while True:
        number += 1
        results: dict[tuple[str, str], str] = {}
        records = []
        for place in range(1, rng.randint(1, _MOST_SPECIMENS) + 1):
            specimen = f"SELFTEST-{number:06d}-{place}"
            records += [f"P|{place}\r", f"O|1|{specimen}||^^^TEST|R||20240301093000||||N||||||||||||||F\r"]
            for line in range(1, rng.randint(1, _MOST_RESULTS) + 1):
                value += 1
                results[specimen, f"T{line}"] = f"{value}.5"
                records.append(f"R|{line}|^^^T{line}|{value}.5|mmol/L|||||F||||20240301101200\r")
                if rng.random() < 0.2:
                    records.append(f"C|1|I|{_comment(rng)}|G\r")
        yield Message(number, results, tuple(r.encode() for r in (*records, "L|1|N\r")))


def _comment(rng: Random) -> str:
    return "".join(rng.choices(_LETTERS, k=rng.randint(1, _LONGEST_COMMENT))).strip()
