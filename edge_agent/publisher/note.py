"""One of the gateway's own messages to the broker, not a result."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Note:
    payload: bytes
    retain: bool
    expiry_s: int = 0
    is_json: bool = True
