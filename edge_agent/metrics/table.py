"""Every figure that can be read: name, kind, labels, meaning. ``docs/metrics.md`` and the endpoint are made from it.

Labels have few values, all from the configuration or from tables in code: an analyser, a code, a state. Nothing of a
patient or a specimen is a label or a value.
"""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["gauge", "counter", "histogram"]


@dataclass(frozen=True, slots=True)
class Metric:
    name: str  # a counter's as it is read, with _total
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()


ANALYSER, CODE = ("analyser",), ("analyser", "code")

TABLE: tuple[Metric, ...] = (
    Metric("edge_agent_info", "gauge", "Always 1; says what runs where.", ("version", "site", "gateway")),
    Metric("edge_agent_state", "gauge", "1 for the state the agent is in, 0 for the others.", ("state",)),
    Metric("edge_agent_alarms", "gauge", "Alarms that are up, absent where none is; see docs/codes.md.", ("code",)),
    # Results
    Metric("edge_agent_messages", "gauge", "Messages in the store; see docs/states.md.", ("state",)),
    Metric("edge_agent_oldest_unfiled_seconds", "gauge", "Age of the oldest message that is not filed; 0: none waits."),
    Metric("edge_agent_held", "gauge", "Results held, of the 10,000 oldest specimens held or failed.", CODE),
    Metric("edge_agent_failed", "gauge", "Results failed, of the 10,000 oldest specimens held or failed.", CODE),
    # Analysers
    Metric("edge_agent_link_up", "gauge", "1 while every port of the analyser is open, else 0.", ANALYSER),
    Metric("edge_agent_connections", "gauge", "Connections of the analyser that are open now.", ANALYSER),
    Metric(
        "edge_agent_last_byte_timestamp_seconds", "gauge", "When a byte last came; absent before one did.", ANALYSER
    ),
    Metric(
        "edge_agent_last_result_timestamp_seconds",
        "gauge",
        "When a message last was complete; absent before.",
        ANALYSER,
    ),
    Metric("edge_agent_usual_gap_seconds", "gauge", "How long silence is normal; absent where nobody said.", ANALYSER),
    Metric(
        "edge_agent_clock_ahead_seconds",
        "gauge",
        "Its clock against this machine's; absent where it does not say.",
        ANALYSER,
    ),
    Metric("edge_agent_received_bytes_total", "counter", "Bytes received since the start.", ANALYSER),
    Metric("edge_agent_received_frames_total", "counter", "Frames stored and acknowledged since the start.", ANALYSER),
    Metric("edge_agent_received_messages_total", "counter", "Messages completed since the start.", ANALYSER),
    Metric("edge_agent_refused_frames_total", "counter", "Frames answered NAK since the start.", ANALYSER),
    # Delivery
    Metric("edge_agent_broker_connected", "gauge", "1 while a broker has taken the connection, else 0."),
    Metric("edge_agent_unanswered", "gauge", "Messages published whose answer is awaited now."),
    Metric("edge_agent_published_total", "counter", "Messages handed to the broker since the start, each try."),
    Metric("edge_agent_broker_taken_total", "counter", "Messages the broker took (PUBACK below 0x80)."),
    Metric("edge_agent_broker_refused_total", "counter", "Messages the broker refused (PUBACK of 0x80 and above)."),
    Metric("edge_agent_filed_total", "counter", "Confirmations of the management system since the start."),
    Metric("edge_agent_rejected_total", "counter", "Rejections by the management system since the start."),
    Metric("edge_agent_timed_out_total", "counter", "Times a message was not answered within mqtt.ack_timeout_s."),
    Metric("edge_agent_filing_seconds", "histogram", "From publishing to filed, where it was answered in time."),
    Metric("edge_agent_certificate_expiry_timestamp_seconds", "gauge", "End of mqtt.cert_file; absent without one."),
    # This machine
    Metric("edge_agent_store_ok", "gauge", "1 while results can be stored; at 0 what the store counts is absent."),
    Metric(
        "edge_agent_commit_seconds", "histogram", "Storing one group of frames analysers wait for, its COMMIT included."
    ),
    Metric("edge_agent_disk_free_bytes", "gauge", "Free space on the data volume, in whole MB."),
    Metric("edge_agent_audit_entries", "gauge", "Number of the newest entry of the audit chain."),
    Metric("process_cpu_seconds_total", "counter", "Processor time used."),
    Metric("process_resident_memory_bytes", "gauge", "Memory in use."),
    Metric("process_virtual_memory_bytes", "gauge", "Address space in use."),
    Metric("process_open_fds", "gauge", "Open file descriptors."),
    Metric("process_max_fds", "gauge", "File descriptors it may have."),
    Metric("process_start_time_seconds", "gauge", "When the process was started."),
)
