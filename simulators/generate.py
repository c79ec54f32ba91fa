"""Transmissions with made-up contents in a device's own shape: other specimens, patients, values and times.

The same device, shapes and seed give the same transmissions. Within one generator no two groups share a specimen id.
"""

import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from simulators.shapes import Mark, Shape, SpecimenMark, join_record, split_record

FIRST = datetime(2025, 3, 3, tzinfo=UTC)
SPREAD_S = 300 * 86_400  # runs of different seeds begin somewhere in these days: controls keep their ids, so times tell
STEP_S = 37  # between two transmissions
TRIES = 20  # for a number not used before
STAMP = re.compile(r"(?<!\d)20\d{12}(?!\d)")
NUMBER = re.compile(r"^([<>=]*\s*)(\d+)([.,]\d+)?$")
ID_DIGITS = 8
NAMES = ("김^민준", "이^서연", "박^도윤", "최^하은", "정^시우", "강^지아", "윤^예준", "임^수아")
NAMED_DEVICE = "lis02_generic"


@dataclass(frozen=True, slots=True)
class Sent:
    """One observation as the analyser says it. ``ends_at``: bytes of the message up to the end of its record."""

    specimen: str
    patient: str
    role: str
    code: str
    component: str
    value: str
    unit: str
    flags: tuple[str, ...]
    status: str
    run: str | None
    time: str | None
    ends_at: int


@dataclass(frozen=True, slots=True)
class Transmission:
    number: int
    shape: Shape
    records: tuple[bytes, ...]
    observations: tuple[Sent, ...]


class Generator:
    """``per_specimen`` consecutive transmissions of one shape speak of the same specimens."""

    def __init__(
        self,
        device: str,
        shapes: Sequence[Shape],
        seed: int,
        per_specimen: int = 1,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        """``clock``: what a header says as its message's time; without one a made-up time, like every other."""
        self._clock = clock
        self._device, self._shapes, self._seed, self._per_specimen = device, shapes, seed, per_specimen
        self._ids: dict[tuple[int, str], str] = {}
        self._used: set[str] = set()
        self._values: dict[tuple[str, str, str, str], int] = {}

    def transmission(self, number: int, most: int | None = None) -> Transmission:
        """The ``number``-th transmission (from 0), with at most ``most`` observations."""
        group = number // self._per_specimen
        shape = _cut(self._shapes[self._draw("shape", group).randrange(len(self._shapes))], most)
        timed = all(mark.completed for mark in shape.marks)
        if not timed and not all(NUMBER.match(mark.value) for mark in shape.marks):
            group = number  # nothing would tell a second transmission of the specimen from the first one sent twice
        ids = [self._id(mark, group, timed) for mark in shape.specimens]
        patients = [_renumber(m.patient, self._draw("patient", m.patient, group)) for m in shape.specimens]
        values = [self._value(mark, ids[mark.specimen], number) for mark in shape.marks]
        shift = self._shift(shape, number)
        records = [self._record(shape, i, ids, patients, shift, number) for i in range(len(shape.records))]
        for mark, value in zip(shape.marks, values, strict=True):
            fields = split_record(records[mark.record], shape.delimiters[0])
            if mark.value:
                fields[mark.field] = fields[mark.field].replace(mark.value, value, 1)
            records[mark.record] = join_record(fields, shape.delimiters[0])
        encoded = tuple(record.encode(shape.charset) for record in records)
        ends = _ends(encoded)
        sent = tuple(
            Sent(
                specimen=ids[m.specimen],
                patient=patients[m.specimen],
                role=shape.specimens[m.specimen].role,
                code=m.code,
                component=m.component,
                value=value,
                unit=m.unit,
                flags=m.flags,
                status=m.status,
                run=m.run,
                time=None if m.completed is None else _shifted(m.completed, shift),
                ends_at=ends[m.record],
            )
            for m, value in zip(shape.marks, values, strict=True)
        )
        return Transmission(number, shape, encoded, sent)

    def _draw(self, *what: object) -> random.Random:
        return random.Random(repr((self._device, self._seed, *what)))  # noqa: S311 - made-up results, not a secret

    def _id(self, mark: SpecimenMark, group: int, timed: bool) -> str:
        """A patient's specimen gets an id never used before. A control keeps its own, as long as result times tell
        its runs apart."""
        if mark.role != "P" and timed:
            return mark.id
        key = (group, mark.id)
        draw = self._draw("specimen", *key)
        while key not in self._ids:
            made = _renumber(mark.id, draw)
            if made not in self._used:
                self._ids[key] = made
                self._used.add(made)
        return self._ids[key]

    def _value(self, mark: Mark, specimen: str, number: int) -> str:
        """Replicates that were equal stay equal; another transmission of the specimen brings other numbers.

        Without a result time nothing but the value tells two results from one that was sent twice.
        """
        draw = self._draw("value", mark.specimen, mark.code, mark.value, number)
        for _ in range(TRIES):
            value = _vary(mark.value, draw)
            if self._values.setdefault((specimen, mark.code, mark.component, value), number) == number:
                break
        return value

    def _shift(self, shape: Shape, number: int) -> timedelta:
        """What moves the message's own time, or its first result's, to this transmission's minute."""
        texts = (shape.fields(0)[13:14] or [""]) + [shape.records[mark.record] for mark in shape.marks]
        known = next((found for found in map(STAMP.search, texts) if found), None)
        if known is None:
            return timedelta()
        start = self._draw("start").randrange(SPREAD_S)
        return FIRST + timedelta(seconds=start + number * STEP_S) - _time(known[0])

    def _record(
        self, shape: Shape, index: int, ids: Sequence[str], patients: Sequence[str], shift: timedelta, number: int
    ) -> str:
        fields = shape.fields(index)
        kind = fields[0].upper()
        for position, text in enumerate(fields):
            if kind == "O" and position in (2, 3):
                fields[position] = _swap(text, [s.id for s in shape.specimens], ids)
            elif kind == "P" and position in (2, 3, 4):
                fields[position] = _swap(text, [s.patient for s in shape.specimens], patients)
            elif self._clock is not None and (index, position) == (0, 13):
                fields[position] = STAMP.sub(f"{self._clock():%Y%m%d%H%M%S}", text)
            elif position > 0:
                fields[position] = STAMP.sub(lambda found: _shifted(found[0], shift), text)
        if kind == "P" and self._device == NAMED_DEVICE and number % 3 == 0 and len(fields) > 2:
            fields += [""] * (6 - len(fields))
            fields[5] = self._draw("name", number).choice(NAMES)
        return join_record(fields, shape.delimiters[0])


def _swap(text: str, old: Sequence[str], new: Sequence[str]) -> str:
    """The first of ``old`` found in ``text``, replaced. Longer ones first: one id may begin another."""
    for before, after in sorted(zip(old, new, strict=True), key=lambda pair: -len(pair[0])):
        if before and before in text:
            return text.replace(before, after, 1)
    return text


def _renumber(text: str, draw: random.Random) -> str:
    """Another id of the same form: the last run of digits replaced, and long enough to be unlike others."""
    if not text:
        return text
    head = text.rstrip("0123456789")
    digits = max(len(text) - len(head), ID_DIGITS)
    joint = "-" if head == text else ""
    return f"{head}{joint}{draw.randrange(10 ** (digits - 1), 10**digits)}"


def _vary(value: str, draw: random.Random) -> str:
    """Another number with the same comparator, digits and decimals; anything else stays as it is."""
    found = NUMBER.match(value)
    if found is None:
        return value
    comparator, whole, decimals = found[1], found[2], found[3] or ""
    first = str(draw.randint(1, 9))
    rest = "".join(str(draw.randint(0, 9)) for _ in whole[1:])
    tail = decimals[:1] + "".join(str(draw.randint(0, 9)) for _ in decimals[1:])
    return comparator + first + rest + tail


def _time(stamp: str) -> datetime:
    return datetime.strptime(stamp, "%Y%m%d%H%M%S").replace(tzinfo=UTC)


def _shifted(stamp: str, shift: timedelta) -> str:
    if not STAMP.fullmatch(stamp):
        return stamp
    try:
        return (_time(stamp) + shift).strftime("%Y%m%d%H%M%S")
    except ValueError:  # looks like a time and is none: a serial number of fourteen digits
        return stamp


def _ends(records: Sequence[bytes]) -> list[int]:
    ends: list[int] = []
    total = 0
    for record in records:
        total += len(record) + 1
        ends.append(total)
    return ends


def _cut(shape: Shape, most: int | None) -> Shape:
    """The same shape with fewer results: later R records leave together with the comments that follow them."""
    if most is None or len(shape.marks) <= most:
        return shape
    gone = set(_tail(shape, shape.marks[most:]))
    kept = [i for i in range(len(shape.records)) if i not in gone]
    place = {old: new for new, old in enumerate(kept)}
    return replace(
        shape,
        records=tuple(shape.records[i] for i in kept),
        marks=tuple(replace(m, record=place[m.record]) for m in shape.marks[:most]),
    )


def _tail(shape: Shape, marks: Sequence[Mark]) -> Iterator[int]:
    for mark in marks:
        yield mark.record
        following = mark.record + 1
        while shape.records[following][:1].upper() in ("C", "M"):
            yield following
            following += 1
