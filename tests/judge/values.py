"""Checks of single values against HL7 2.5.1 data types. Each returns what is wrong, or "" when nothing is.

NM, SN, ED and TS after chapter 2A, CE after its two triplets, LOINC check digits after the LOINC users' guide, UCUM
only as far as its character set and brackets go (case-sensitive form).
"""

import base64
import binascii
import re
from datetime import UTC, datetime

from judge import tables
from judge.reader import escape_problem

_NM = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)")
_TS = re.compile(r"([0-9]{4}(?:[0-9]{2}){0,5})(?:\.[0-9]{1,4})?([+-][0-9]{4})?")
_LOINC = re.compile(r"([0-9]{1,7})-([0-9])")
_LOCAL_SYSTEM = re.compile(r"99[A-Z0-9_]{1,18}|L")
_UCUM = re.compile(r"[!-~]+")


def number(text: str) -> str:
    return "" if _NM.fullmatch(text) else "not an HL7 number"


def structured_number(parts: list[str]) -> str:
    if len(parts) > 4:
        return "more than four components"
    comparator, first, separator, second = (parts + [""] * 4)[:4]
    if comparator not in tables.COMPARATOR:
        return "unknown comparator"
    if number(first):
        return "first number missing or not a number"
    if separator not in tables.SEPARATOR:
        return "unknown separator"
    if second and (number(second) or not separator):
        return "second number without separator, or not a number"
    if not (comparator or separator):
        return "neither comparator nor separator: a plain number"
    return ""


def encapsulated(parts: list[str]) -> str:
    """ED: source application, type (0191), subtype (0291), encoding (0299), data."""
    if len(parts) != 5:
        return "an ED has exactly five components"
    _, kind, subtype, encoding, data = parts
    if kind not in tables.DATA_TYPE:
        return "type not in table 0191"
    if subtype not in tables.DATA_SUBTYPE:
        return "subtype not in table 0291"
    if encoding not in tables.ENCODING:
        return "encoding not in table 0299"
    return _data(encoding, data)


def _data(encoding: str, data: str) -> str:
    if not data:
        return "no data"
    try:
        if encoding == "Base64":
            base64.b64decode(data, validate=True)
        elif encoding == "Hex":
            bytes.fromhex(data)
    except (binascii.Error, ValueError):
        return f"data is not {encoding}"
    return ""


def time(text: str, *, offset: bool, digits: int = 8) -> str:
    """TS with at least ``digits`` digits, a real moment of the calendar, and an offset if asked."""
    match = _TS.fullmatch(text)
    if not match:
        return "not YYYYMMDD[HHMM[SS[.S]]][+/-ZZZZ]"
    stamp, zone = match.groups()
    if len(stamp) < digits:
        return f"fewer than {digits} digits"
    try:
        _moment(stamp)
    except ValueError:
        return "no such moment"
    if offset and not zone:
        return "no UTC offset"
    return _offset(zone) if zone else ""


def _moment(stamp: str) -> datetime:
    parts = [int(stamp[:4])] + [int(stamp[place : place + 2]) for place in range(4, len(stamp), 2)]
    year, month, day, hour, minute, second = parts + [1, 1, 0, 0, 0][len(parts) - 1 :]
    return datetime(year, month, day, hour, minute, second, tzinfo=UTC)


def _offset(zone: str) -> str:
    hours, minutes = int(zone[1:3]), int(zone[3:])
    return "" if hours <= 14 and minutes in (0, 15, 30, 45) else "no such UTC offset"


def loinc(code: str) -> str:
    """Shape and check digit (Mod 10) of a LOINC code."""
    match = _LOINC.fullmatch(code)
    if not match:
        return "not a LOINC code"
    total = 0
    for place, digit in enumerate(reversed(match.group(1))):
        doubled = int(digit) * (2 if place % 2 == 0 else 1)
        total += doubled - 9 if doubled > 9 else doubled
    return "" if (10 - total % 10) % 10 == int(match.group(2)) else "wrong LOINC check digit"


def ucum(code: str) -> str:
    if not _UCUM.fullmatch(code):
        return "UCUM is printable ASCII without blanks"
    for opening, closing in ("[]", "{}", "()"):
        if code.count(opening) != code.count(closing):
            return "unbalanced brackets"
    return "an HL7 delimiter in a unit" if set(code) & set("|~\\&") else ""


def local_system(system: str) -> str:
    return "" if _LOCAL_SYSTEM.fullmatch(system) else "no local coding system (99... or L)"


def plain(raw: str, *, limit: int = 0) -> str:
    """One ST leaf: no raw delimiter, valid escapes, no outer structure; ``limit`` in characters, 0 = none."""
    if re.search(r"[\^~&]", raw):
        return "a raw delimiter in text"
    if limit and len(raw) > limit:
        return f"longer than {limit} characters"
    return escape_problem(raw, formatted=False)
