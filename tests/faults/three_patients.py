"""A message of three patients, typed out, and what a cut in it leaves: worked out by hand from LIS02-A2 §4.2.1.

"Any decrease of the level obliges the receiver to have saved what came before": a sender may presume saved what stands
before the last record whose level is lower than that of the record before it, once that record was acknowledged. A
comment stands one level below what it belongs to (§10). Nothing of the agent is used here; the two tables below are
the expectation.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from end_to_end.bad_input_cases import frames

from simulators.analyser_ledger import Row

RECORDS = (
    r"H|\^&|||QA^1|||||||P|LIS2-A2|20260301120000",  # 1
    "P|1||PA-{n}||||19770401|F",
    "C|1|I|about the patient|G",
    "O|1|A1-{n}||^^^GLU|R",
    "R|1|^^^GLU|5.1{n}|mmol/L||N||F||||20260301115501",  # 5
    "C|1|I|about this result|G",
    "R|2|^^^NA|14{n}|mmol/L||N||F||||20260301115502",
    "O|2|A2-{n}||^^^GLU|R",
    "R|1|^^^GLU|6.2{n}|mmol/L||H||F||||20260301115503",
    "P|2||PB-{n}||||19501224|M",  # 10
    "O|1|B1-{n}||^^^K|R",
    "R|1|^^^K|4.0{n}|mmol/L||N||F||||20260301115504",
    "C|1|I|haemolytic|G",
    "R|2|^^^NA|13{n}|mmol/L||L||F||||20260301115505",
    "O|2|B2-{n}||^^^K|R",  # 15
    "R|1|^^^K|3.9{n}|mmol/L||N||F||||20260301115506",
    "P|3||PC-{n}||||19880229|F",
    "O|1|C1-{n}||^^^GLU\\^^^NA|R",
    "R|1|^^^GLU|7.7{n}|mmol/L||H||F||||20260301115507",
    "R|2|^^^NA|15{n}|mmol/L||H||F||||20260301115508",  # 20
    "C|1|I|repeated|G",
    "L|1|N",
)
LAST = len(RECORDS)
CUTS = range(1, LAST)  # how many frames were acknowledged when it was cut

# The results, in the order they are sent: the record each stands in, specimen, patient, code, value, flag.
RESULTS = (
    (5, "A1", "PA", "GLU", "5.1", "N"),
    (7, "A1", "PA", "NA", "14", "N"),
    (9, "A2", "PA", "GLU", "6.2", "H"),
    (12, "B1", "PB", "K", "4.0", "N"),
    (14, "B1", "PB", "NA", "13", "L"),
    (16, "B2", "PB", "K", "3.9", "N"),
    (19, "C1", "PC", "GLU", "7.7", "H"),
    (20, "C1", "PC", "NA", "15", "H"),
)
COMMENTED = frozenset({5, 12, 20})  # a comment follows these

# Records that are lower than the one before them, how many results are saved by each, and with what a sender that
# starts there again begins: the parents of that record, repeated.
DECREASES = {
    7: (1, (1, 2, 4)),  # R behind a comment
    8: (2, (1, 2)),  # O behind R
    10: (3, (1,)),  # P behind R
    14: (4, (1, 10, 11)),  # R behind a comment
    15: (5, (1, 10)),  # O behind R
    17: (6, (1,)),  # P behind R
}


def _last_decrease(acknowledged: int) -> int:
    return max((record for record in DECREASES if record <= acknowledged), default=0)


def saved(acknowledged: int) -> int:
    """How many of the results are saved when so many frames were acknowledged."""
    if acknowledged >= LAST:
        return len(RESULTS)
    record = _last_decrease(acknowledged)
    return DECREASES[record][0] if record else 0


def came(acknowledged: int) -> int:
    """How many results stand in so many records: what an L behind them, whatever its code, makes known."""
    return sum(record <= acknowledged for record, *_ in RESULTS)


@dataclass(frozen=True)
class Sheet:
    """The message with numbers of its own, so that none is like another's."""

    number: int

    def record(self, number: int) -> str:
        return RECORDS[number - 1].replace("{n}", f"{self.number:05}")

    def whole(self) -> list[str]:
        return [self.record(number) for number in range(1, LAST + 1)]

    def rest(self, acknowledged: int) -> list[str]:
        """From the last level decrease, with repeated parents; everything where nothing was saved."""
        record = _last_decrease(acknowledged)
        if not record:
            return self.whole()
        return [self.record(number) for number in (*DECREASES[record][1], *range(record, LAST + 1))]

    def aborted(self, acknowledged: int, code: str) -> list[str]:
        """So many records, then an L that says T, R or E."""
        return [*self.whole()[:acknowledged], f"L|1|{code}"]

    def specimens(self) -> list[str]:
        return [f"{name}-{self.number:05}" for name in ("A1", "A2", "B1", "B2", "C1")]

    def rows(self, analyser: str, first: int = 0, last: int | None = None) -> list[Row]:
        """What must be filed of it, each once; as the sender was told."""
        return [self._row(analyser, *result) for result in RESULTS[first:last]]

    def without_its_comment(self, analyser: str, acknowledged: int) -> list[Row]:
        """A sender that aborts between a result and its comment says that the result has none: other content."""
        return [self._row(analyser, *r) for r in RESULTS if r[0] == acknowledged and acknowledged in COMMENTED]

    def _row(self, analyser: str, record: int, specimen: str, patient: str, code: str, value: str, flag: str) -> Row:
        return Row(
            device="lis02_generic",
            analyser=analyser,
            specimen=f"{specimen}-{self.number:05}",
            patient=f"{patient}-{self.number:05}",
            role="P",
            code=code,
            component="",
            value=f"{value}{self.number:05}",
            unit="mmol/L",
            flags=(flag,),
            status="F",
            run=None,
            time=self.record(record).rsplit("|", 1)[1],
            acked_at="",
            message_no=self.number,
            attempt=0,
            complete=True,
        )


def wire(records: Sequence[str]) -> list[bytes]:
    """A frame per record."""
    return frames(list(records))
