"""One table of hold, failure and alarm codes: what happened in one sentence, how bad it is, what to do next.

Page, CLI, MQTT alarms and ``docs/codes.md`` are made from it. A sentence may name ``{analyser}`` and other facts, never
a patient or a specimen.
"""

from collections.abc import Mapping

from edge_agent.code import Code, Severity
from edge_agent.codes_delivery import DELIVERY

W, E = Severity.WARNING, Severity.ERROR

_TABLE = (
    # Holds: stored, not published, waiting for a fix
    Code(
        "no-specimen-id",
        E,
        "A result from {analyser} came without a specimen id.",
        "Find the sample, correct its id at the analyser and send the result again.",
    ),
    Code(
        "specimen-id-shape",
        E,
        "A specimen id from {analyser} does not have this site's shape.",
        "Check the label; correct the id at the analyser and resend; or change site.specimen_id, `edge-agent reload`, "
        "then `edge-agent retry --held --code specimen-id-shape`.",
    ),
    Code(
        "specimen-id-truncated",
        E,
        "A specimen id from {analyser} has the device's maximum length and may be cut.",
        "Compare with the label; shorten the labels or correct the id at the analyser.",
    ),
    Code(
        "several-specimen-ids",
        E,
        "A result from {analyser} names several specimen ids.",
        "Decide which specimen it belongs to and send it again with one id.",
    ),
    Code(
        "specimen-place-unclear",
        E,
        "It cannot be told in which field {analyser} sends the specimen id.",
        "Compare a result with its label, set specimen.id in devices.d for its profile, then "
        "`edge-agent retry --held --code specimen-place-unclear`.",
    ),
    Code(
        "no-test-code",
        E,
        "A result from {analyser} came without a test code.",
        "Find the test at the analyser; say in devices.d where its code stands (result.code), then "
        "`edge-agent retry --held --code no-test-code`.",
    ),
    Code(
        "test-code-unclear",
        E,
        "{analyser} sent different results under one test code.",
        "Say in devices.d which is the result (select) or where the code stands (result.code), then "
        "`edge-agent retry --held --code test-code-unclear`.",
    ),
    Code(
        "value-place-unclear",
        E,
        "A result from {analyser} has no value, and its status field holds more than a status.",
        "Compare with the analyser's display, set result.value in devices.d for its profile, then "
        "`edge-agent retry --held --code value-place-unclear`.",
    ),
    Code(
        "undecodable",
        E,
        "Text from {analyser} cannot be read in the character set of its profile ({reason}).",
        "Set text.charset of the profile to what the analyser sends, then "
        "`edge-agent retry --held --code undecodable`.",
    ),
    Code(
        "role-undecided",
        E,
        "It cannot be told whether a result from {analyser} is a patient's or a control's.",
        "Check the sample at the analyser; correct the qc rules of the profile, then "
        "`edge-agent retry --held --code role-undecided`.",
    ),
    Code(
        "training-run",
        W,
        "{analyser} marked a result as training or debugging.",
        "None, if it was; otherwise set the analyser to production and resend.",
    ),
    Code(
        "unit-contradicts",
        E,
        "{analyser} sent test {test} in a unit its code row does not allow.",
        "Check the analyser's unit setting; correct the profile's unit table, then "
        "`edge-agent retry --held --code unit-contradicts`.",
    ),
    Code(
        "unknown-test-held",
        E,
        "{analyser} sent the unknown test {test}, and this site holds unknown tests.",
        "Map the test, or set on_unknown_code = send-local, `edge-agent reload`, then "
        "`edge-agent retry --held --code unknown-test-held`.",
    ),
    Code(
        "unknown-test",
        W,
        "{analyser} sent the test {test} that its profile does not know; it went out with the analyser's own code.",
        "Map the test if the management system needs a LOINC code.",
    ),
    Code(
        "wrong-device",
        E,
        "What is connected as {analyser} does not look like its profile.",
        "Check the cables and the profile of the analyser, then `edge-agent retry --held --code wrong-device`.",
    ),
    Code(
        "no-header",
        E,
        "A message from {analyser} has no readable header.",
        "Ask the analyser to send again; check link settings.",
    ),
    Code(
        "orphan-result",
        E,
        "A result from {analyser} stands under no specimen.",
        "Ask the analyser to send the sample again.",
    ),
    Code(
        "unframed-bytes",
        E,
        "{analyser} sent bytes outside any frame.",
        "Check baud rate and link dialect; see `edge-agent trace`.",
    ),
    Code(
        "frame-refused",
        E,
        "{analyser} sent frames that were refused: {reason}.",
        "Check the cable; if the device works that way, say so under [link] in its profile.",
    ),
    Code(
        "not-lis02",
        E,
        "{analyser} sent text that is not LIS02 records.",
        "Check the analyser's protocol setting and the profile.",
    ),
    Code(
        "foreign-protocol",
        E,
        "{analyser} sent {reason} inside LIS01 frames.",
        "Set the analyser to ASTM records, or choose a profile for what it sends.",
    ),
    Code("implausible-time", W, "{analyser} sent an impossible time; it was left out.", "Set the analyser's clock."),
    Code(
        "not-configured",
        E,
        "Results of {analyser} wait: it is no longer configured.",
        "Configure the analyser again with the profile it had, then `edge-agent retry --held --code not-configured`.",
    ),
    Code(
        "reading-changed",
        E,
        "{analyser}'s profile now reads otherwise what it sent and what partly went out already.",
        "Put the former profile back (`edge-agent profile adopt`, with --back), then "
        "`edge-agent retry --held --code reading-changed`; or send the samples again from the analyser and compare.",
    ),
    # Failures: our side could not
    Code(
        "driver",
        E,
        "The driver of {analyser} failed on a message.",
        "Keep the message (`edge-agent trace`), report it with the profile's revision, then "
        "`edge-agent retry --held --code driver`.",
    ),
    Code(
        "conversion",
        E,
        "A report of {analyser} could not be written as HL7.",
        "Keep the message (`edge-agent trace`) and report it; after the fix "
        "`edge-agent retry --held --code conversion`.",
    ),
    # Alarms: analysers
    Code(
        "interrupted",
        E,
        "{analyser} broke off in the middle of a transmission at {at}.",
        "Send the last samples again from the analyser.",
    ),
    Code(
        "link-down",
        W,
        "{analyser} is not connected: {reason}",
        "Check the cable, the analyser and its network settings; and transport, where the port is missing or in use.",
    ),
    Code(
        "frame-number",
        E,
        "{analyser} reused a frame number for other content; the frame was refused.",
        "If the device counts that way, set link.frame_number in its profile.",
    ),
    Code(
        "nak-limit",
        E,
        "{analyser} had {count} frames in a row refused: {reason}.",
        "Check cable, shielding and line settings.",
    ),
    Code(
        "peer-refused",
        W,
        "An address that is not allowed tried to connect to {analyser}.",
        "Add it to peer, if it is the analyser.",
    ),
    Code(
        "connections-full",
        W,
        "{analyser}'s port has as many connections as it may have, and refused one more.",
        "Check that only one device uses the port; restart a device that leaves connections open.",
    ),
    Code(
        "query-unanswered",
        W,
        "{analyser} asked for an order nobody could answer.",
        "Enter the order at the analyser, or check the management system.",
    ),
    Code(
        "silent",
        W,
        "{analyser} has sent no result since {since}; it usually sends one within {gap}.",
        "Look whether it measures and is set to send; send a result by hand; correct hours or usual_gap_s if it rests.",
    ),
    Code(
        "drift",
        W,
        "{analyser}'s clock differs from this machine's: {what}.",
        "Compare both with a right clock; set the wrong one, or timezone of the analyser in the configuration.",
    ),
    Code(
        "held",
        E,
        "Results or messages of {analyser} are held ({count}).",
        "See `edge-agent queue` and follow each reason.",
    ),
    # Alarms: this machine
    Code(
        "configuration",
        E,
        "The configuration file was changed and is not in use: {reason}.",
        "The agent runs by the last one it loaded. See the mistakes with `edge-agent check`, correct them, then "
        "`edge-agent reload`.",
    ),
    Code(
        "storage",
        E,
        "Results cannot be stored: {reason}",
        "Check the disk: is it full, mounted, writable? Analysers keep their results until storage works.",
    ),
    Code(
        "disk-low",
        E,
        "The disk is nearly full ({free_mb} MB left); analysers are asked to wait.",
        "Free space on the data volume.",
    ),
    Code(
        "store-restored",
        E,
        "The store was restored, copied or begun anew ({reason}); results after {since} may be missing here.",
        "Send the results since then again from the analysers; what was filed before is recognised.",
    ),
    Code(
        "audit-broken",
        E,
        "The store is not as the agent left it. {finding}",
        "Keep the data directory untouched and call support; `edge-agent audit` verifies it again.",
    ),
    Code("program-changed", E, "The program is not as released: {what}.", "Install the package anew, and start again."),
    Code(
        "clock",
        W,
        "This machine's clock {what}.",
        "Check its time with `timedatectl`; compare the times of results received since with the analyser.",
    ),
    Code(
        "clock-wrong",
        E,
        "This machine's clock says {year}, which cannot be; times of results received now are wrong.",
        "Set the clock with `timedatectl`; check network and time server, and the machine's battery if it comes again.",
    ),
)

CODES: Mapping[str, Code] = {code.id: code for code in (*_TABLE, *DELIVERY)}

# While one of these is up results may be lost or doubled, or none is taken; then none is delivered; then the rest.
_AT_RISK = frozenset(
    {
        *("storage", "disk-low", "audit-broken", "store-restored", "session-taken", "digest-mismatch", "clock-wrong"),
        *("results-missing-after-restore", "reconcile-gone"),
    }
)
_NOTHING_GOES = frozenset(
    {"broker-down", "broker-refused", "no-subscriber", "consumer-offline", "subscription-unproven"}
)


def urgency(code: str) -> int:
    """Least first."""
    if CODES[code].severity is Severity.WARNING:
        return 3
    return 0 if code in _AT_RISK else 1 if code in _NOTHING_GOES else 2
