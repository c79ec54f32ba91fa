"""The management system in virtual time: the simulators' desk and ledger, answers that are late, doubled or lost."""

import json
from collections import deque
from dataclasses import dataclass, field

from faults.simulation.sim_broker import Packet, SimBroker
from faults.simulation.virtual_loop import VirtualClock, VirtualLoop

from simulators.acknowledgement import acknowledgement
from simulators.central_desk import Arrival, Desk, Ruling
from simulators.central_ledger import CentralLedger

STATE = "ivd/v1/_central/ivd/a/state"
HOURS_S = 3600.0


@dataclass
class SimManagement:
    """``moods``: what becomes of the next answers, one each; afterwards they are right and at once."""

    loop: VirtualLoop
    clock: VirtualClock
    ledger: CentralLedger = field(default_factory=CentralLedger)
    moods: deque[str] = field(default_factory=deque)
    refused: int = 0

    def __post_init__(self) -> None:
        self.desk = Desk(self.ledger, sample_every=0)
        self.broker = SimBroker(self.receive)
        self._number = 0

    def say(self, *, online: bool) -> None:
        """STATE, retained; and there or away."""
        said = json.dumps({"online": online, "timestamp": int(self.clock.monotonic() * 1000)}).encode()
        self.broker.central(online)
        self.broker.say(STATE, said)

    def receive(self, packet: Packet) -> None:
        """Filed when this returns; the answer goes out behind it."""
        properties = dict(packet.user)
        mood = self.moods.popleft() if self.moods else "right"
        answer = {"AE": "AE", "AR": "AR", "CA": "CA"}.get(mood)
        self.desk.script = None if answer is None else lambda _: answer
        with self.ledger.transaction():
            ruling = self.desk.rule(
                Arrival(
                    packet.topic,
                    packet.payload,
                    packet.correlation or b"",
                    digest=properties.get("digest", ""),
                    sequence=properties.get("sequence", ""),
                    replay=properties.get("replay", ""),
                )
            )
            if ruling is None:
                return
            self.ledger.add(ruling.delivery)
        self.refused += answer in ("AE", "AR")
        delays = {"lost": (), "late": (600.0,), "twice": (0.01, 5.0)}.get(mood, (0.01,))
        for delay in delays:
            self.loop.call_later(delay, self._answer, ruling)

    def _answer(self, ruling: Ruling) -> None:
        if ruling.message is None:
            return
        for reply in ruling.replies:
            self._number += 1
            payload = acknowledgement(
                ruling.message, reply.code, ruling.delivery.msh10, f"ACK{self._number:010d}", reply.error
            )
            digest = (("digest", ruling.delivery.digest),)
            self.broker.to_gateway(Packet(ruling.ack_topic, payload, False, ruling.correlation, digest))
