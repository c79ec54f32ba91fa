"""Compares what analysers were told is safe with what the management system got, counted at the wire.

The words: *lost*: an acknowledged result never filed. *doubled*: one observation under two MSH-10s. *altered*: it came
with another value, unit, flag, run or time. *misattributed*: it came under another specimen, patient or role. *stray*:
it came and nobody sent it. *unfiled*: it came and was never answered AA. *out of order*: filed before an older result
of its specimen. A *retry*, one MSH-10 delivered again with the same bytes, is counted and is no fault; with other bytes
it is altered. Results of broken-off transmissions need not be filed; if they are, they must be right.

Images and LAW's supplemental observations (OBX-3.6 = IHELAW) are not compared.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from simulators.analyser_ledger import Row
from simulators.central_ledger import Filing
from simulators.er7 import Observation
from simulators.table import table

Key = tuple[str, str, str]  # analyser ("" where rows do not name one), specimen, code
FAULTS = ("lost", "doubled", "altered", "misattributed", "stray", "unfiled", "out_of_order")


@dataclass(frozen=True, slots=True)
class Fault:
    """One finding; ``detail`` names fields, never contents."""

    kind: str
    analyser: str
    specimen: str
    code: str
    detail: str = ""


@dataclass(slots=True)
class Verdict:
    owed: Counter[str] = field(default_factory=Counter)  # by analyser: acknowledged results, which must be filed
    filed: Counter[str] = field(default_factory=Counter)
    messages: Counter[str] = field(default_factory=Counter)
    retries: Counter[str] = field(default_factory=Counter)
    faults: list[Fault] = field(default_factory=list)

    @property
    def acknowledged(self) -> int:
        return self.owed.total()

    def sentence(self) -> str:
        """The sums in one line, for a list of many runs."""
        found = Counter(fault.kind for fault in self.faults)
        faults = ", ".join(f"{found[kind]} {kind}" for kind in FAULTS)
        return f"{self.acknowledged} acknowledged, {self.filed.total()} filed, {faults}"

    def of(self, kind: str) -> list[Fault]:
        return [fault for fault in self.faults if fault.kind == kind]

    @property
    def flawless(self) -> bool:
        return not self.faults

    def table(self) -> str:
        """A line per analyser, and the first faults below."""
        names = sorted({*self.owed, *self.filed, *(fault.analyser for fault in self.faults)})
        rows = [self._line(name) for name in names]
        columns = ("analyser", "acknowledged", "filed", "messages", "retries", *(f.replace("_", " ") for f in FAULTS))
        shown = [f"{f.kind}: {f.analyser} {f.specimen} {f.code} {f.detail}".rstrip() for f in self.faults[:20]]
        return "\n".join([table(columns, rows), *shown])

    def _line(self, name: str) -> list[str]:
        counts = Counter(fault.kind for fault in self.faults if fault.analyser == name)
        sums = (self.owed[name], self.filed[name], self.messages[name], self.retries[name])
        return [name or "-", *map(str, sums), *(str(counts[kind]) for kind in FAULTS)]


def compare(rows: Iterable[Row], filings: Iterable[Filing]) -> Verdict:
    """``filings``: every delivery in the order of arrival, retries included."""
    return _Comparison(list(rows), list(filings)).run()


class _Comparison:
    def __init__(self, rows: Sequence[Row], filings: Sequence[Filing]) -> None:
        self._named = all(row.analyser for row in rows)
        self._filings = filings
        self._pending: defaultdict[Key, list[Row]] = defaultdict(list)
        self._matched: defaultdict[Key, list[Row]] = defaultdict(list)
        self._filed_ids = {f.msh10 for f in filings if f.filed}
        self._newest: dict[tuple[str, str], str] = {}
        self._verdict = Verdict()
        for row in _owed(rows):
            self._pending[self._row_key(row)].append(row)
            self._verdict.owed[self._name(row)] += row.complete

    def run(self) -> Verdict:
        first, repeats = _first_deliveries(self._filings)
        self._count(first, repeats)
        unresolved = [filing for filing in first if not self._match(filing)]
        for filing in unresolved:
            self._explain(filing)
        for key, rows in self._pending.items():
            for row in rows:
                if row.complete:
                    self._fault("lost", key)
        return self._verdict

    def _name(self, row: Row) -> str:
        return row.analyser if self._named else ""

    def _row_key(self, row: Row) -> Key:
        return self._name(row), row.specimen, row.code

    def _filing_key(self, filing: Filing) -> Key:
        return filing.analyser if self._named else "", filing.observation.specimen, filing.observation.code

    def _count(self, first: Sequence[Filing], repeats: Sequence[Filing]) -> None:
        for filing in _one_per_delivery(first):
            self._verdict.messages[self._filing_key(filing)[0]] += 1
        digests: dict[str, str] = {}
        for filing in self._filings:
            digests.setdefault(filing.msh10, filing.digest)
        for filing in _one_per_delivery(repeats):
            self._verdict.retries[self._filing_key(filing)[0]] += 1
            if filing.digest != digests[filing.msh10]:
                self._fault("altered", self._filing_key(filing), "the same MSH-10 came with other bytes")

    def _match(self, filing: Filing) -> bool:
        key = self._filing_key(filing)
        row = next((row for row in self._pending[key] if not differences(row, filing.observation)), None)
        if row is None:
            return False
        self._pending[key].remove(row)
        self._matched[key].append(row)
        self._settle(filing, row)
        return True

    def _settle(self, filing: Filing, row: Row) -> None:
        key = self._filing_key(filing)
        if filing.msh10 not in self._filed_ids:
            self._fault("unfiled", key)
            return
        self._verdict.filed[key[0]] += 1
        newest = self._newest.get(key[:2], "")
        if row.acked_at and row.acked_at < newest:
            self._fault("out_of_order", key)
        self._newest[key[:2]] = max(newest, row.acked_at)

    def _explain(self, filing: Filing) -> None:
        """What an observation that fits nothing still owed is: a double, a spoiled one, or one out of nowhere."""
        key, seen = self._filing_key(filing), filing.observation
        if any(not differences(row, seen) for row in self._matched[key]):
            self._fault("doubled", key)
        elif self._pending[key]:
            row = min(self._pending[key], key=lambda r: len(differences(r, seen)))
            self._pending[key].remove(row)
            said = differences(row, seen)
            self._fault("misattributed" if {"patient", "role"} & set(said) else "altered", key, ", ".join(said))
        elif (place := self._elsewhere(key, seen)) is not None:
            self._pending[place[0]].remove(place[1])
            self._fault("misattributed", key, "specimen")
        else:
            self._fault("stray", key)

    def _elsewhere(self, key: Key, seen: Observation) -> tuple[Key, Row] | None:
        for other, rows in self._pending.items():
            if other[0] == key[0] and other[2] == key[2]:
                for row in rows:
                    if not set(differences(row, seen)) - {"patient"}:
                        return other, row
        return None

    def _fault(self, kind: str, key: Key, detail: str = "") -> None:
        self._verdict.faults.append(Fault(kind, *key, detail))


def differences(row: Row, seen: Observation) -> list[str]:
    """Names of the fields in which a filed observation is not what the analyser sent."""
    same = {
        # A component tells results of one test apart (copies and their logarithm); the receiver sees it in the text.
        "component": seen.name.endswith(row.component),
        "value": _same_value(row.value, seen),
        "unit": seen.unit == row.unit,
        "flags": seen.flags == row.flags,
        "run": row.run is None or seen.run == row.run,
        "time": row.time is None or _same_time(row.time, seen.time),
        "patient": not row.patient or row.role != "P" or seen.patient == row.patient,
        "role": seen.role == row.role,
    }
    return [name for name, equal in same.items() if not equal]


def _same_value(sent: str, seen: Observation) -> bool:
    """Text equality with the source; a coded value keeps it as its text, a decimal comma or "no result" in a note."""
    if seen.value == sent or (seen.type in ("CE", "CWE") and seen.value_text == sent):
        return True
    noted = any(line.endswith(sent) for line in seen.notes.split("\n"))
    if seen.type == "NM":
        return "," in sent and seen.value == sent.replace(",", ".") and noted
    return seen.type == "" and seen.value == "" and seen.status == "X" and noted


def _same_time(sent: str, seen: str) -> bool:
    """The analyser's clock text; the receiver's has its offset behind it."""
    return seen.startswith(sent) if sent else seen == ""


def _owed(rows: Sequence[Row]) -> Iterator[Row]:
    """Every acknowledged observation, and of broken-off transmissions what no later attempt completed, once."""
    complete = Counter(_content(row) for row in rows if row.complete)
    attempts = Counter((_content(row), row.attempt) for row in rows if not row.complete)
    allowed: Counter[tuple[object, ...]] = Counter()
    for (content, _), count in attempts.items():
        allowed[content] = max(allowed[content], count)
    for row in rows:
        if row.complete:
            yield row
        elif complete[_content(row)] == 0 and allowed[_content(row)] > 0:
            allowed[_content(row)] -= 1
            yield row


def _content(row: Row) -> tuple[object, ...]:
    return (row.analyser, row.device, row.message_no, row.specimen, row.code, row.component, row.value, row.time)


def _first_deliveries(filings: Sequence[Filing]) -> tuple[list[Filing], list[Filing]]:
    """Results of the first delivery of each MSH-10, and those of every later one."""
    leading: dict[str, int] = {}
    for filing in filings:
        leading.setdefault(filing.msh10, filing.delivery)
    first = [f for f in filings if leading[f.msh10] == f.delivery]
    repeats = [f for f in filings if leading[f.msh10] != f.delivery]
    return [f for f in first if _compared(f.observation)], repeats


def _compared(seen: Observation) -> bool:
    return seen.type != "ED" and not seen.supplemental


def _one_per_delivery(filings: Sequence[Filing]) -> Iterator[Filing]:
    known: set[int] = set()
    for filing in filings:
        if filing.delivery not in known:
            known.add(filing.delivery)
            yield filing
