"""Reading an acknowledgement: original mode (AA, AE, AR) and enhanced mode (also CA, CE, CR), HL7 2.5.1 §2.9.

Promised: for any bytes, either an ``Ack`` or ``NotAnAckError``. Not promised: that the answer is meant for us; the
caller compares ``control_id``. Nothing is concluded from bytes that are not UTF-8, from an answer without a control id
or from one that answers twice: an acknowledgement closes a message for good, so a doubtful one must not.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from hl7.er7 import Reading, Segment, read
from hl7.errors import NotAnAckError, NotHl7Error
from hl7.text import NULL

CODES = frozenset({"AA", "AE", "AR", "CA", "CE", "CR"})  # HL7 table 0008


@dataclass(frozen=True, slots=True)
class Ack:
    """``text``, ``error_code`` and ``severity`` are "" where the answer has none.

    ``text`` was written by the receiver and may name a patient: show it, never log it.
    """

    code: str  # MSA-1
    control_id: str  # MSA-2: MSH-10 of the message answered
    text: str = ""  # MSA-3, else ERR-8 (for a user), else ERR-7 (diagnostic)
    error_code: str = ""  # ERR-3.1, HL7 table 0357; before 2.5 ERR-1.4.1
    severity: str = ""  # ERR-4, HL7 table 0516: E, W, I


def read_ack(payload: bytes) -> Ack:
    """The one answer in ``payload`` (UTF-8, with or without a byte order mark). Raises NotAnAckError, nothing else."""
    try:
        reading = read(payload.decode("utf-8-sig"))
    except UnicodeDecodeError:
        # The codec's own message repeats the bytes.
        raise NotAnAckError("The answer is not UTF-8.") from None
    except NotHl7Error as error:
        raise NotAnAckError(str(error)) from None
    msa = _only_msa(reading)
    code, control_id = msa.get(1).strip(), msa.get(2).strip()
    if code not in CODES:
        raise NotAnAckError("MSA-1 is no acknowledgement code.")
    if control_id in ("", NULL):
        raise NotAnAckError("MSA-2 does not say which message is answered.")
    return _with_error(code, control_id, _said(msa, 3), reading.all("ERR"))


def _only_msa(reading: Reading) -> Segment:
    found = reading.all("MSA")
    if len(found) != 1:
        raise NotAnAckError("The answer has no MSA segment." if not found else "The answer has several MSA segments.")
    return found[0]


def _with_error(code: str, control_id: str, text: str, errors: Sequence[Segment]) -> Ack:
    """Of several ERR the first one that is an error; warnings and information come after it."""
    if not errors:
        return Ack(code, control_id, text)
    err = next((e for e in errors if e.get(4) in ("E", "")), errors[0])
    return Ack(
        code,
        control_id,
        text or _said(err, 8) or _said(err, 7),
        error_code=_said(err, 3) or err.get(1, 4),
        severity=_said(err, 4),
    )


def _said(segment: Segment, number: int) -> str:
    leaf = segment.get(number).strip()
    return "" if leaf == NULL else leaf
