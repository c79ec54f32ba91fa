"""The error tree of this package.

DriverError
├── ProfileError          a profile.toml (or a site's override) says something it may not
│   └── UnknownDeviceError   no device of that name
├── InterpretationError   a defect: the interpreter met what it promised to handle
├── OptionError           a link dialect or a record option that does not exist
└── LinkMisuseError       our own code broke the link layer's rules (an ACK without a receipt)

What an analyser does wrong on the line is never an exception: it is an event with a reason (``protocols/lis01.py``).
``ProfileError`` speaks of files a person wrote and may name keys and values of them. ``InterpretationError`` names a
record's position, never its content: the content may be a patient's.
"""


class DriverError(Exception):
    """Anything that goes wrong in ``drivers``. Its text is a sentence."""


class ProfileError(DriverError):
    """One or more mistakes in a profile, all of them at once in ``problems``."""

    def __init__(self, where: str, problems: tuple[str, ...]) -> None:
        self.where = where
        self.problems = problems
        super().__init__("\n".join(f"{where}: {problem}" for problem in problems))


class UnknownDeviceError(ProfileError):
    """No shipped, installed or site device has the name."""


class InterpretationError(DriverError):
    """The interpreter failed on a message: our defect, the message stays stored."""


class OptionError(DriverError):
    """A link or record option has a value nobody knows: a mistake of a profile or of our code."""


class LinkMisuseError(DriverError):
    """The caller of a link state machine asked for what the state does not allow. A defect, never the analyser's."""
