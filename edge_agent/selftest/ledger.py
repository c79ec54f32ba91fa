"""What the self-test's analyser sent and what it was told is safe: one side of the comparison."""

from dataclasses import dataclass, field

from edge_agent.selftest.messages import Message


@dataclass(slots=True)
class Attempt:
    """One sending of a message, in one session of LIS01."""

    message: Message
    frames: tuple[bytes, ...]
    sent: int = 0  # frames written to the line, whole
    acknowledged: int = 0  # of these, from the first on

    @property
    def complete(self) -> bool:
        """Every frame was acknowledged: the analyser may forget the message."""
        return self.acknowledged == len(self.frames)


@dataclass(slots=True)
class Ledger:
    """Of one store, from its making on."""

    attempts: list[Attempt] = field(default_factory=list)
    ack_s: list[float] = field(default_factory=list)  # from a frame's last byte to its ACK
    refused: int = 0  # frames answered NAK
    unanswered: int = 0  # frames nobody answered while the agent was alive

    def begin(self, message: Message) -> Attempt:
        attempt = Attempt(message, message.frames(len(self.attempts) + 1))
        self.attempts.append(attempt)
        return attempt

    @property
    def acknowledged(self) -> int:
        """Frames."""
        return sum(attempt.acknowledged for attempt in self.attempts)

    def owed(self) -> dict[tuple[str, str], str]:
        """Results of messages that were acknowledged to their end, each of which has to come out."""
        return {key: value for a in self.attempts if a.complete for key, value in a.message.results.items()}

    def known(self) -> dict[tuple[str, str], str]:
        """Results that may come out."""
        return {key: value for a in self.attempts for key, value in a.message.results.items()}
