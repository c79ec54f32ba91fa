"""What becomes of results while a code stands, and when it is over: the second half of the page made from ``codes``."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Outcome:
    meanwhile: str
    over: str


_KEPT = "What came is stored; everything else goes on."
_DAY = "24 hours after the last time, or at the next start."
_HOUR = "One hour after the last time, or at the next start."
_HELD_OVER = "When nothing of the analyser is held any more: released and read well, or set right and sent again."
_ONE = Outcome("This result waits here; the others of its specimen go out with a note that one is held.", _HELD_OVER)
_ALL = Outcome("The whole specimen waits here; other specimens go out.", _HELD_OVER)
_BYTES = Outcome("The bytes are kept as they came; what could be read goes out.", _HELD_OVER)
_QUEUED = "Results are taken and acknowledged as ever, and wait here; nothing expires."
_NOTHING = "Nothing: results go out."

HOLDS: Mapping[str, Outcome] = {
    "no-specimen-id": _ALL,
    "specimen-id-shape": _ALL,
    "specimen-id-truncated": _ALL,
    "several-specimen-ids": _ALL,
    "specimen-place-unclear": _ALL,
    "no-test-code": _ONE,
    "test-code-unclear": _ONE,
    "value-place-unclear": _ONE,
    "undecodable": Outcome("The specimen the text stands in waits here; other specimens go out.", _HELD_OVER),
    "role-undecided": _ALL,
    "training-run": Outcome("The whole message waits here and never becomes a patient's result.", _HELD_OVER),
    "unit-contradicts": _ONE,
    "unknown-test-held": _ONE,
    "wrong-device": Outcome("The whole message waits here.", _HELD_OVER),
    "no-header": Outcome("The whole message waits here.", _HELD_OVER),
    "orphan-result": _ALL,
    "unframed-bytes": _BYTES,
    "frame-refused": _BYTES,
    "not-lis02": _BYTES,
    "foreign-protocol": _BYTES,
    "not-configured": Outcome("Everything of this analyser that is not read yet waits here.", _HELD_OVER),
    "reading-changed": Outcome("The whole message waits here: what went out before keeps its id.", _HELD_OVER),
    "driver": Outcome("The message waits here with its bytes; other messages go out.", _HELD_OVER),
    "conversion": Outcome("The specimen waits here; other specimens go out.", _HELD_OVER),
}

ALARMS: Mapping[str, Outcome] = {
    "unknown-test": Outcome("Nothing: the result goes out with the analyser's own code.", _DAY),
    "implausible-time": Outcome("The result goes out without that time; it is kept in a note.", _DAY),
    "query-unanswered": Outcome(_NOTHING, _DAY),
    "interrupted": Outcome(
        "What was acknowledged of it is kept, and goes out as far as the standard lets presume it whole.",
        "When the analyser has sent the rest, or sends well after it aborted by itself.",
    ),
    "link-down": Outcome("None come from this link; what came before goes out.", "When the port is open again."),
    "frame-number": Outcome("The frame is not acknowledged; the analyser tries again.", "With the next whole message."),
    "nak-limit": Outcome("The frame is not acknowledged; the analyser tries again.", "With the next good frame."),
    "peer-refused": Outcome(_NOTHING, "Ten minutes after the last attempt."),
    "connections-full": Outcome("Those of open connections go out.", "Ten minutes after the last attempt."),
    "silent": Outcome("There are none to be delivered.", "With the next complete message."),
    "drift": Outcome("They go out with the analyser's own times.", "When three messages show a clock that is right."),
    "held": Outcome("They wait here; everything else goes out.", "When nothing of the analyser is held or failed."),
    "broker-down": Outcome(_QUEUED, "When a broker takes the connection."),
    "broker-refused": Outcome("Those for this topic wait here; others go out.", "When the broker takes one again."),
    "no-subscriber": Outcome(
        "The broker may have dropped them; they are sent again until the management system confirms.",
        "When somebody subscribes and one is taken.",
    ),
    "consumer-offline": Outcome(f"{_QUEUED} One goes out every minute as a trial.", "When it says online or answers."),
    "subscription-unproven": Outcome(
        "They are sent, and sent again: confirmations cannot arrive.", "When the gateway hears its own echo."
    ),
    "unconfirmed": Outcome("They are at the broker and are sent again with the same id.", "When all are answered."),
    "rejected": Outcome("Those wait here, and some are tried again by themselves.", "When each is filed or set aside."),
    "blocked": Outcome("Those wait here; everything else passes.", "When each is filed or set aside."),
    "graphics-too-large": Outcome("The values go out; only the image is missing.", _HOUR),
    "retained-command": Outcome("The command is not carried out; results go out.", _HOUR),
    "foreign-ack": Outcome("It closes nothing; results go out.", _HOUR),
    "digest-mismatch": Outcome("The message stays unfiled and is sent again.", _HOUR),
    "results-missing-after-restore": Outcome(
        "What is here goes out; what the restored store never had is not here.",
        "Seven days after the management system last said so anew.",
    ),
    "reconcile-gone": Outcome("What is still here of what it asked for goes out once more.", _DAY),
    "reconcile-refused": Outcome("Nothing is sent again; results go out.", _HOUR),
    "session-taken": Outcome("They wait here while the other has the connection.", "When this gateway holds it again."),
    "configuration": Outcome("Nothing: the agent runs by the last one it loaded.", "When a correct file was loaded."),
    "certificate-soon": Outcome(_NOTHING, "When the renewed file is in place."),
    "certificate": Outcome(
        "They go out until the end of the certificate; then they wait here.", "When the renewed file is in place."
    ),
    "weak-mode": Outcome(
        "They go out, but loss behind the broker would not be seen.", "When the configuration is changed."
    ),
    "storage": Outcome("Analysers are answered NAK and keep theirs.", "With the next write that works."),
    "disk-low": Outcome("Analysers are asked to wait; what is stored goes out.", "When there is room again."),
    "store-restored": Outcome("What comes now is taken and goes out.", "At the next start."),
    "audit-broken": Outcome(
        "They are taken and go out; the record of what was done cannot be relied on.",
        "When the daily check finds it whole.",
    ),
    "program-changed": Outcome(
        "They are taken and go out as ever; whether they are right is as sure as the change.",
        "At the next start of a program that is as released.",
    ),
    "clock": Outcome(
        "They go out; times of receipt may be wrong.", "24 hours after it was moved; when its time server is heard."
    ),
    "clock-wrong": Outcome(
        "They go out, with wrong times of receipt; silence and drift are not judged.",
        "When the clock is set.",
    ),
}

OUTCOMES: Mapping[str, Outcome] = {**HOLDS, **ALARMS}
