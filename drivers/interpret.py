"""A message of LIS02 records and a profile -> the canonical report. Pure and total.

What it promises: for any message it returns a report, and every R record of the message is in it: as an observation,
as a comment or status a rule made of it, or among the unread. Where something cannot be told, the observation, the
specimen or the whole message carries a hold. Results hang under the latest O and P (LIS02-A2 4.1); an O or P that
cannot be decoded takes the results after it out of the reach of the specimen before it.

What it does not: it never carries a time, an id or a status from one record over to another, parses no number, and
judges no plausibility. Whether a message that broke off may be published is the pipeline's to decide.
"""

from dataclasses import replace

from drivers.canonical import Comment, Hold, Query, Report, Sender, Specimen
from drivers.interpret_build import build, doubtful, merged
from drivers.interpret_comment import Target, attach, comment_of, rule_for
from drivers.interpret_context import Chain, Notes, OrderDraft, PatientDraft, Reader, ResultDraft
from drivers.interpret_query import query_of
from drivers.interpret_result import choose, drafts
from drivers.paths import Path
from drivers.profile import Profile
from drivers.protocols.lis02 import Message, Record

_BLANKS = b" \t"
_SENDER = Path("H", 5)
# LIS02-A2 6, H.12: T training, D debugging. Never a result (design invariant 9).
_NOT_PRODUCTION = frozenset({"T", "D"})


def report(message: Message, profile: Profile) -> Report:
    """The report of one message. Never raises for what an analyser sent."""
    walk = _Walk(message, profile)
    for record in message.records:
        walk.take(record)
    return walk.report()


class _Walk:
    """Goes through the records in order and keeps the parents in force."""

    def __init__(self, message: Message, profile: Profile) -> None:
        self.message = message
        self.profile = profile
        self.reader = Reader(profile)
        self.notes = Notes()
        self.header: Record | None = None
        self.patient = PatientDraft()
        self.order: OrderDraft | None = None
        self.orders: list[OrderDraft] = []
        self.queries: list[Query] = []
        self.holds: list[Hold] = []
        self.bad_patients: list[PatientDraft] = []
        self.targets: dict[int, Target] = {}  # record index -> what a comment under it is a comment on

    def take(self, record: Record) -> None:
        if record.undecodable:
            self._undecodable(record)
            return
        handler = _HANDLERS.get(record.type)
        if handler is None:
            self._selected(record, default="")
        else:
            handler(self, record)
        self._leftovers(record)

    def _header(self, record: Record) -> None:
        self.header = record

    def _patient(self, record: Record) -> None:
        self.patient = PatientDraft(record)
        self.order = None
        self.targets[record.index] = self.patient

    def _order(self, record: Record) -> None:
        self._open(OrderDraft(self.patient, record, records=[record.index]))
        self.targets[record.index] = self._under()

    def _result(self, record: Record) -> None:
        self._selected(record, default="result")

    def _query(self, record: Record) -> None:
        self.queries.append(query_of(self.reader, record))

    def _terminator(self, record: Record) -> None:
        """L ends the message; its code is in ``Message.termination``."""

    def _selected(self, record: Record, default: str) -> None:
        """A record that may be a result: by the profile's rules, else by default. "" = nobody mapped it."""
        chain = self._chain(record)
        rule = choose(self.reader, record, chain)
        sort = default if rule is None else rule.sort
        if sort == "comment":
            self._remark(record, chain, "previous" if rule is None else rule.attach_to)
        elif sort == "status":
            self._status(record, chain)
        elif sort in ("", "ignore"):
            self._left_aside(record, "ignored" if sort else "unknown record")
        else:
            self._observed(record, drafts(self.reader, record, chain, sort, self.notes))

    def _left_aside(self, record: Record, reason: str) -> None:
        if not self.profile.coverage.record(record.type):
            self.notes.add(record, record.type, reason)
        above = None if record.parent is None else self.targets.get(record.parent)
        if above is not None:
            self.targets[record.index] = above

    def _observed(self, record: Record, found: list[ResultDraft]) -> None:
        if not found:
            self._left_aside(record, "nothing in it")
            return
        self._under().results.extend(found)
        self.targets[record.index] = found[0]

    def _remark(self, record: Record, chain: Chain, attach_to: str) -> None:
        """An R that is really a comment on what came before it."""
        order = self._under()
        last = order.results[-1] if order.results else None
        places: dict[str, Target] = {"order": order, "specimen": self.patient, "previous": last or order}
        target = places[attach_to]
        text = self.reader.first(self.profile.result.value, chain)
        if text:
            attach(target, Comment(text), "note")
            self.targets[record.index] = target
        else:
            self._left_aside(record, "nothing in it")

    def _status(self, record: Record, chain: Chain) -> None:
        """An R that is really the status of the result before it."""
        order = self._under()
        if not order.results:
            self._left_aside(record, "a status of nothing")
            return
        last = order.results[-1]
        last.observation = replace(last.observation, status=self.reader.first(self.profile.result.value, chain))
        last.records.append(record.index)
        self.targets[record.index] = last

    def _comment(self, record: Record) -> None:
        """A comment belongs to the nearest earlier record that is not a comment (LIS02-A2 10)."""
        target = None if record.parent is None else self.targets.get(record.parent)
        chain = self._chain(record)
        comment = comment_of(self.reader, chain)
        if comment is None:
            return
        rule = rule_for(self.reader, chain)
        if target is None:
            self.notes.add(record, "C", "a comment on nothing")
            return
        attach(target, comment, "note" if rule is None else rule.sort)
        if not isinstance(target, PatientDraft):
            target.records.append(record.index)

    def _undecodable(self, record: Record) -> None:
        """Hold what the record belongs to, and never let the results behind it fall to the specimen before it."""
        hold = Hold("undecodable", f"record {record.index + 1}, {self.profile.text.charset}")
        letter = _letter(record)
        if letter in ("H", "Q"):
            self.holds.append(hold)
        elif letter == "P":
            self.patient, self.order = PatientDraft(undecodable=True), None
            self.bad_patients.append(self.patient)
        elif letter == "R":
            self._under().holds.append(hold)
        elif letter in ("C", "M"):
            self._undecodable_remark(hold)
        elif letter == "L":
            self.notes.add(record, "L", "undecodable")
        else:
            # an O, or a letter that cannot be read: it may belong to what came before, or begin another specimen
            if letter != "O" and self.order is not None:
                self.order.holds.append(hold)
            self._open(OrderDraft(self.patient, holds=[hold], records=[record.index]))

    def _undecodable_remark(self, hold: Hold) -> None:
        if self.order is not None:
            self.order.holds.append(hold)
        elif self.patient.record is not None:
            self.patient.undecodable = True
        else:
            self.holds.append(hold)

    def _open(self, order: OrderDraft) -> None:
        self.order = order
        self.orders.append(order)

    def _under(self) -> OrderDraft:
        """The order in force; results without one stand under a specimen nobody named."""
        if self.order is None:
            self._open(OrderDraft(self.patient, holds=[Hold("orphan-result")]))
        assert self.order is not None
        return self.order

    def _chain(self, record: Record) -> Chain:
        order = None if self.order is None else self.order.record
        parents = {"H": self.header, "P": self.patient.record, "O": order, record.type: record}
        return {letter: r for letter, r in parents.items() if r is not None}

    def _leftovers(self, record: Record) -> None:
        coverage = self.profile.coverage
        for at, text in enumerate(record.fields, start=1):
            if text and not coverage.field(record.type, at) and record.type in _HANDLERS:
                self.notes.add(record, f"{record.type}.{at}", "unmapped")

    def report(self) -> Report:
        chain: Chain = {} if self.header is None else {"H": self.header}
        header = self.header
        for patient in self.bad_patients:
            if not any(order.patient is patient for order in self.orders):
                self.orders.append(OrderDraft(patient))
        built = [built_order for order in self.orders for built_order in build(self.reader, self._at(order), order)]
        return Report(
            sender=Sender(name=self.reader.text(_SENDER, chain)),
            processing_id=header.get(12) if header is not None else "",
            sent=header.get(14) if header is not None else "",
            termination=self.message.termination,
            specimens=self._sure(merged(built)),
            queries=tuple(self.queries),
            unread=tuple(self.notes.unread),
            holds=tuple(self.holds) + self._whole_message(chain),
        )

    def _sure(self, specimens: tuple[Specimen, ...]) -> tuple[Specimen, ...]:
        return tuple(map(doubtful, specimens)) if self.profile.result.doubt == "hold" else specimens

    def _at(self, order: OrderDraft) -> Chain:
        parents = {"H": self.header, "P": order.patient.record, "O": order.record}
        return {letter: r for letter, r in parents.items() if r is not None}

    def _whole_message(self, chain: Chain) -> tuple[Hold, ...]:
        """Holds of the message: another device than the profile's, a training or debugging run."""
        found: list[Hold] = []
        if self.header is None:
            return () if self.holds else (Hold("no-header"),)
        wrong = [p for p in self.profile.recognise if not p.holds_for(chain.get(p.path.record), self.reader.clean)]
        if wrong:
            found.append(Hold("wrong-device", f"{wrong[0].path} does not fit"))
        if self.header.get(12).strip() in _NOT_PRODUCTION:
            found.append(Hold("training-run", f"H.12 {self.header.get(12).strip()}"))
        return tuple(found)


_HANDLERS = {
    "H": _Walk._header,
    "P": _Walk._patient,
    "O": _Walk._order,
    "R": _Walk._result,
    "C": _Walk._comment,
    "Q": _Walk._query,
    "L": _Walk._terminator,
}


def _letter(record: Record) -> str:
    """The type letter of a record that does not decode; "" when even that cannot be told."""
    body = record.raw.lstrip(_BLANKS)
    mark = record.delimiters.field.encode("utf-8", "backslashreplace")
    known = body[:1].isalpha() and (body[1:2] == b"" or body[1:].startswith(mark))
    return body[:1].decode("ascii").upper() if known else ""
