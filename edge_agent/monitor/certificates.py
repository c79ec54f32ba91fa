"""When a certificate of ours ends: a warning 30 and 14 days before, an error 7 days and 1 day before and after its end.

Each of these steps is a line in the log; between them only the alarm's text follows the days. The authorities in
``ca_file`` count too: when the last of them ends, no broker can be trusted any more. Concludes nothing from a file it
cannot read: TLS will say so. What is in a certificate is read by `edge_agent.certificate_file`.
"""

import logging
from datetime import datetime, timedelta
from pathlib import Path

from edge_agent.certificate_file import Certificate, UnreadableCertificateError, certificates
from edge_agent.clock import Clock
from edge_agent.monitor.alarms import Alarms

_log = logging.getLogger(__name__)

SOON = timedelta(days=30)
_STEPS = (timedelta(0), timedelta(days=1), timedelta(days=7), timedelta(days=14), SOON)
_URGENT = timedelta(days=7)


class Expiry:
    """``look`` is cheap: call it at the start and now and then, and when other files are used."""

    def __init__(self, clock: Clock, alarms: Alarms) -> None:
        self._clock = clock
        self._alarms = alarms
        self._step: timedelta | None = None

    def look(self, cert_file: str, ca_file: str) -> None:
        """Raise or clear the alarm for the file that ends first; "" stands for a file that is not used."""
        ends = [(found[0].not_after, cert_file)] if (found := _read(cert_file)) else []
        ends += [(max(c.not_after for c in found), ca_file)] if (found := _read(ca_file)) else []
        if not ends:
            if not (cert_file or ca_file):
                self._clear()
            return
        end, file = min(ends)
        left = end - self._clock.now()
        step = next((s for s in _STEPS if left <= s), None)
        if step is None:
            self._clear()
        else:
            self._raise("certificate" if left <= _URGENT else "certificate-soon", step, file, what(end, left))
        self._step = step

    def _raise(self, code: str, step: timedelta, file: str, text: str) -> None:
        for other in {"certificate", "certificate-soon"} - {code}:
            self._alarms.clear(other)
        known = self._alarms.is_up(code)
        self._alarms.raise_(code, file=file, what=text)
        if known and step != self._step:
            _log.warning("The certificate %s %s. (%s)", file, text, code)

    def _clear(self) -> None:
        self._alarms.clear("certificate")
        self._alarms.clear("certificate-soon")


def what(end: datetime, left: timedelta) -> str:
    """A clause about a certificate that ends at ``end``, in ``left``."""
    return f"ends on {end:%Y-%m-%d}, in {left.days} days" if left > timedelta(0) else f"ended on {end:%Y-%m-%d}"


def _read(file: str) -> list[Certificate]:
    try:
        return certificates(Path(file).read_text(encoding="ascii")) if file else []
    except (OSError, UnicodeError, UnreadableCertificateError):
        return []
