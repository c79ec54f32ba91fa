"""A code's sentence with its facts filled in, as a person reads it."""

from collections.abc import Mapping

from edge_agent.codes import CODES

# Why a frame was refused, in a person's words (drivers/protocols/lis01_frames.py, lis01_numbers.py)
REFUSALS: Mapping[str, str] = {
    "checksum": "the checksum does not fit",
    "no-checksum": "there is no checksum",
    "trailer": "CR LF is missing at the end",
    "restricted": "there are control characters inside",
    "unfinished": "the end is missing",
    "too-long": "longer than a frame may be",
    "message-too-long": "the message is longer than one may be",
    "frame-number": "the frame number is not the next one",
    "frame-number-reused": "the frame number came twice, with other content",
}


class _Blank(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return "?"


def sentence(code: str, params: Mapping[str, str]) -> str:
    """The code's sentence with its facts filled in; an unknown fact shows as "?". Actions have no facts to fill in."""
    facts = _Blank(params)
    if code in ("frame-refused", "nak-limit") and "reason" in facts:
        facts["reason"] = REFUSALS.get(facts["reason"], facts["reason"])
    return CODES[code].sentence.format_map(facts)
