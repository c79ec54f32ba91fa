"""Messages as an analyser sends them: 30 records, 24 of them results, each in a frame of its own, about 95 bytes."""

from collections.abc import Iterator

RESULTS = 24
RECORDS = 30
_CODES = ("WBC", "RBC", "HGB", "HCT", "MCV", "MCH", "MCHC", "PLT", "NEUT%", "LYMPH%", "MONO%", "EO%")


def records(number: int) -> list[str]:
    """One specimen's message; different numbers make different specimens."""
    at = f"2026030110{number // 60 % 60:02d}{number % 60:02d}"
    results = [
        f"R|{n}|^^^{_CODES[n % 12]}{n // 12}|{number % 90 + 1}.{n:02d}|10*3/uL|3.90^9.80|N||F||tech^lead||{at}"
        for n in range(1, RESULTS + 1)
    ]
    return [
        f"H|\\^&|||Bench^1.0^A1||||||||LIS2-A|{at}",
        f"P|1||PID{number:07d}||Brown^Bobby^B||19650102|M",
        "C|1|I|fasting^yes|G",
        f"O|1|B{number:09d}||^^^CBC|R||{at}||||N||||SERUM",
        "C|1|I|seen^no|G",
        *results,
        "L|1|N",
    ]


def frames(number: int) -> list[bytes]:
    """The records as frames 1, 2, ... 7, 0, 1 ... (LIS01-A2 6.3)."""
    return [frame(n, record) for n, record in enumerate(records(number), start=1)]


def frame(number: int, record: str) -> bytes:
    body = b"%d%s\r\x03" % (number % 8, record.encode())
    return b"\x02%s%02X\r\n" % (body, sum(body) % 256)


def session(number: int) -> bytes:
    """ENQ, frames, EOT, as if nobody had to wait."""
    return b"\x05" + b"".join(frames(number)) + b"\x04"


def cut(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))
