"""A message on its way: published, taken by the broker, answered, blocked, decided by a person.

Promised: every change of state goes through the table of ``edge_agent.states`` and is noted as an attempt; what is
refused is refused before anything is written; only an
application acknowledgement whose digest does not differ makes a message filed; payload and id never change.
Not promised: when something is sent; that is the publisher's business.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from edge_agent.states import IllegalTransitionError, MessageEvent, MessageState, after_message
from edge_agent.store import audit
from edge_agent.store.connection import Database, Row
from edge_agent.store.coverage import state_digest
from edge_agent.store.errors import NoteRequiredError, UnknownRowError

REFUSED_FROM = 0x80  # MQTT 5 §3.4.2.1: reason codes from here on are errors
ACCEPT = "AA"
RETRY_REJECTED = timedelta(minutes=30)  # unless the publisher's rule names another time
RETRY_REJECTED_FOR = timedelta(hours=24)  # then by a person
UNANSWERED_RETRY = timedelta(minutes=5)  # a retry or replay that got no answer
REPLAY_EVERY = timedelta(hours=1)
KEEP_FIRST, KEEP_LAST = 10, 190  # attempts kept per message

_US = timedelta(microseconds=1)


class Delivery:
    _database: Database

    def published(self, id: str, *, replay: str) -> None:
        """Handed to the broker's connection. ``replay``: original, retry, analyser, operator."""
        later = self._database.steady.now_us() + UNANSWERED_RETRY // _US
        with self._database.writing():
            number, _ = _find(self._database, id)
            self._database.execute(
                "UPDATE outbox SET attempts = attempts + 1, replay = ?,"
                " retry_at = iif(retry_at IS NULL, NULL, max(retry_at, ?)),"
                " replay_at = iif(replay_at IS NULL, NULL, max(replay_at, ?)) WHERE number = ?",
                (replay, later, later, number),
            )
            _note(self._database, number, "published", "", replay)

    def puback(self, id: str, reason_code: int, detail: str = "") -> MessageState:
        """The broker's answer: at-broker, or back to queued with the reason (from 0x80)."""
        refused = reason_code >= REFUSED_FROM
        code = f"0x{reason_code:02X}"
        with self._database.writing():
            number, before = _find(self._database, id)
            after = after_message(before, MessageEvent.REFUSED if refused else MessageEvent.PUBACK)
            _note(self._database, number, "refused" if refused else "puback", code, detail)
            if after is MessageState.QUEUED:
                change_state(self._database, id, after, code=code, reason=detail)
            elif after is not before:
                change_state(self._database, id, after)
            if after is not before:
                self._tell_state(id, "refused" if refused else "at-broker", {"code": code} if refused else {})
        return after

    def timed_out(self, id: str) -> None:
        """No application acknowledgement in time. Noted only: the state tells what is known, not what is missing."""
        with self._database.writing():
            number, _ = _find(self._database, id)
            _note(self._database, number, "timeout", "", "")

    def acknowledged(
        self,
        id: str,
        *,
        code: str,
        detail: str,
        consumer: str,
        digest_ok: bool | None,
        retry_at: datetime | None = None,
    ) -> MessageState:
        """The management system's answer (MSA-1 AA, AE, AR, CE, CR); the state it leads to.

        An answer to other bytes (``digest_ok`` False) is noted and decides nothing. ``retry_at``: when a rejected
        message may be tried again; without it every 30 minutes for 24 hours.
        """
        with self._database.writing():
            number, before = _find(self._database, id)
            after = before
            if digest_ok is not False:
                after = after_message(before, MessageEvent.ACCEPTED if code == ACCEPT else MessageEvent.DENIED)
            _note(self._database, number, "ack", code, f"{consumer}: {detail}" if detail else consumer)
            if digest_ok is not False:
                self._answered(number, id, before, after, code, detail, retry_at)
            facts = {"code": code, "consumer": consumer, "state": after.value}
            self._tell_state(id, "acknowledged", facts | ({} if digest_ok is not False else {"digest": "differs"}))
        return after

    def _tell_state(self, id: str, kind: str, facts: Mapping[str, str]) -> None:
        told = {"message": id, **facts, "row": state_digest(self._database, id)}
        audit.add(self._database, kind, told)

    def _answered(
        self,
        number: int,
        id: str,
        before: MessageState,
        after: MessageState,
        code: str,
        detail: str,
        retry_at: datetime | None,
    ) -> None:
        self._database.execute(
            "UPDATE outbox SET replay_at = NULL WHERE number = ? AND replay_at IS NOT NULL", (number,)
        )
        if after is MessageState.REJECTED:
            change_state(self._database, id, after, code=code, reason=detail)
            self._retry(number, retry_at)
        elif after is not before:
            change_state(self._database, id, after, code=code, reason=detail)

    def _retry(self, number: int, retry_at: datetime | None) -> None:
        now = self._database.steady.now_us()
        self._database.execute("UPDATE outbox SET rejected = ifnull(rejected, ?) WHERE number = ?", (now, number))
        since: int = self._database.value("SELECT rejected FROM outbox WHERE number = ?", (number,))
        if retry_at is not None:
            at: int | None = self._database.steady.of(retry_at)
        elif now - since < RETRY_REJECTED_FOR // _US:
            at = now + RETRY_REJECTED // _US
        else:
            at = None
        self._database.execute("UPDATE outbox SET retry_at = ? WHERE number = ?", (at, number))

    def block(self, id: str, code: str, reason: str) -> None:
        """The broker cannot take this one (MQTT 0x90, 0x95, 0x99, or three disconnects with it alone in flight)."""
        with self._database.writing():
            number, before = _find(self._database, id)
            after = after_message(before, MessageEvent.BLOCK)
            change_state(self._database, id, after, code=code, reason=reason)
            _note(self._database, number, "blocked", code, reason)
            self._tell_state(id, "blocked", {"code": code})

    def requeue(self, id: str, *, replay: str, who: str, note: str) -> None:
        """Back to queued, by rule or by a person. Raises IllegalTransitionError for what is closed."""
        with self._database.writing():
            number, before = _find(self._database, id)
            after = after_message(before, MessageEvent.REQUEUE)
            change_state(self._database, id, after)
            self._database.execute(
                "UPDATE outbox SET replay = ?, rejected = NULL WHERE number = ?",
                (replay, number),
            )
            _note(self._database, number, "requeued", replay, note)
            self._tell_state(id, "requeued", {"replay": replay, "who": who, "note": note})

    def send_again(self, id: str, *, who: str, note: str) -> None:
        """A person wants a filed message out once more; it stays filed, and the answer changes nothing.

        Raises NoteRequiredError, UnknownRowError; IllegalTransitionError for what is not filed.
        """
        if not who.strip() or not note.strip():
            raise NoteRequiredError
        with self._database.writing():
            number, before = _find(self._database, id)
            if before is not MessageState.FILED:
                raise IllegalTransitionError(before, MessageEvent.REQUEUE)
            self._database.execute(
                "UPDATE outbox SET replay_at = ?, replay = 'operator' WHERE number = ?",
                (self._database.steady.now_us(), number),
            )
            _note(self._database, number, "requeued", "operator", note)
            self._tell_state(id, "sent-again", {"replay": "operator", "who": who, "note": note})

    def set_aside(self, id: str, *, who: str, note: str) -> None:
        """A person decided that it will not be filed. Raises NoteRequiredError, IllegalTransitionError."""
        if not who.strip() or not note.strip():
            raise NoteRequiredError
        with self._database.writing():
            number, before = _find(self._database, id)
            after = after_message(before, MessageEvent.SET_ASIDE)
            change_state(self._database, id, after, code="set-aside", reason=note)
            _note(self._database, number, "set-aside", "", note)
            self._tell_state(id, "set-aside", {"who": who, "note": note})


def change_state(database: Database, id: str, after: MessageState, *, code: str = "", reason: str = "") -> None:
    """Write a state the table allowed, and the times that belong to it."""
    now, steady = database.now_us(), database.steady.now_us()
    database.execute(
        "UPDATE outbox SET code = :code, reason = :reason, state = :state,"
        " at_broker = iif(:state = 'at-broker', :steady, NULL),"
        " filed = iif(:state = 'filed', :now, NULL),"
        " retry_at = iif(:state = 'rejected', retry_at, NULL) WHERE id = :id",
        {"code": code, "reason": reason, "state": after, "now": now, "steady": steady, "id": id},
    )
    if after is MessageState.FILED:  # retention counts from here
        database.execute(
            "UPDATE transmission SET settled = ? WHERE id = (SELECT transmission FROM outbox WHERE id = ?)",
            (steady, id),
        )


def grant_replay(database: Database, id: str, now: int) -> None:
    """The analyser sent again what a message carried: a filed one goes out once more, a rejected one is tried now.

    At most hourly. Filed stays filed meanwhile: the state table knows no way back, and the answer changes nothing.
    """
    database.execute(
        "UPDATE outbox SET replay_at = :now, replayed = :now, replay = 'analyser'"
        " WHERE id = :id AND state = 'filed' AND (replayed IS NULL OR replayed <= :before)",
        {"id": id, "now": now, "before": now - REPLAY_EVERY // _US},
    )
    database.execute(
        "UPDATE outbox SET retry_at = :now, replayed = :now, replay = 'analyser'"
        " WHERE id = :id AND state = 'rejected' AND (replayed IS NULL OR replayed <= :before)",
        {"id": id, "now": now, "before": now - REPLAY_EVERY // _US},
    )


def send_missing(database: Database, numbers: Sequence[int], now: int) -> None:
    """The management system lost what it had confirmed: out once more, as when a person asks for it."""
    for number in numbers:
        database.execute(
            "UPDATE outbox SET replay_at = ?, replayed = ?, replay = 'operator' WHERE number = ?", (now, now, number)
        )
        _note(database, number, "requeued", "operator", "missing at the management system")


def _find(database: Database, id: str) -> tuple[int, MessageState]:
    row: Row | None = database.row("SELECT number, state FROM outbox WHERE id = ?", (id,))
    if row is None:
        raise UnknownRowError("message")
    return row[0], MessageState(row[1])


def _note(database: Database, number: int, what: str, code: str, detail: str) -> None:
    """Append an attempt. Weeks of retries keep the first ten and the latest."""
    attempt: int = database.value(
        "INSERT INTO attempt SELECT :number, ifnull(max(attempt), 0) + 1, :at, :what, :code, :detail FROM attempt"
        " WHERE number = :number RETURNING attempt",
        {"number": number, "at": database.now_us(), "what": what, "code": code, "detail": detail},
    )
    if attempt > KEEP_FIRST + KEEP_LAST:
        database.execute("DELETE FROM attempt WHERE number = ? AND attempt = ?", (number, attempt - KEEP_LAST))
