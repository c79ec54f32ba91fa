"""What a line says about itself: bytes in, findings out, for somebody who connects an analyser.

Promised: pure; nothing is answered here but an ENQ, and that with NAK ("busy, ask again in 10 s or more", LIS01-A2
§6.2), so that the analyser hears us and keeps its results. No ACK can come from here: nothing that is heard is
stored. A finding names no content but the name an analyser gives itself in its header.

Not promised: certainty. A wrong baud rate is known only by what it makes of bytes.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

from drivers.paths import parse, read
from drivers.profile import Profile
from drivers.profile_link import record_options
from drivers.protocols import lis02
from drivers.protocols.lis01_dialect import Dialect
from drivers.protocols.lis01_events import NAK_BYTE
from drivers.protocols.lis01_frames import Cutter, Kind, Piece
from edge_agent.sentences import REFUSALS

_MOST = 16 * 1024  # bytes since the last silence, kept to try other dialects on
_TRIES = 8  # trying them takes a moment, and a bad cable damages frame after frame
_NOISE = 1024  # bytes; a line that babbles is judged without waiting for silence
_HEARD_US_S = 12.0  # LIS01-A2 §6.5.2: a sender that hears nothing gives up after 15 s
_CHECKSUMS = ("standard", "incl_stx", "no_etx", "xor1", "gs_hex", "none")
_TRAILERS = ("crlf", "any", "none")


@dataclass(frozen=True, slots=True)
class Finding:
    """``works``: the analyser was understood."""

    code: str
    sentence: str
    action: str = ""
    works: bool = False


_SEND_AGAIN = "Have it send that again once the agent runs."
_FRAMED = Finding("frame", "It sends records, and they can be read. None was acknowledged: it keeps them.", works=True)
_BARE = Finding(
    "bare-records",
    "It sends records and they can be read, but it waits for no answer: what it sent now is stored nowhere.",
    _SEND_AGAIN,
    works=True,
)


def kind_of(data: bytes) -> Finding:
    """What bytes are that were no frames and no control byte."""
    body = data.lstrip(b"\r\n\x00")
    if b"\x0bMSH" in data or body[:4] in (b"MSH|", b"MSH^"):
        return Finding(
            "hl7",
            "It sends HL7, not LIS01 frames.",
            "Set the analyser to ASTM (LIS01/LIS02), or choose a profile for what it sends.",
        )
    if lis02_header(data):
        return Finding(
            "bare",
            "It sends records without frames and waits for no answer: what it sent now is stored nowhere.",
            f'Set link.framing = "bare" for its profile in devices.d. {_SEND_AGAIN}',
        )
    if parity := _parity(data):
        return Finding(
            "parity",
            f"It sends 7 data bits with {parity[1]} parity, and the port is set to 8.",
            f"Write bytesize=7&parity={parity[0]} in its transport, or set the analyser to 8 data bits, no parity.",
        )
    if data.count(0) * 4 > len(data):
        return Finding(
            "damaged",
            f"What came was damaged on the way, with framing or parity errors ({len(data)} bytes).",
            "Compare baud rate, data bits and parity with the analyser's menu; then look at the cable and its shield.",
        )
    return Finding(
        "garbage",
        f"What came is no frame of any kind ({len(data)} bytes).",
        "Compare baud rate, data bits, parity and stop bits with the analyser's menu.",
    )


def lis02_header(data: bytes) -> bool:
    """``H`` and delimiters at the beginning of a line, as LIS02-A2 §6 has it."""
    return any(line.lstrip()[:2] in (b"H|", b"H\\", b"H^") for line in data.replace(b"\n", b"\r").split(b"\r"))


def _parity(data: bytes) -> tuple[str, str] | None:
    """Seven data bits read as eight: the eighth is the parity, and without it the bytes are text."""
    plain = bytes(byte & 0x7F for byte in data)
    if max(data, default=0) < 0x80 or len(data) < 8 or not _is_text(plain):
        return None
    odd = {byte.bit_count() % 2 for byte in data}
    return {frozenset({0}): ("E", "even"), frozenset({1}): ("O", "odd")}.get(frozenset(odd))


def _is_text(data: bytes) -> bool:
    """Printable, or a control byte of LIS01."""
    return all(0x20 <= byte < 0x7F or byte in b"\x02\x03\x04\x05\x0a\x0d\x17\x1d" for byte in data)


class Hearing:
    """One connection. ``profiles``: name -> profile of every known device, to say whose header it is."""

    def __init__(self, name: str, profile: Profile, profiles: Callable[[], Sequence[tuple[str, Profile]]]) -> None:
        self.works = False
        self.bytes = 0
        self._name = name
        self._profile = profile
        self._profiles = profiles
        self._dialect = profile.link.dialect()
        self._cutter = Cutter(self._dialect)
        self._kept = bytearray()
        self._noise = bytearray()
        self._asked_at: float | None = None
        self._last_at = 0.0
        self._clean = True  # nothing unreadable since the last silence
        self._tries = _TRIES
        self._said: set[str] = set()

    @property
    def deadline(self) -> float | None:
        """When ``hear(b"", now)`` is due: silence will tell something then."""
        due = [self._cutter.deadline, self._last_at + self._dialect.settle_s if self._noise else None]
        return min((t for t in due if t is not None), default=None)

    def hear(self, data: bytes, now: float) -> tuple[list[Finding], bytes]:
        """Findings that are new, and what to answer: nothing or one NAK."""
        quiet = now - self._last_at >= self._dialect.settle_s
        if data:
            self._clean = self._clean or quiet
            self._cutter.add(data, now)
            if quiet:  # a sender that waits for an answer is silent, so what follows begins with a whole frame
                self._kept.clear()
            self._kept += data[: max(0, _MOST - len(self._kept))]
            self.bytes += len(data)
            self._last_at = now
        found: list[Finding] = []
        answer = b""
        while (piece := self._cutter.next(now, in_session=True, bare_allowed=True)) is not None:
            findings, answer_now = self._piece(piece, now)
            found += findings
            answer = answer_now or answer
        if self._noise and not data and quiet:
            found.append(self._noises())
        return self._new(found), answer

    def end(self, now: float) -> list[Finding]:
        """No byte will come any more."""
        self._cutter.end()
        found, _ = self.hear(b"", now)
        if (rest := self._cutter.flush()) is not None:
            found += self._new(self._piece(rest, now)[0])
        if self._noise:
            found += self._new([self._noises()])
        return found

    def _new(self, found: Sequence[Finding]) -> list[Finding]:
        """Each kind is said once."""
        fresh = [finding for finding in found if finding.code not in self._said]
        self._said |= {finding.code for finding in fresh}
        self.works = self.works or any(finding.works for finding in fresh)
        return list({finding.code: finding for finding in fresh}.values())

    def _piece(self, piece: Piece, now: float) -> tuple[list[Finding], bytes]:
        match piece.kind:
            case Kind.ENQ if self._clean and not piece.cut:
                return self._enq(now), NAK_BYTE
            case Kind.EOT:
                return self._eot(now), b""
            case Kind.FRAME | Kind.BARE:
                return list(self._frame(piece)), b""
            case Kind.DAMAGED:
                self._clean = False
                return [self._damaged(piece)], b""
            case _:
                self._clean = False
                self._noise += piece.raw
                return [self._noises()] if len(self._noise) >= _NOISE else [], b""

    def _enq(self, now: float) -> list[Finding]:
        again = self._asked_at is not None
        self._asked_at = now
        first = Finding(
            "enq",
            "It asks to send (ENQ): its line to here works. ENQ is answered NAK (busy), so that it keeps its results.",
            works=True,
        )
        heard = Finding("heard-us", "It asked again, as it should after our answer.", works=True)
        return [heard] if again else [first]

    def _eot(self, now: float) -> list[Finding]:
        if self._asked_at is None or now - self._asked_at < _HEARD_US_S:
            return []
        return [
            Finding(
                "deaf",
                f"It gave up {now - self._asked_at:.0f} s after it had asked: our answer may not have reached it.",
                "Check the wire from this machine to the analyser (our TX to its RX), and parity.",
            )
        ]

    def _frame(self, piece: Piece) -> Iterator[Finding]:
        self._asked_at = None
        yield _BARE if piece.kind is Kind.BARE else _FRAMED
        header = lis02.read(
            piece.text.rstrip(b"\r\n") + b"\r", record_options(self._profile.text, self._profile.records)
        )
        for message in header.messages[:1]:
            yield from self._header(message.records[0])

    def _header(self, header: lis02.Record) -> Iterator[Finding]:
        sender = read(parse("H.5"), header).replace("^", " ").strip()
        if _fits(self._profile, header):
            yield Finding("header", f"Its header says {sender or 'no name'}, which fits {self._name}.", works=True)
            return
        others = [name for name, profile in self._profiles() if profile.recognise and _fits(profile, header)]
        choose = f'Set profile = "{others[0]}".' if others else "Look for its profile with `edge-agent device list`."
        yield Finding(
            "other-device", f"Its header says {sender or 'no name'}, which is not what {self._name} expects.", choose
        )

    def _noises(self) -> Finding:
        data, self._noise = bytes(self._noise), bytearray()
        return kind_of(data)

    def _damaged(self, piece: Piece) -> Finding:
        self._tries -= 1
        switches = dialect_for(bytes(self._kept), self._dialect) if self._tries >= 0 else {}
        reason = REFUSALS.get(piece.reason, piece.reason)
        if switches:
            written = ", ".join(f'link.{key} = "{value}"' for key, value in switches.items())
            return Finding(
                "dialect",
                f"It sends frames, but {reason}. They fit with {written}.",
                f"Write that into devices.d/{self._name}.toml, if the analyser's manual agrees.",
            )
        if _parity(piece.raw):
            return kind_of(piece.raw)
        return Finding(
            "refused",
            f"It sends frames, but {reason}.",
            "Look at the cable and its shield; compare parity and data bits with the analyser's menu.",
        )


def _fits(profile: Profile, header: lis02.Record) -> bool:
    rules = [rule for rule in profile.recognise if rule.path.record == "H"]
    return all(rule.holds_for(header, profile.text.clean) for rule in rules)


def dialect_for(heard: bytes, dialect: Dialect) -> dict[str, str]:
    """The fewest switches of ``[link]`` with which every frame that was heard whole is good; empty: none help."""
    changes: list[dict[str, str]] = [{"checksum": c} for c in _CHECKSUMS]
    changes += [{"trailer": t} for t in _TRAILERS]
    changes += [{"frame_number": "none"}]
    changes += [{"checksum": c, "trailer": t} for c, t in product(_CHECKSUMS, _TRAILERS)]
    changes += [{"checksum": c, "trailer": t, "frame_number": "none"} for c, t in product(_CHECKSUMS, _TRAILERS)]
    for change in changes:
        wanted = {key: value for key, value in change.items() if getattr(dialect, key) != value}
        if wanted and _all_good(heard, replace(dialect, **wanted)):  # type: ignore[arg-type]  # all texts
            return wanted
    return {}


def _all_good(heard: bytes, dialect: Dialect) -> bool:
    """Frames there are, none damaged, nothing left between them, and the first says what record it is."""
    cutter = Cutter(dialect)
    cutter.add(heard, 0.0)
    cutter.end()
    texts: list[bytes] = []
    while (piece := cutter.next(1e9, in_session=True, bare_allowed=False)) is not None:
        if piece.kind is Kind.FRAME:
            texts.append(piece.text)
        elif piece.kind in (Kind.DAMAGED, Kind.NOISE):
            return False
    return bool(texts) and texts[0][:1].isalpha() and not texts[0][1:2].isalnum() and cutter.flush() is None
