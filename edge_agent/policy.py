"""What a site decided about one analyser, in the form conversion needs it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Self
from zoneinfo import ZoneInfo

from edge_agent.settings import AnalyserTable, Settings
from edge_agent.store.rows import Reserved
from edge_agent.to_hl7 import Envelope

_CODE = re.compile(r"[A-Za-z0-9%#_.^+*/-]{1,20}")
NOT_SHOWN = "(not shown)"
_TELLING = 4  # characters; shorter words of a name are also parts of test codes


@dataclass(frozen=True, slots=True)
class Policy:
    analyser: str
    site: str
    gateway: str
    receiving_application: str
    receiving_facility: str
    message: str
    mode: str
    timezone: ZoneInfo
    on_unknown_code: str
    specimen_id: re.Pattern[str] | None
    resend_horizon: timedelta

    def received_in(self, mode: str) -> Self:
        """What came in before a person said production stays validation, also when it is converted after.

        And the other way round: what was acknowledged as a patient's result is not a trial because of a later decision.
        """
        return replace(self, mode=mode)

    def shown_code(self, sent: str, words: Iterable[str] = ()) -> str:
        """A test code as an alarm may name it. Where a profile looks in the wrong field it could be a specimen's id.

        ``words``: what the same message says of its patient and specimen.
        """
        is_id = self.specimen_id is not None and self.specimen_id.fullmatch(sent)
        quotes = any(word == sent or (len(word) >= _TELLING and word in sent) for word in words if word)
        return sent if _CODE.fullmatch(sent) and not is_id and not quotes else NOT_SHOWN

    def envelope(self, reserved: Reserved) -> Envelope:
        return Envelope(
            message_id=reserved.id,
            at=self._local(reserved.at),
            analyser=self.analyser,
            site=self.site,
            gateway=self.gateway,
            receiving_application=self.receiving_application,
            receiving_facility=self.receiving_facility,
            mode=self.mode,
            message=self.message,
            timezone=self.timezone,
        )

    def _local(self, at: datetime) -> datetime:
        return at.astimezone(self.timezone)


def unusable_pattern(text: str) -> str:
    """Why a site's shape of specimen ids is no regular expression; "" if it is one."""
    try:
        re.compile(text)
    except re.error as error:
        return error.msg
    except (RecursionError, OverflowError):
        return "it is nested too deep, or counts too far"
    return ""


def policy_for(settings: Settings, analyser: AnalyserTable, resend_horizon_s: float) -> Policy:
    pattern = settings.site.specimen_id
    return Policy(
        analyser=analyser.id,
        site=settings.agent.site,
        gateway=settings.agent.gateway,
        receiving_application=settings.hl7.receiving_application,
        receiving_facility=settings.hl7.receiving_facility,
        message=settings.hl7.message,
        mode=analyser.mode,
        timezone=settings.zone(analyser),
        on_unknown_code=analyser.on_unknown_code,
        specimen_id=re.compile(pattern) if pattern else None,
        resend_horizon=timedelta(seconds=resend_horizon_s),
    )
