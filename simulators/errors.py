"""What can go wrong in a simulator. Each error is one sentence, a code and a next action.

SimulatorError
├── LineError            the port could not be opened, or the address means nothing
├── LinkLostError        the line went away while it was in use
├── NotAcceptedError     the receiver refused, or did not answer in time (LIS01-A2 §6)
├── UnknownDeviceError   no device folder of that name
├── ShapeError           a device has no sample a message could be shaped from
├── LedgerError          a ledger cannot be read or written
├── FleetError           a fleet of gateways could not be set up
└── DemoError            the demonstration could not be started
"""


class SimulatorError(Exception):
    """One sentence for a person, a code for a program, and what to do next."""

    code = "simulator"

    def __init__(self, sentence: str, action: str = "") -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.action = action


class LineError(SimulatorError):
    code = "line"


class AddressError(LineError):
    """Trying again would not help."""


class LinkLostError(SimulatorError):
    code = "link-lost"


class NotAcceptedError(SimulatorError):
    code = "not-accepted"


class UnknownDeviceError(SimulatorError):
    code = "unknown-device"


class ShapeError(SimulatorError):
    code = "no-shape"


class LedgerError(SimulatorError):
    code = "ledger"


class FleetError(SimulatorError):
    code = "fleet"


class DemoError(SimulatorError):
    code = "demo"
