"""Every reader of bytes that come from outside, by its noun."""

from faults.fuzz import files, lines, payloads
from faults.fuzz.target import Target, simple

TARGETS = {
    target.name: target
    for target in (
        Target("link", simple(lines.receive), lines.wires, lines.LINK_WORDS, 200),
        Target("records", simple(lines.records), lines.texts, lines.RECORD_WORDS, 200),
        Target("report", simple(lines.report), lines.texts, lines.RECORD_WORDS, 60),
        Target("pipeline", simple(lines.pipeline), lines.texts, lines.RECORD_WORDS, 80),
        Target("hearing", simple(lines.hearing), lines.wires, lines.LINK_WORDS, 60),
        Target("acknowledgement", simple(payloads.answer), payloads.acks, payloads.HL7_WORDS, 200),
        Target("state", simple(payloads.state), payloads.states, payloads.STATE_WORDS, 200),
        Target("retained", simple(payloads.retained), payloads.births, payloads.STATE_WORDS, 200),
        Target("reconcile", payloads.reconcile, payloads.requests, payloads.RECONCILE_WORDS, 60),
        Target("control", payloads.control, payloads.questions, payloads.ASK_WORDS, 60, 66_000),
        Target("hl7-file", simple(payloads.message), payloads.acks, payloads.HL7_WORDS, 15),
        Target("configuration", files.configuration, files.configurations, files.TOML_WORDS, 60, 16_384),
        Target("profile", files.profile, files.profiles, files.PROFILE_WORDS, 40, 16_384),
        Target("pin", files.pin, files.pins, payloads.JSON_WORDS, 60, 16_384),
        Target("identity", files.identity, files.identities, payloads.STATE_WORDS, 100),
        Target("backup", files.backup, files.backups, files.TAR_WORDS, 100, 8192),
        Target("log-of-store", files.log, files.written_logs, (b"\0" * 8, b"\0\0\2\0", b"\0\0\0\5", b"\xff" * 4), 100),
        Target("url", simple(files.url), files.urls, files.URL_WORDS, 200),
        Target("log-line", simple(files.line), files.urls, files.TEXT_WORDS, 200),
    )
}

if __name__ == "__main__":
    print(*TARGETS)
