"""Times in a vendor's own layout, rewritten as ``YYYYMMDD[hhmm[ss]]``; no zone is added and no part invented."""

import re
from functools import lru_cache

_TOKENS = {"YYYY": 4, "YY": 2, "MM": 2, "DD": 2, "hh": 2, "mm": 2, "ss": 2}
_TOKEN = re.compile("YYYY|YY|MM|DD|hh|mm|ss")
_ORDER = ("YYYY", "MM", "DD", "hh", "mm", "ss")


def compact(text: str, formats: tuple[str, ...]) -> str:
    """The time in LIS02 form if one of the formats fits it exactly; otherwise the text as sent.

    A format is written with YYYY or YY, MM, DD, hh, mm, ss and the characters between them: ``DD-MM-YYYY hh:mm``. A
    year of two digits is taken as 20YY.
    """
    for pattern in formats:
        found = _compiled(pattern).fullmatch(text)
        if found is not None:
            parts = found.groupdict()
            if "YY" in parts:
                parts["YYYY"] = "20" + parts["YY"]
            return "".join(parts.get(name) or "" for name in _ORDER)
    return text


def fault(pattern: str) -> str:
    """What is wrong with a format; "" when nothing is."""
    tokens = [token[0] for token in _TOKEN.finditer(pattern)]
    if len(tokens) != len(set(tokens)) or not {"MM", "DD"} <= set(tokens) or ("YYYY" in tokens) == ("YY" in tokens):
        return f'"{pattern}" is no time format; write each of YYYY (or YY), MM, DD and, if sent, hh, mm, ss once'
    return ""


@lru_cache(maxsize=128)
def _compiled(pattern: str) -> re.Pattern[str]:
    source, at = "", 0
    for token in _TOKEN.finditer(pattern):
        source += re.escape(pattern[at : token.start()]) + f"(?P<{token[0]}>[0-9]{{{_TOKENS[token[0]]}}})"
        at = token.end()
    return re.compile(source + re.escape(pattern[at:]))
