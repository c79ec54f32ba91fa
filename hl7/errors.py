"""The error tree of this package.

Hl7Error
├── UnwritableError    values that cannot become a message
└── NotHl7Error        bytes that cannot be read as HL7
    └── NotAnAckError  HL7 or not, it answers no message

Every text is a sentence of ours; none repeats a value, for it could be a patient's.
"""


class Hl7Error(Exception):
    """Anything that goes wrong in ``hl7`` or on the way to it."""


class UnwritableError(Hl7Error):
    """The values cannot be written as an HL7 message."""


class NotHl7Error(Hl7Error):
    """The text does not start with a usable MSH segment."""


class NotAnAckError(NotHl7Error):
    """The payload is no acknowledgement: nothing may be concluded from it."""
