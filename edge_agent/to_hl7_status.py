"""OBX-11 from what the analyser said of a result and of its order.

LIS02-A2 R.9 and HL7 table 0085 share letters that do not mean the same, so nothing is copied that is not in this table.
"order" stands for O.26 where it is F, C, P or X, else the profile's status_default, else R: not verified.

R.9                      OBX-11   note
F, C, P, X, I, S         as sent
V verified by operator   F
W validity questionable  R        kept; 0085 W would say that an earlier posting was wrong
R previously transmitted order    kept; 0085 R would say that nobody verified it
N, M, Q, anything else   order    kept; no counterpart, or one of another meaning
empty                    order

Then the order limits the result: under O.26 = X nothing but X leaves, and F under P or C leaves as P or C. A device
that calls a battery preliminary, a correction or cancelled is not contradicted by us. A letter that is overruled is
kept in a note.
"""

_AS_SENT = frozenset("FCPXIS")
_OF_ORDER = frozenset("FCPX")
_DEFAULTS = frozenset("FCPXISR")
_NOT_VERIFIED = "R"
_MEANINGS = {
    "M": "value is a MIC level",
    "N": "information for a new order",
    "Q": "response to a query",
    "R": "previously transmitted",
    "V": "verified by the operator",
    "W": "validity questionable",
}


def result_status(sent: str, report_type: str, default: str) -> str:
    """HL7 table 0085. ``sent`` is R.9, ``report_type`` O.26, ``default`` the profile's status_default."""
    if sent in _AS_SENT:
        status = sent
    elif sent == "V":
        status = "F"
    elif sent == "W":
        status = _NOT_VERIFIED
    else:
        status = _by_order(report_type, default)
    return _limited(status, report_type)


def status_note(sent: str, status: str) -> str:
    """What has to be said beside ``status`` so that the letter as sent is not lost; "" when nothing has."""
    if sent in ("", status) and sent != _NOT_VERIFIED:
        return ""
    if (sent, status) == ("V", "F"):
        return ""
    meaning = _MEANINGS.get(sent)
    return f"status as sent: {sent} ({meaning})" if meaning else f"status as sent: {sent}"


def _by_order(report_type: str, default: str) -> str:
    if report_type in _OF_ORDER:
        return report_type
    return default if default in _DEFAULTS else _NOT_VERIFIED


def _limited(status: str, report_type: str) -> str:
    if report_type == "X":
        return "X"
    if status == "F" and report_type in ("P", "C"):
        return report_type
    return status
