"""The HL7 acknowledgement a management system sends back: ACK^R22 (or ACK^R01), original mode, 2.5.1."""

from datetime import UTC, datetime

from simulators.er7 import Message

# HL7 table 0357
DUPLICATE_KEY = "205^Duplicate key identifier^HL70357"
INTERNAL = "207^Application internal error^HL70357"
MISSING = "101^Required field missing^HL70357"


def acknowledgement(message: Message, code: str, control_id: str, own_id: str, error: str = "") -> bytes:
    """MSH, MSA and, for an error, ERR. ``control_id`` is what MSA-2 says; ``error`` a coded entry of table 0357."""
    event = "R01" if message.structure.startswith("ORU") else "R22"
    profile = "" if event == "R01" else "|||LAB-29^IHE"
    now = datetime.now(UTC).strftime("%Y%m%d%H%M%S+0000")
    segments = [
        f"MSH|^~\\&|IVD|CENTRAL|{message.sender}|{message.facility}|{now}||ACK^{event}^ACK|{own_id}|"
        f"{message.processing or 'P'}|2.5.1||||||UNICODE UTF-8{profile}",
        f"MSA|{code}|{control_id}",
    ]
    if error:
        segments.append(f"ERR|||{error}|E")
    return "".join(segment + "\r" for segment in segments).encode("utf-8")
