"""Patients that exist nowhere, and a search for them in every form a text can take.

Nothing of the project is used to make a form. What is found is named, so that a failure says where to look.
"""

import base64
import json
import math
import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote

PATIENT, NAME, LATIN, SPECIMEN = "CANARY-7741", "김카나리", "Kanariënvögel", "CANSPC"
VALUE, OPERATOR, COMMENT, BORN = "7741.774", "OPKANARI", "kommentarkanari", "19770401"
NOTE, PASSWORD, WARD = "notizkanari", "pwkanari-77", "stationkanari"
CANARIES: Mapping[str, str] = {
    "patient's id": PATIENT,
    "Korean name": NAME,
    "Latin name": LATIN,
    "specimen": SPECIMEN,
    "value": VALUE,
    "operator": OPERATOR,
    "comment": COMMENT,
    "birth date": BORN,
    "birth date with dashes": "1977-04-01",
    "a person's note": NOTE,
    "password": PASSWORD,
    "ward": WARD,
}
_CHARSETS = ("utf-8", "euc-kr", "latin-1", "utf-16-le", "utf-16-be")


def tube(number: int) -> str:
    return f"{SPECIMEN}-{number:02}"


def forms(text: str) -> dict[str, bytes]:
    """The text as it may stand in a file, a log, a URL or a payload: form -> bytes. Only base64 minds its case."""
    found: dict[str, bytes] = {}
    for charset in _CHARSETS:
        try:
            raw = text.encode(charset)
        except UnicodeEncodeError:
            continue
        found[charset] = raw
        found |= {f"{form} of {charset}": made for form, made in _of_bytes(raw).items()}
    found["JSON with escapes"] = json.dumps(text)[1:-1].encode()
    found["Python's ascii()"] = ascii(text)[1:-1].encode()
    found["percent-encoded"] = quote(text, safe="").encode()
    return found


def _of_bytes(raw: bytes) -> dict[str, bytes]:
    pairs = [b"%02x" % byte for byte in raw]
    made = {
        "hex": b"".join(pairs),
        "hex with blanks": b" ".join(pairs),
        "hex with colons": b":".join(pairs),
        "every byte percent-encoded": b"".join(b"%" + pair for pair in pairs),
        "every byte in angle brackets": b"".join(b"<" + pair + b">" for pair in pairs),
        "Python's repr": repr(raw)[2:-1].encode(),
    }
    for before in range(3):
        made[f"base64 behind {before} bytes"] = _base64(raw, before)
        made[f"base64 for URLs behind {before} bytes"] = _base64(raw, before).translate(bytes.maketrans(b"+/", b"-_"))
    return made


def _base64(raw: bytes, before: int) -> bytes:
    """The characters that depend on ``raw`` alone, wherever it stands (RFC 4648 section 4: six bits each)."""
    coded = base64.b64encode(b"\0" * before + raw + b"\0\0\0")
    return coded[math.ceil(before * 8 / 6) : (before + len(raw)) * 8 // 6]


def hits(haystack: bytes, canaries: Iterable[str] = tuple(CANARIES)) -> list[str]:
    """Which canary is in ``haystack``, in which form; of each the first only."""
    haystack += b"\n" + haystack.replace(rb"\\", b"\\")  # an escaped form written once more as JSON
    lower = haystack.lower()
    found = []
    for name in canaries:
        for form, needle in _FORMS[name].items():
            if needle in haystack if "base64" in form else needle in lower:
                found.append(f"{name} as {form}")
                break
    return found


_FORMS = {
    name: {form: needle if "base64" in form else needle.lower() for form, needle in forms(text).items()}
    for name, text in CANARIES.items()
}
assert all(len(needle) >= 6 for made in _FORMS.values() for needle in made.values()), "too short to mean anything"


def in_words(haystack: bytes) -> str:
    """A line around each find, for the message of a failing test."""
    lines = [line for line in re.split(rb"[\n\0]", haystack) if hits(line)]
    return "\n".join(line[:400].decode("utf-8", "backslashreplace") for line in lines[:10])
