"""Messages that must be refused: a good one, one change, the rule that must name it, and what hl7apy 1.3.5 says of it.

``refuses`` is hl7apy's verdict (STRICT parse and ``validate()``) on the message reduced to base 2.5.1 as in
``judge.second_opinion``; it shows why a rule checker of our own is needed. Rows marked ``measured`` are the ones the
comparison of libraries looked at.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from spoiled.changes import Change, add, both, drop, every, move, put, swap
from spoiled.good import GOOD


@dataclass(frozen=True, slots=True)
class Spoiled:
    name: str
    rule: str  # the rule of the judge that names the change
    change: Change
    refuses: bool = False  # does hl7apy refuse it too?
    base: str = "patient"
    route: str = ""
    measured: bool = False

    def payload(self) -> bytes:
        return self.change(GOOD[self.base])


def _row(
    name: str, rule: str, change: Change, *, base: str = "patient", route: str = "", refuses: bool = False
) -> Spoiled:
    return Spoiled(name, rule, change, refuses, base, route)


def _measured(name: str, rule: str, change: Change, *, refuses: bool = False) -> Spoiled:
    return Spoiled(name, rule, change, refuses, measured=True)


_MEASURED = (
    _measured("profile id MSH-21 removed", "msh-profile", put("MSH", 21, "")),
    _measured("MSH-12 is 2.5", "msh-exact", put("MSH", 12, "2.5")),
    _measured("MSH-18 names no character set", "msh-exact", put("MSH", 18, "KLINGON")),
    _measured("role SPM-11 removed", "required", put("SPM", 11, "")),
    _measured("equipment OBX-18 removed", "required", put("OBX", 18, "")),
    _measured("time OBX-19 removed", "required", put("OBX", 19, "")),
    _measured("ORC left out", "segment-order", drop("ORC")),
    _measured("NM holds a word", "value-type", put("OBX", 5, "abc")),
    _measured("NM holds a comparator", "value-type", put("OBX", 5, "<5.25")),
    _measured("OBX-2 is ZZ", "table", put("OBX", 2, "ZZ")),
    _measured("OBX-2 empty though OBX-5 is valued", "value-type", put("OBX", 2, "")),
    _measured("OBX-11 is Q", "table", put("OBX", 11, "Q")),
    _measured("OBR behind its results", "segment-order", move("OBR", "", 2)),
    _measured("ORC before OBR", "segment-order", move("ORC", "OBR")),
    _measured("two OBX with one set id", "set-id", put("OBX", 1, "1", 2)),
    _measured("OBX-26 present", "unused-field", put("OBX", 26, "Y")),
    _measured("OBX-14 in the form of a log file", "unused-field", put("OBX", 14, "2026-01-01 11:59"), refuses=True),
    _measured("SPM left out", "segment-order", drop("SPM"), refuses=True),
    _measured("first OBR left out", "segment-order", drop("OBR"), refuses=True),
    _measured("type SPM-4 removed", "required", put("SPM", 4, ""), refuses=True),
    _measured("service OBR-4 removed", "required", put("OBR", 4, ""), refuses=True),
    _measured("status OBX-11 removed", "required", put("OBX", 11, ""), refuses=True),
    _measured("INV after a result", "segment-order", add("INV|R1^^99ACM|OK^^HL70383|SR^^HL70384", "NTE"), refuses=True),
    _measured("segment Z at the end", "unknown-segment", add("ZZ1|1|something")),
)

_TEXT = (
    _row("a latin-1 byte", "utf-8", swap(b"slightly", b"sl\xefghtly"), refuses=True),
    _row("a byte order mark", "byte-order-mark", lambda payload: b"\xef\xbb\xbf" + payload, refuses=True),
    _row("segments end with CR LF", "line-feed", every(b"\r", b"\r\n"), refuses=True),
    _row("segments end with LF", "line-feed", every(b"\r", b"\n"), refuses=True),
    _row("MLLP block around the message", "control-character", lambda payload: b"\x0b" + payload + b"\x1c\r"),
    _row("a NUL", "control-character", swap(b"slightly", b"slight\x00ly")),
    _row("an escape sequence opened and not closed", "escape", swap(b"slightly", b"slightly \\F")),
    _row("an unknown escape sequence", "escape", swap(b"slightly", b"slightly \\Q\\")),
    _row("hexadecimal escape of odd length", "escape", swap(b"slightly", b"slightly \\XA\\")),
    _row("a formatting command in ST", "escape", swap(b"3.26E+05", b"3.26\\.br\\05")),
    _row("a switch of character set", "escape", swap(b"slightly", b"\\C2842\\slightly")),
    _row("no CR at the end", "last-segment-end", lambda payload: payload[:-1]),
    _row("text after the last segment", "last-segment-end", lambda payload: payload + b"OBX", refuses=True),
    _row("an empty segment", "empty-segment", swap(b"\rSPM", b"\r\rSPM")),
    _row("a raw CR in a note", "segment-name", swap(b"slightly ", b"slightly\r"), refuses=True),
    _row("a segment name in small letters", "segment-name", swap(b"\rSPM", b"\rspm"), refuses=True),
    _row("nothing at all", "msh-first", lambda payload: b"", refuses=True),
    _row("batch header in front", "msh-first", lambda payload: b"BHS|^~\\&|xn1\r" + payload, refuses=True),
)

_HEADER = (
    _row("other delimiters in MSH-2", "msh-exact", put("MSH", 2, "^~\\#")),
    _row("analyser id with blanks and capitals", "msh-name", put("MSH", 3, "XN 1")),
    _row("no site", "msh-name", put("MSH", 4, "")),
    _row("no receiving application", "required", put("MSH", 5, "")),
    _row("time of the message without offset", "time", put("MSH", 7, "20240612091502")),
    _row("time of the message on 31 June", "time", put("MSH", 7, "20240631091502+0900"), refuses=True),
    _row("no time of the message", "required", put("MSH", 7, ""), refuses=True),
    _row("an offset of 99 hours", "time", put("MSH", 7, "20240612091502+9900"), refuses=True),
    _row("message type without structure", "message-type", put("MSH", 9, "OUL^R22")),
    _row("message type ORU^R30", "message-type", put("MSH", 9, "ORU^R30^ORU_R30"), refuses=True),
    _row("control id of 21 characters", "control-id", put("MSH", 10, "7K2QX9AB-000000000001")),
    _row("control id without identity", "control-id", put("MSH", 10, "17")),
    _row("no control id", "control-id", put("MSH", 10, ""), refuses=True),
    _row("processing id Q", "table", put("MSH", 11, "Q")),
    _row("no processing id", "required", put("MSH", 11, ""), refuses=True),
    _row("processing id D", "table", put("MSH", 11, "D")),
    _row("accept acknowledgement AL", "msh-exact", put("MSH", 15, "AL")),
    _row("application acknowledgement NE", "msh-exact", put("MSH", 16, "NE")),
    _row("MSH-18 is UTF-8 in another spelling", "msh-exact", put("MSH", 18, "UTF-8")),
    _row("a field after MSH-21", "too-many-fields", put("MSH", 22, "x"), refuses=True),
    _row("security field MSH-8 used", "unused-field", put("MSH", 8, "secret")),
    _row("LAB-29 claimed by an ORU", "msh-profile", put("MSH", 21, "LAB-29^IHE"), base="observation report"),
)

_SPECIMEN = (
    _row("patient without identifier", "required", put("PID", 3, ""), refuses=True),
    _row("patient without name", "required", put("PID", 5, ""), refuses=True),
    _row("sex W", "table", put("PID", 8, "W")),
    _row("born on 30 February", "time", put("PID", 7, "19750230"), refuses=True),
    _row("old patient id PID-2 used", "unused-field", put("PID", 2, "17")),
    _row("PID twice", "segment-order", add("PID|||P-1002||^^^^^^U", "SPM"), refuses=True),
    _row("PID after SPM", "segment-order", move("PID", "SAC"), refuses=True),
    _row("two specimens", "one-specimen", add("SPM|2|S24-0002||SER|||||||P^Patient^HL70369", "OBR"), refuses=True),
    _row("no specimen id", "required", put("SPM", 2, "")),
    _row("specimen id is the delete marker", "specimen-id", put("SPM", 2, '""')),
    _row("specimen id with outer blanks", "specimen-id", put("SPM", 2, "  S24-0001")),
    _row("role Z", "table", put("SPM", 11, "Z^Other^HL70369")),
    _row("role without its table", "coding-system", put("SPM", 11, "P")),
    _row("two roles", "specimen-role", put("SPM", 11, "P^^HL70369~Q^^HL70369")),
    _row("set id SPM-1 is 0", "set-id", put("SPM", 1, "0")),
    _row("container of another tube", "container-id", put("SAC", 3, "S24-0002")),
    _row("SAC without container id", "required", put("SAC", 3, "")),
    _row("SAC before SPM", "segment-order", move("SAC", "SPM")),
    _row("dilution is a word", "value-type", put("SAC", 29, "ten")),
    _row(
        "control material in a patient's specimen",
        "control-in-patient",
        add("INV|L2^^99SYS|OK^^HL70383|CO^^HL70384", "OBR"),
    ),
    _row("substance status not in 0383", "table", put("INV", 2, "FINE^^HL70383"), base="control"),
    _row("substance without identifier", "required", put("INV", 1, ""), base="control", refuses=True),
    _row("control with a patient", "patient-of-control", add("PID|||P-1001||^^^^^^U", "SPM"), base="control"),
    _row("control on the result route", "route", lambda payload: payload, base="control", route="result"),
    _row("patient on the qc route", "route", lambda payload: payload, route="qc"),
    _row("validation message on the result route", "route", put("MSH", 11, "T"), route="result"),
    _row("production message on the validation route", "route", lambda payload: payload, route="validation"),
)

_ORDER = (
    _row("OBR-2 neither id nor delete marker", "required", put("OBR", 2, "")),
    _row("service without coding system", "triplet", put("OBR", 4, "PANEL")),
    _row("set ids of OBR out of order", "set-id", put("OBR", 1, "3", 2)),
    _row("order control NW", "order-control", put("ORC", 1, "NW")),
    _row("no order status", "required", put("ORC", 5, "")),
    _row("order status DONE", "table", put("ORC", 5, "DONE")),
    _row("order status OBR-25 is V", "table", put("OBR", 25, "V")),
    _row("priority without table", "coding-system", put("TQ1", 9, "R")),
    _row("priority X", "table", put("TQ1", 9, "X^^HL70485")),
    _row("order without results", "order-without-results", add('OBR|3|""||NA^^99ACM\rORC|SC||||CM')),
    _row("message ends at OBR", "message-incomplete", add('OBR|3|""||NA^^99ACM')),
    _row("note before the header's end", "segment-order", move("NTE", "SAC"), refuses=True),
    _row("note between OBR and ORC", "segment-order", move("NTE", "ORC")),
    _row("TQ1 after a result", "segment-order", move("TQ1", "", 1)),
    _row("note without text", "required", put("NTE", 3, "")),
    _row("note numbered 7", "set-id", put("NTE", 1, "7")),
    _row("note from source I", "table", put("NTE", 2, "I")),
    _row("a raw component delimiter in a note", "raw-delimiter", put("NTE", 3, "5^6"), refuses=True),
    _row("a note with a fifth field", "too-many-fields", put("NTE", 5, "x"), refuses=True),
    _row("ORU without specimen", "message-incomplete", drop("SPM"), base="observation report"),
    _row("ORU with SAC", "segment-order", add("SAC|||S24-0001"), base="observation report"),
)

_RESULT = (
    _row("exponent in NM", "value-type", put("OBX", 5, "3.26E+05")),
    _row("decimal comma in NM", "value-type", put("OBX", 5, "7,41")),
    _row("blanks around NM", "value-type", put("OBX", 5, "  5.5")),
    _row("two values in one NM", "value-type", put("OBX", 5, "5.1~5.2")),
    _row("NM with a second component", "value-type", put("OBX", 5, "5.1^")),
    _row("SN comparator inside the number", "value-type", put("OBX", 5, "<0.3", 2)),
    _row("SN comparator unknown", "value-type", put("OBX", 5, "about^5", 2)),
    _row("SN without a number", "value-type", put("OBX", 5, "<^low", 2)),
    _row("SN second number without separator", "value-type", put("OBX", 5, "^1^^128", 2)),
    _row("SN that is a plain number", "value-type", put("OBX", 5, "^5", 2)),
    _row("raw delimiter in ST", "value-type", put("OBX", 5, "pos^neg", 3)),
    _row("ST of 200 characters", "value-type", put("OBX", 5, "x" * 200, 3), refuses=True),
    _row("ED of four components", "value-type", swap(b"|^IM^PNG", b"|IM^PNG"), base="picture"),
    _row("ED type not in 0191", "value-type", swap(b"^IM^", b"^PIC^"), base="picture"),
    _row("ED subtype not in 0291", "value-type", swap(b"^PNG^", b"^BMP^"), base="picture"),
    _row("ED encoding not in 0299", "value-type", swap(b"^Base64^", b"^base64^"), base="picture"),
    _row("ED data is not Base64", "value-type", swap(b"iVBORw0KGgo=", b"iVBORw0KGgo"), base="picture"),
    _row("ED without data", "value-type", swap(b"iVBORw0KGgo=", b""), base="picture"),
    _row("a picture with a unit", "unit", put("OBX", 6, "fL^^UCUM"), base="picture"),
    _row("test code without coding system", "triplet", put("OBX", 3, "GLU^Glucose")),
    _row("LOINC with a wrong check digit", "triplet", put("OBX", 3, "GLU^^99ACM^2345-8^^LN")),
    _row("local code under LN", "triplet", put("OBX", 3, "GLU^Glucose^LN")),
    _row("foreign coding system in OBX-3", "triplet", put("OBX", 3, "GLU^Glucose^SNOMED")),
    _row("class of supplemental result unknown", "triplet", put("OBX", 3, "GLU^^99ACM^S_ODD^^IHELAW")),
    _row("OBX-3 with a seventh component", "triplet", put("OBX", 3, "GLU^^99ACM^2345-7^^LN^more"), refuses=True),
    _row("unit without system", "unit", put("OBX", 6, "mmol/L")),
    _row("system without unit", "unit", put("OBX", 6, "^^UCUM")),
    _row("UCUM with a micro sign", "unit", put("OBX", 6, "µg/L^^99ACM^µg/L^^UCUM")),
    _row("UCUM with a blank", "unit", put("OBX", 6, "Copies / mL^^UCUM")),
    _row("UCUM with a bracket open", "unit", put("OBX", 6, "IU/mL^^99ACM^[IU/mL^^UCUM")),
    _row("local unit in the second triplet", "unit", put("OBX", 6, "mmol/L^^UCUM^mmol/L^^99ACM")),
    _row("raw delimiter in the range", "raw-delimiter", put("OBX", 7, "84.0 - 94.0^REFERENCE_RANGE"), refuses=True),
    _row("flag without its table", "flag", put("OBX", 8, "H")),
    _row("flag not in 0078", "table", put("OBX", 8, "QQ^^HL70078")),
    _row("flag of a foreign system", "flag", put("OBX", 8, "H^^SOMEWHERE")),
    _row("nature of test OBX-10 unknown", "table", put("OBX", 10, "ASR")),
    _row("status N: not asked", "status", put("OBX", 11, "N")),
    _row("status W: wrong patient", "status", put("OBX", 11, "W")),
    _row("status V as LIS02 has it", "table", put("OBX", 11, "V")),
    _row("no value and status F", "no-result", put("OBX", 11, "F"), base="no result"),
    _row("no value and no reason", "no-result", drop("NTE"), base="no result"),
    _row("run number with components", "sub-id", put("OBX", 4, "1^2"), refuses=True),
    _row("observation time OBX-14 filled", "unused-field", put("OBX", 14, "20240612091200+0900")),
    _row("equipment id with an empty repetition", "equipment", put("OBX", 18, "XN-1000^Sysmex~")),
    _row("time of the analysis without offset", "time", put("OBX", 19, "20240612091200")),
    _row("time of the analysis on 31 April", "time", put("OBX", 19, "20240431091200+0900"), refuses=True),
    _row("producer OBX-15 filled", "unused-field", put("OBX", 15, "LAB")),
    _row("RSLT one field early", "observation-type", both(put("OBX", 28, "RSLT"), put("OBX", 29, ""))),
    _row("no RSLT", "observation-type", put("OBX", 29, "")),
    _row("a field after OBX-29", "too-many-fields", put("OBX", 30, "x")),
    _row("set ids run on over two orders", "set-id", put("OBX", 1, "4", 4)),
)

SPOILED: Sequence[Spoiled] = (*_MEASURED, *_TEXT, *_HEADER, *_SPECIMEN, *_ORDER, *_RESULT)
