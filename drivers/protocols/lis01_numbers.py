"""Frame numbers: what is new, what is a retransmission, what cannot be (LIS01-A2 §6.3.2, §6.5.1).

By the book an equal number alone makes a retransmission. A device that numbers badly would then lose results in
silence, so here number *and bytes* must be equal; an equal number with other bytes is refused, under its own reason.

A sender that does not wait for answers goes on after a frame that was refused. Its numbers come round after eight
frames, and what follows would then stand behind the wrong order or patient. So once a frame shows that its sender went
on, nothing more is taken of the session: it was not acknowledged, and comes again.
"""

from enum import Enum, auto

from drivers.protocols.lis01_frames import Piece


class Verdict(Enum):
    NEW = auto()
    REPEAT = auto()
    WRONG = auto()


NEW, REPEAT, WRONG = Verdict


class Numbers:
    """``rule``: the dialect's ``frame_number``."""

    def __init__(self, rule: str) -> None:
        self._rule = rule
        self._last: Piece | None = None  # the last accepted frame of this session
        self._before: int | None = None  # the last accepted number of former sessions
        self._proposed: Piece | None = None
        self._restart = False
        self._missed: Piece | None = None  # refused, and not come again yet
        self._seen: Piece | None = None  # came instead of it
        self._went_on = False

    def begin(self) -> None:
        """A new session."""
        if self._last is not None:
            self._before = self._last.number
        self._last = self._proposed = self._missed = self._seen = None
        self._restart = self._went_on = False

    def allow_restart(self) -> None:
        """ENQ came again in a session that goes on: the next frame may be number 1."""
        self._restart = True
        self._went_on = False

    def judge(self, piece: Piece) -> Verdict:
        verdict = self._judged(piece)
        if verdict is NEW and (self._went_on or not self._comes_again(piece)):
            return WRONG
        if verdict is WRONG and (self._last is None or piece.number != self._last.number):
            self._went_on = True
        return verdict

    def missed(self, piece: Piece) -> None:
        """The frame was refused: the next one should be the same."""
        self._missed = self._missed or piece

    def _comes_again(self, piece: Piece) -> bool:
        """After a refusal, where numbers need not be in order: whether its sender waited and sends that frame again.

        The number may be what was damaged: then a frame that comes twice shows a sender that waits.
        """
        if self._rule != "any" or self._missed is None or piece.raw[:2] == self._missed.raw[:2]:
            return True
        if self._seen is None:
            self._seen = piece
            return False
        self._went_on = self._seen.raw != piece.raw
        return not self._went_on

    def _judged(self, piece: Piece) -> Verdict:
        last = self._last
        if last is None:
            return NEW if self.may_begin(piece) else WRONG
        same = piece.number == last.number
        if same and piece.text == last.text and piece.last == last.last and self._may_repeat(piece):
            return REPEAT
        if self._rule in ("any", "none") or piece.number == ((last.number or 0) + 1) % 8:
            return NEW
        return NEW if self._restart and piece.number == 1 else WRONG

    def may_begin(self, piece: Piece) -> bool:
        """Whether the frame's number may be a session's first. By the book only 1, so 0 is no repeat of "nothing"."""
        if self._rule in ("any", "none") or piece.number == 1:
            return True
        if self._rule != "continues":
            return False
        # After a restart of ours the last number is unknown; the sender's ACK of the last frame may have been lost.
        return self._before is None or piece.number in (self._before, (self._before + 1) % 8)

    def reason(self, piece: Piece) -> str:
        """Why a wrong frame is wrong."""
        reused = self._last is not None and piece.number == self._last.number
        return "frame-number-reused" if reused else "frame-number"

    def propose(self, piece: Piece) -> None:
        """The frame was handed out; it counts once ``settle`` says so."""
        self._proposed = piece

    def settle(self, *, accepted: bool) -> None:
        if accepted and self._proposed is not None:
            self._last = self._proposed
            self._missed = self._seen = None
            self._restart = False
        elif self._proposed is not None:
            self.missed(self._proposed)
        self._proposed = None

    def _may_repeat(self, piece: Piece) -> bool:
        # Without numbers two equal pieces of a long record (base64 of an empty image) can both be data.
        return self._rule != "none" or piece.text.endswith(b"\r")
