"""What may leave the lab in a support bundle, said by what is let through: everything else stays out.

Nothing here looks for patient data to remove it. A text is let through only where it is one of a known set of words, a
number, a time, a name the configuration may use, or a line of our own log; of everything an analyser or the management
system wrote there is the length.
"""

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from edge_agent.codes import CODES
from edge_agent.sentences import REFUSALS
from edge_agent.settings import Settings
from edge_agent.store.rows import Chunk, Transmission

Plain = dict[str, Any]

OTHER = "(other)"
_NAME = re.compile(r"[a-z0-9-]{1,32}")
_PROFILE = re.compile(r"[a-z0-9_]{1,64}")
_HEX = re.compile(r"[0-9a-f]{8,64}")
_REASON_CODE = re.compile(r"0x[0-9a-fA-F]{2}")
# MSA-1 (HL7 table 0008) and ERR-3 (table 0357); 0 where none was given
_ANSWERS = {"", "AA", "AE", "AR", "CA", "CE", "CR", "0", "100", "101", "102", "103"} | {str(n) for n in range(200, 208)}
_HAPPENED = {"published", "puback", "refused", "ack", "timeout", "blocked", "requeued", "set-aside"}
_ENDED = {"", "L", "eot", "timeout", "link", "enq", "restart", "idle"}
_RECORDS = "HPORCQLMS"
_MOST_RECORDS, _MOST_FIELDS, _MOST_CHUNKS = 200, 60, 200

# Shown as they are; of what is not named here only that it is set.
_SHOWN: Mapping[str, Collection[str]] = {
    "agent": ("site", "gateway", "timezone", "data_dir"),
    "mqtt": (
        *("prefix", "confirm", "consumer", "window", "unfiled", "ack_timeout_s", "retry_max_s", "keepalive_s"),
        *("will_delay_s", "version", "require_digest"),
    ),
    "hl7": ("message",),
    "store": ("retention_days", "reserve_mb", "low_water_mb"),
    "web": ("listen",),
    "metrics": ("listen",),
    "analyser": ("id", "profile", "mode", "peer", "timezone", "on_unknown_code", "hours", "usual_gap_s"),
    "links": ("role",),
}
_URLS = ("urls", "transport")
_OF_A_PORT = ("baudrate", "bytesize", "parity", "stopbits")
_LOG_LINE = re.compile(r"\S+ \S+ (?:DEBUG|INFO|WARNING|ERROR|CRITICAL) (?:edge_agent|drivers|hl7)[\w.]*: ")
_LOGGER = re.compile(r"(?:edge_agent|drivers|hl7)(?:\.[\w.]+)?")
_LONGEST_LINE = 2000


def word(text: str, known: Collection[str]) -> str:
    return text if text in known else OTHER


def name(text: str) -> str:
    """An analyser's, a gateway's: what the configuration may name."""
    return text if _NAME.fullmatch(text) else OTHER


def profile(text: str) -> str:
    return text if _PROFILE.fullmatch(text) else OTHER


def digest(text: str) -> str:
    return text if _HEX.fullmatch(text) else OTHER


def answer(code: str) -> str:
    """Of the broker or the management system."""
    return code if code in _ANSWERS or _REASON_CODE.fullmatch(code) else OTHER


def hold(code: str) -> str:
    return word(code, {"", *CODES})


def happened(what: str) -> str:
    return word(what, _HAPPENED)


def ended(reason: str) -> str:
    return word(reason, _ENDED)


def configuration(settings: Settings) -> Plain:
    return {table: _table(table, content) for table, content in settings.model_dump(mode="json").items()}


def _table(table: str, content: Any) -> Any:
    if isinstance(content, list):
        return [_table(table, item) for item in content]
    return {key: _value(table, key, value) for key, value in content.items()}


def _value(table: str, key: str, value: Any) -> Any:
    if key in _URLS:
        return [url(each) for each in value] if isinstance(value, list) else url(value)
    if key == "links":
        return _table("links", value)
    if key in _SHOWN.get(table, ()):
        return value
    return "(set)" if value else "(not set)"


def url(text: str) -> str:
    """Scheme, host, port, device and line settings; no user, password or anything else."""
    if not text:
        return ""
    try:
        parts = urlsplit(text)
        port = f":{parts.port}" if parts.port is not None else ""
    except ValueError:
        return OTHER
    settings = urlencode([(key, value) for key, value in parse_qsl(parts.query) if key in _OF_A_PORT])
    path = parts.path if parts.scheme == "serial" else ""
    return f"{parts.scheme}://{parts.hostname or ''}{port}{path}" + (f"?{settings}" if settings else "")


def shape(transmission: Transmission) -> Plain:
    """How a transmission was built: frames and records by their lengths, without a byte of their content."""
    text = transmission.text()
    return {
        "transmission": transmission.id,
        "analyser": name(transmission.source.analyser),
        "state": transmission.state.value,
        "ended": ended(transmission.reason),
        "chunks": [_chunk(c.chunk) for c in transmission.chunks[:_MOST_CHUNKS]],
        "records": [_record(record) for record in text.split(b"\r")[:_MOST_RECORDS] if record],
    }


def _chunk(chunk: Chunk) -> Plain:
    facts: Plain = {"kind": chunk.kind.value, "bytes": len(chunk.raw), "last": chunk.last}
    return {**facts, "reason": word(chunk.reason, {"", *REFUSALS})} if chunk.reason else facts


def _record(record: bytes) -> Plain:
    kind = chr(record[0])
    fields = [len(field) for field in record.split(b"|")]
    known = kind in _RECORDS and len(fields) > 1 and fields[0] == 1
    return {"type": kind if known else "?", "fields": fields[:_MOST_FIELDS]}


def log_lines(lines: Iterable[str]) -> Iterator[str]:
    """Our own lines, each up to where an exception's own words could begin."""
    for line in lines:
        if (kept := _own(line.strip())) is not None:
            yield kept[:_LONGEST_LINE]


def _own(line: str) -> str | None:
    if line.startswith("{"):
        return _json_line(line)
    return re.split(r"\\x0a|\n", line)[0] if _LOG_LINE.match(line) else None


def _json_line(line: str) -> str | None:
    try:
        facts = json.loads(line)
        ours = _LOGGER.fullmatch(facts["logger"])
        kept = {key: str(facts[key]).split("\n")[0] for key in ("ts", "level", "logger", "message")}
    except (ValueError, KeyError, TypeError):
        return None
    return json.dumps(kept, ensure_ascii=False) if ours else None
