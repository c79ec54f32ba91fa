"""HL7 v2 text: escaping of leaf values, and putting leaves together.

Only leaves are escaped, once, when they are written: a function given ``a^b`` cannot know whether ``^`` is data
(HL7 2.5.1 §2.7). The delimiters are always the recommended set ``|^~\\&``; MSH-1 and MSH-2 of every message say so.
"""

from collections.abc import Iterable, Mapping

FIELD, COMPONENT, REPEAT, ESCAPE, SUBCOMPONENT = DELIMITERS = "|^~\\&"
NULL = '""'  # HL7 2.5.1 §2.5.3; LAW also writes it where a required field has nothing to say

_NAMED = {FIELD: "\\F\\", COMPONENT: "\\S\\", REPEAT: "\\R\\", ESCAPE: "\\E\\", SUBCOMPONENT: "\\T\\"}
# Controls end segments (CR), MLLP blocks (FS) or lines in readers that split on any Unicode line end (VT, NEL, LS, PS):
# raw, they would cut a result in two.
_CONTROLS = (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029)


def _hexadecimal(char: str) -> str:
    return f"\\X{char.encode().hex().upper()}\\"


_WRITTEN = {ord(char): sequence for char, sequence in _NAMED.items()} | {n: _hexadecimal(chr(n)) for n in _CONTROLS}
_SPECIAL = frozenset(map(chr, _WRITTEN))
_READ = {sequence[1:-1]: char for char, sequence in _NAMED.items()} | {"H": "", "N": "", ".br": "\n"}
_HEX_DIGITS = frozenset("0123456789abcdefABCDEF")


def escape(text: str) -> str:
    """One leaf as it may stand in a message. Control characters become ``\\Xdd..\\``, the hex of their UTF-8 bytes.

    Nothing else changes: ``""`` stays the HL7 null, blanks stay where they are.
    """
    if text.isalnum() or _SPECIAL.isdisjoint(text):
        return text
    return text.translate(_WRITTEN)


def unescape(text: str, delimiters: str = DELIMITERS) -> str:
    """One leaf as data: a single pass from left to right, so that no decoded character is decoded again.

    ``delimiters`` are MSH-1 and the four of MSH-2: a sequence stands for the one its message declares. What is no
    escape sequence stays as it is, escape characters included.
    """
    escape_character = delimiters[3]
    if escape_character not in text:
        return text
    named = _READ if delimiters == DELIMITERS else _READ | dict(zip("FSRET", delimiters, strict=True))
    parts: list[str] = []
    position = 0
    while (start := text.find(escape_character, position)) >= 0:
        parts.append(text[position:start])
        end = text.find(escape_character, start + 1)
        meaning = _meaning(text[start + 1 : end], named) if end > start + 1 else None
        if meaning is None:
            parts.append(escape_character)
            position = start + 1
        else:
            parts.append(meaning)
            position = end + 1
    parts.append(text[position:])
    return "".join(parts)


def composite(leaves: Iterable[str]) -> str:
    """Components of one field, each escaped; empty ones at the end are left out (HL7 2.5.1 §2.5.3)."""
    return COMPONENT.join([escape(leaf) for leaf in leaves]).rstrip(COMPONENT)


def segment(name: str, fields: Iterable[str]) -> str:
    """A segment of finished fields, field 1 first; empty ones at the end are left out."""
    return f"{name}|{FIELD.join(fields)}".rstrip(FIELD)


def message(segments: Iterable[str]) -> str:
    """Segments as one message: every one ends with CR, the last one too (HL7 2.5.1 §2.4)."""
    return "".join([f"{line}\r" for line in segments])


def _meaning(body: str, named: Mapping[str, str]) -> str | None:
    """What stands between two escape characters, decoded; None when it is no sequence we know."""
    if body in named:
        return named[body]
    digits = body[1:]
    if body[0] != "X" or not digits or len(digits) % 2 or not _HEX_DIGITS.issuperset(digits):
        return None
    try:
        return bytes.fromhex(digits).decode()
    except UnicodeDecodeError:
        return None
