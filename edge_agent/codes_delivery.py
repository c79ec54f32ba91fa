"""The table of codes, continued: alarms of delivery, between this gateway and the management system."""

from edge_agent.code import Code, Severity

W, E = Severity.WARNING, Severity.ERROR

DELIVERY = (
    Code(
        "broker-down",
        E,
        "The broker cannot be reached: {reason}",
        "Put right what it says, or check network and broker. Results are safe here.",
    ),
    Code(
        "broker-refused",
        E,
        "The broker refused the topic {topic}: {reason}",
        "Correct the broker's access list for this gateway.",
    ),
    Code(
        "no-subscriber",
        E,
        "The broker has nobody who takes results on {topic}.",
        "Start the management system or correct its subscription.",
    ),
    Code(
        "consumer-offline",
        E,
        "The management system {consumer} is offline since {since}.",
        "Start it. Results are safe here.",
    ),
    Code(
        "subscription-unproven",
        E,
        "The broker does not deliver acknowledgements to this gateway.",
        "Allow the gateway to read its down/ topics in the broker's access list.",
    ),
    Code(
        "unconfirmed",
        E,
        "Messages have waited for the management system's answer since {since}.",
        "Check that the management system runs and reads its results from the broker.",
    ),
    Code(
        "rejected",
        E,
        "The management system rejected messages of {analyser} ({count}).",
        "Read the reason with `edge-agent queue --state rejected`; correct it, then `edge-agent retry ID`.",
    ),
    Code(
        "blocked",
        E,
        "Messages of {analyser} cannot pass the broker ({count}): {reason}",
        "Raise the broker's limit, then `edge-agent retry ID`; or give up with `edge-agent set-aside ID`.",
    ),
    Code(
        "graphics-too-large",
        W,
        "An image from {analyser} exceeds the broker's packet size and was left out; the results went.",
        "Raise the broker's maximum packet size if images are needed.",
    ),
    Code(
        "retained-command",
        E,
        "A retained message lies under {topic} and was ignored.",
        "Clear it: commands and answers are never retained.",
    ),
    Code(
        "foreign-ack",
        W,
        "An acknowledgement came that matches no message of this gateway.",
        "Check that no other gateway uses this id.",
    ),
    Code(
        "digest-mismatch",
        E,
        "The management system confirmed other bytes than were sent.",
        "Check what lies between this gateway and the management system.",
    ),
    Code(
        "session-taken",
        E,
        "Another client connected to the broker with this gateway's id.",
        "Give every gateway its own id, then `edge-agent reload`.",
    ),
    Code("certificate-soon", W, "The certificate {file} {what}.", "Renew it: see docs/certificates.md."),
    Code("certificate", E, "The certificate {file} {what}.", "Renew it now: see docs/certificates.md."),
    Code("weak-mode", W, "Delivery is not verifiable by the broker: {reason}", "Use MQTT 5 and confirm = application."),
    # What the management system says it misses
    Code(
        "results-missing-after-restore",
        E,
        "The management system has messages of {analyser} up to number {last_filed} of the store {store}, which ends "
        "here at {last}, of {since}; {lacks} of those between are in neither.",
        "Compare what the analyser shows since then with the management system, and send again what is not there. "
        "What is there and is sent again comes a second time, under another id.",
    ),
    Code(
        "reconcile-gone",
        E,
        "The management system asks for {count} messages of {analyser} that are not kept here any more.",
        "Compare what the analyser shows with the management system, and send again what is not there; keep messages "
        "longer here (store.retention_days) than a backup of the management system is old.",
    ),
    Code(
        "reconcile-refused",
        W,
        "A request of the management system to send again what it misses was refused: {reason}.",
        "Tell those who look after the management system; check who may write to down/reconcile at the broker.",
    ),
)
