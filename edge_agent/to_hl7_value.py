"""OBX-2 and OBX-5, units and flags from their text.

value                                         OBX-2  OBX-5
declared in the test's value map              CE     code^text as sent^local system (and the standard code, if given)
12   -0.4   +3   5.10                         NM     as sent
<0.3   <=3   >1500                            SN     <^0.3
1:128   <1/8   with kind titre                SN     ^1^:^128
2-20   with kind range                        SN     ^2^-^20
7,41   where a decimal comma is declared      NM     7.41, and a note keeps 7,41
anything else: > 500  1E5  1,234  .5  5.  1+  ST     as sent (TX above 199 characters as written)

NM is what every reader of HL7 takes as a number: an optional sign, digits, and a point with digits on both sides, 16
characters in all (HL7 2.5.1 §2.A.47 and its length). Its wording would let ``.5`` and ``5.`` pass, yet common readers
refuse one or the other; as ST they lose nothing. SN is used only where the components joined give back the text:
``> 500`` has a blank that SN cannot carry. With a declared decimal comma a point may be a thousands mark, so ``1.234``
is text.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from drivers import coding
from hl7.tables import ABNORMAL_FLAGS
from hl7.text import NULL, escape
from hl7.values import NOTHING, Coded

_COMPARATORS = ("<=", ">=", "<>", "<", ">", "=")  # longest first; HL7 2.5.1 §2.A.68
_NM_LENGTH, _ST_LENGTH = 16, 199
_LOCAL_PARTS = 3


@dataclass(frozen=True, slots=True)
class Typed:
    """OBX-2 and the components of OBX-5; ``source`` is the text as sent where OBX-5 does not give it back."""

    type: str
    components: tuple[str, ...]
    source: str = ""


def typed_value(text: str, test: coding.Coded, code_system: str, decimal: str) -> Typed:
    """How a value that is not empty is written."""
    if text in test.values:
        return Typed("CE", _coded_value(text, test.values, code_system))
    if decimal == ",":
        return _with_comma(text)
    if is_number(text):
        return Typed("NM", (text,))
    components = _structured(text, test.kind)
    return Typed("SN", components) if components else _text(text)


def is_number(text: str) -> bool:
    """Whether the text is an HL7 NM as it stands."""
    return len(text) <= _NM_LENGTH and _is_unsigned(text[1:] if text[:1] in ("+", "-") else text)


def unit(sent: str, ucum: str, code_system: str) -> Coded:
    """OBX-6: the unit as sent, and its UCUM name where a table gives one. UCUM alone where the profile's source says
    what an absent unit means; nothing where nobody says."""
    standard = (ucum, "", "UCUM") if ucum else ("", "", "")
    if sent in ("", NULL):
        return Coded(*standard) if ucum else NOTHING
    return Coded(sent, sent, code_system, *standard)


def flag(sent: str, code_system: str) -> Coded:
    """One repetition of OBX-8: HL7 table 0078 where the letters are in it, else the analyser's own."""
    return Coded(sent, "", "HL70078" if sent in ABNORMAL_FLAGS else code_system)


def _is_unsigned(text: str) -> bool:
    whole, point, part = text.partition(".")
    return text.isascii() and whole.isdigit() and (part.isdigit() or not point)


def _with_comma(text: str) -> Typed:
    pointed = text.replace(",", ".")
    if "." not in text and is_number(pointed):
        return Typed("NM", (pointed,), source=text if pointed != text else "")
    return _text(text)


def _structured(text: str, kind: str) -> tuple[str, ...]:
    """SN components, or none. Every character of the text is in exactly one of them."""
    comparator = next((c for c in _COMPARATORS if text.startswith(c)), "")
    number = text[len(comparator) :]
    if comparator and is_number(number):
        return comparator, number
    marks = {"titre": ":/", "range": "-"}.get(kind, "")
    for mark in marks:
        first, found, second = number.partition(mark)
        if found and _is_unsigned(first) and _is_unsigned(second):
            return comparator, first, mark, second
    return ()


def _text(text: str) -> Typed:
    return Typed("ST" if len(escape(text)) <= _ST_LENGTH else "TX", (text,))


def _coded_value(text: str, values: Mapping[str, str], code_system: str) -> tuple[str, ...]:
    """CE. A plain code is local; ``code^text^system`` is a standard's and goes beside the analyser's own word."""
    code = values[text]
    standard = tuple(code.split("^"))
    if len(standard) == _LOCAL_PARTS:
        return (text, text, code_system, *standard)
    return code, text, code_system
