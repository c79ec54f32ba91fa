"""Which segment may follow which: OUL^R22^OUL_R22 in its IHE LAW form and ORU^R01^ORU_R01, both of HL7 2.5.1.

OUL: MSH [NTE] [PID [NTE]] SPM [SAC [INV]] {OBR ORC [NTE] [TQ1] {OBX [NTE]}}   (LAW: ORC always; one specimen here)
ORU: MSH [PID [NTE]] {[ORC] OBR [NTE] [TQ1] {OBX [NTE]} SPM}   (the specimen closes each order)

The tables give, for every state, the segments allowed next and the state they lead to. A segment in the wrong place
is reported and the walk goes on from where that segment usually stands, so one mistake gives one finding.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from judge.reader import Reading, Segment

Table = Mapping[str, Mapping[str, str]]

_RESULTS = {"OBX": "OBX", "OBR": "OBR"}
OUL_R22: Table = {
    "start": {"MSH": "MSH"},
    "MSH": {"NTE": "MSH", "PID": "PID", "SPM": "SPM"},
    "PID": {"NTE": "PID", "SPM": "SPM"},
    "SPM": {"SAC": "SAC", "OBR": "OBR"},
    "SAC": {"INV": "INV", "OBR": "OBR"},
    "INV": {"OBR": "OBR"},
    "OBR": {"ORC": "ORC"},
    "ORC": {"NTE": "ORC", "TQ1": "TQ1", **_RESULTS},
    "TQ1": _RESULTS,
    "OBX": {"NTE": "OBX", **_RESULTS},
}
ORU_R01: Table = {
    "start": {"MSH": "MSH"},
    "MSH": {"PID": "PID", "ORC": "ORC", "OBR": "OBR"},
    "PID": {"NTE": "PID", "ORC": "ORC", "OBR": "OBR"},
    "ORC": {"OBR": "OBR"},
    "OBR": {"NTE": "OBR", "TQ1": "TQ1", "OBX": "OBX", "SPM": "SPM"},
    "TQ1": {"OBX": "OBX", "SPM": "SPM"},
    "OBX": {"NTE": "OBX", "OBX": "OBX", "SPM": "SPM"},
    "SPM": {"ORC": "ORC", "OBR": "OBR"},
}
FINAL = {"OUL_R22": frozenset(("ORC", "TQ1", "OBX")), "ORU_R01": frozenset(("SPM",))}
TABLES: Mapping[str, Table] = {"OUL_R22": OUL_R22, "ORU_R01": ORU_R01}
KNOWN = frozenset(("MSH", "NTE", "PID", "SPM", "SAC", "INV", "OBR", "ORC", "TQ1", "OBX"))


@dataclass(slots=True)
class Result:
    obx: Segment
    notes: list[Segment] = field(default_factory=list)


@dataclass(slots=True)
class Order:
    obr: Segment
    orc: Segment | None = None
    notes: list[Segment] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    specimens: list[Segment] = field(default_factory=list)


def check(reading: Reading, structure: str) -> None:
    """Walk the segments through the table of ``structure`` and report every one that stands where it may not."""
    table = TABLES[structure]
    state = "start"
    for segment in reading.segments:
        if segment.name not in KNOWN:
            reading.refuse("unknown-segment", segment.at(), "no such segment in these messages")
            continue
        following = table[state].get(segment.name)
        if following is None:
            reading.refuse("segment-order", segment.at(), f"may not follow {state}")
        state = following or (segment.name if segment.name in table else state)
    if state not in FINAL[structure]:
        reading.refuse("message-incomplete", "message", f"ends after {state}")


def orders(reading: Reading) -> list[Order]:
    """Orders with what belongs to each, by position: OBR opens one, notes go to the OBR or OBX before them."""
    found: list[Order] = []
    waiting: Segment | None = None  # an ORC before its OBR
    for segment in reading.segments:
        if segment.name == "OBR":
            found.append(Order(segment, waiting))
            waiting = None
        elif segment.name == "ORC" and found and found[-1].orc is None and not found[-1].results:
            found[-1].orc = segment
        elif segment.name == "ORC":
            waiting = segment
        elif found:
            _attach(found[-1], segment)
    return found


def _attach(order: Order, segment: Segment) -> None:
    if segment.name == "OBX":
        order.results.append(Result(segment))
    elif segment.name == "NTE":
        (order.results[-1].notes if order.results else order.notes).append(segment)
    elif segment.name == "SPM":
        order.specimens.append(segment)


def notes_by_parent(reading: Reading) -> list[tuple[Segment, list[Segment]]]:
    """Every run of NTE segments with the segment it stands under."""
    runs: list[tuple[Segment, list[Segment]]] = []
    parent: Segment | None = None
    for segment in reading.segments:
        if segment.name != "NTE":
            parent = segment
        elif parent is not None and runs and runs[-1][0] is parent:
            runs[-1][1].append(segment)
        elif parent is not None:
            runs.append((parent, [segment]))
    return runs
