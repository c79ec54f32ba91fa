"""Delimiters and escape sequences of LIS02-A2 (§5.4): what a field's text means, once the record is cut."""

import re
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class Delimiters:
    """The four delimiters. Only the header of each message defines them (§5.4.2-5.4.6)."""

    field: str = "|"
    repeat: str = "\\"
    component: str = "^"
    escape: str = "&"


USUAL = Delimiters()


def from_header(text: str) -> Delimiters:
    """The delimiters an H record defines (§6.2). What it leaves out, or says twice, is filled with the usual ones."""
    if len(text) < 2:
        return USUAL
    field = text[1]
    # A delimiter must differ from the others (§5.4.2): a doubled one is a logger's escaping and counts once.
    said = [c for c in dict.fromkeys(text[2:].partition(field)[0]) if not c.isspace()][:3]
    for usual in (USUAL.repeat, USUAL.component, USUAL.escape)[len(said) :]:
        said.append(next(c for c in (usual, "~", "`", "!", "*") if c not in said and c != field))
    repeat, component, escape = said
    return Delimiters(field, repeat, component, escape)


def unescape(text: str, delimiters: Delimiters, mode: str = "lenient") -> str:
    """Replace the escape sequences of §5.4.5 in one leaf.

    ``mode`` ``none`` changes nothing. ``lis02`` and ``lenient`` replace F, S, R, E and X (hexadecimal pairs as ISO
    8859-1 characters), and drop the highlighting H and N. What is not a whole known sequence stays literally, a lone
    escape character and ``Z`` (the manufacturer's own) included. ``lis02`` also takes an X with an odd number of
    digits, as the standard's own example has it; many devices send the escape character raw: ``lenient`` leaves it.
    """
    escape = delimiters.escape
    if mode == "none" or escape not in text:
        return text
    replacements = _replacements(delimiters)

    def replace(found: re.Match[str]) -> str:
        body = found[1]
        if body in replacements:
            return replacements[body]
        return _hexadecimal(body[1:], odd=mode == "lis02") or found[0]

    return _sequence(escape).sub(replace, text)


@lru_cache(maxsize=64)
def _replacements(delimiters: Delimiters) -> dict[str, str]:
    return {
        "F": delimiters.field,
        "S": delimiters.component,
        "R": delimiters.repeat,
        "E": delimiters.escape,
        "H": "",
        "N": "",
    }


@lru_cache(maxsize=64)
def _sequence(escape: str) -> re.Pattern[str]:
    mark = re.escape(escape)
    return re.compile(f"{mark}([FSREHN]|X[0-9A-Fa-f]+){mark}")


def _hexadecimal(digits: str, *, odd: bool) -> str:
    if len(digits) % 2:
        if not odd:
            return ""
        digits = "0" + digits
    return bytes.fromhex(digits).decode("iso8859-1")
