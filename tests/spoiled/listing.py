"""The spoiled messages as a Markdown table: ``python -m spoiled.listing`` in tests/ prints what LIST.md holds."""

from collections.abc import Mapping

from spoiled.table import SPOILED

_HEAD = """# Spoiled messages

Each is a good message of `good.py` with one change. `rule` is the rule of `tests/judge` that must name it; `hl7apy`
is what hl7apy 1.3.5 says (STRICT parse and `validate()`) of the message reduced to base 2.5.1. Made by `listing.py`;
a test compares.

| message | based on | rule | hl7apy |
| --- | --- | --- | --- |
"""


def listing() -> str:
    """LIST.md as it must be."""
    words: Mapping[bool, str] = {True: "refuses", False: "accepts"}
    rows = [
        f"| {s.name} | {s.base}{f', route {s.route}' if s.route else ''} | {s.rule} | {words[s.refuses]} |"
        for s in SPOILED
    ]
    accepted = sum(not s.refuses for s in SPOILED)
    return _HEAD + "\n".join(rows) + f"\n\n{len(SPOILED)} messages, of which hl7apy accepts {accepted}.\n"


if __name__ == "__main__":
    print(listing(), end="")
