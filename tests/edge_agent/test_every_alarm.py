"""Every code in the table is raised by something that really happens, and goes away; a code nothing raises is none."""

import ast
import asyncio
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support_conversion import Bench, bench, open_store, reader
from support_pipeline import device, policy, records, source

from drivers.errors import InterpretationError
from drivers.sdk import Device, load
from edge_agent.codes import CODES
from edge_agent.converter import Reader
from edge_agent.link import LinkStatus
from edge_agent.monitor.alarms import Alarms
from edge_agent.monitor.host_clock import HostClock
from edge_agent.monitor.payloads import Info
from edge_agent.monitor.presence import Presence
from edge_agent.outcomes import ALARMS, HOLDS, OUTCOMES
from edge_agent.publisher.answers import Wrong
from edge_agent.publisher.outbox import Unfinished
from edge_agent.publisher.troubles import GRAPHICS, Troubles
from edge_agent.states import TransmissionEvent
from edge_agent.store.rows import Chunk, ChunkKind, Route
from edge_agent.store.thread import StoreThread
from edge_agent.watch import Watch
from hl7.errors import Hl7Error

TESTS = Path(__file__).parents[1]
START = datetime(2025, 6, 12, 3, 0, tzinfo=UTC)
HEADER = r"H|\^&|||BENCH-7|||||||P|LIS02-A2|20250612120000"
ORDER, GLU, END = "O|1|S24-0028||^^^GLU|R", "R|1|^^^GLU|5.1|mmol/L||N||F||||20250612102000", "L|1|N"
GLUCOSE = {"code": "GLU", "units": {"mg/dL": "mg/dL"}, "source": "made up for this test"}
SODIUM = {"code": "NA", "units": {"mmol/L": "mmol/L"}, "source": "made up for this test"}


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0
        self.set_by = timedelta()

    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds) + self.set_by

    def monotonic(self) -> float:
        return self.seconds


class Scene:
    """A watch on a real store and converter."""

    analyser_id = "an1"

    def __init__(self, made: Bench) -> None:
        self.made = made
        self.clock = Clock()
        self.alarms = Alarms(self.clock)
        self.presence = Presence("0.1.0", self.alarms, Info(version="0.1.0", site="s", gateway="g"))
        self.synchronised: bool | None = None
        self.last_result: datetime | None = None
        host = HostClock(self.alarms, self.clock, lambda: self.synchronised)
        self.watch = Watch(
            made.store,
            [self],  # type: ignore[list-item]  # a link as far as the watch looks at it
            {"an1": 600},
            self.alarms,
            self.presence,
            self.clock,
            host_clock=host,
        )

    def status(self) -> LinkStatus:
        return LinkStatus("an1", True, START, "", False, (), None, self.last_result)

    def look(self) -> set[str]:
        """What is up after everything was converted, told and looked at."""
        self.made.convert()
        for code, analyser, params in self.made.alarms:
            self.watch.converted(code, analyser, params)
        self.made.alarms.clear()
        asyncio.run(self.watch.look())
        return {alarm.code for alarm in self.alarms.active()}


def held_under(by: Reader | None, *lines: str | bytes) -> Callable[[Bench], None]:
    """A message, and the profile and policy that hold it."""
    text = b"".join(line if isinstance(line, bytes) else records(line) for line in lines)

    def cause(made: Bench) -> None:
        made.readers.clear()
        if by is not None:
            made.readers["an1"] = by
        made.receive(text)

    return cause


def of_a_specimen(order: str = ORDER, *results: str | bytes, by: Reader | None = None) -> Callable[[Bench], None]:
    return held_under(by or reader(), HEADER, "P|1||P-1017", order, *(results or (GLU,)), END)


def no_frames(kind: ChunkKind, reason: str = "") -> Callable[[Bench], None]:
    def cause(made: Bench) -> None:
        def store(s: Any) -> None:
            number = s.open_transmission(SOURCE)
            s.append(number, [Chunk(kind, b"\x021H\xfe", reason=reason)])
            s.end(number, TransmissionEvent.ENDED, "idle")

        made.do(store)

    return cause


def read_otherwise(made: Bench) -> None:
    made.readers["an1"] = reader(device(test=[GLUCOSE]))
    made.receive(records(HEADER, "P|1", "O|1|S24-0028||^^^NA|R", GLU.replace("GLU", "NA"), GLU, END))
    made.convert()
    made.alarms.clear()
    made.readers["an1"] = reader(device(test=[], result={"volatile": ["flags"]}))
    made.release()


SOURCE = source()
UNIT = reader(device(test=[GLUCOSE]))
HOLDING: dict[str, Callable[[Bench], None]] = {
    "no-specimen-id": of_a_specimen("O|1|||^^^GLU|R"),
    "specimen-id-shape": of_a_specimen(by=reader(under=policy(specimen_id=re.compile("[0-9]{10}")))),
    "specimen-id-truncated": of_a_specimen(by=reader(device(specimen={"max_length": 8}))),
    "several-specimen-ids": of_a_specimen("O|1|S1,S2||^^^GLU|R"),
    "specimen-place-unclear": of_a_specimen("O|1||S4^1|^^^GLU|R"),
    "no-test-code": of_a_specimen(ORDER, GLU.replace("^^^GLU", "")),
    "test-code-unclear": of_a_specimen(ORDER, "R|1|^^^TB^^MTB|DETECTED||||F", "R|2|^^^TB^^rpoB1|INVALID||||F"),
    "value-place-unclear": of_a_specimen(ORDER, "R|1|^^^GLU||mg/dL|||| 5.6"),
    "undecodable": of_a_specimen(ORDER, b"R|1|^^^GLU|5.1\xff|mmol/L||N||F\r"),
    "role-undecided": of_a_specimen(
        by=reader(device(qc={"rules": [{"path": "O.3", "match": "^S24", "role": "Q"}]})),
    ),
    "training-run": held_under(reader(), HEADER.replace("|P|LIS", "|T|LIS"), "P|1", ORDER, GLU, END),
    "unit-contradicts": of_a_specimen(by=UNIT),
    "unknown-test-held": of_a_specimen(by=reader(device(test=[SODIUM]), policy(on_unknown_code="hold"))),
    "wrong-device": held_under(reader(load("sysmex_xn")), HEADER, "P|1", ORDER, GLU, END),
    "no-header": held_under(reader(), ORDER, GLU, END),
    "orphan-result": held_under(reader(), HEADER, "P|1", GLU, END),
    "unframed-bytes": no_frames(ChunkKind.NOISE),
    "frame-refused": no_frames(ChunkKind.REFUSED, "checksum"),
    "not-lis02": held_under(reader(), b"Na 131 mmol/L\r"),
    "foreign-protocol": held_under(reader(), b"MSH|^~\\&|GX\rPID|1\rOBX|1|ST|A\r"),
    "not-configured": held_under(None, HEADER, "P|1", ORDER, GLU, END),
    "reading-changed": read_otherwise,
}


def raised_by_a_defect(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise InterpretationError("a defect") if code == "driver" else Hl7Error("a defect")

    if code == "driver":
        monkeypatch.setattr(Device, "read", fails)
    else:
        monkeypatch.setattr("edge_agent.settlement.messages", fails)


DEFECTS = ("driver", "conversion")


@pytest.fixture
def scene(tmp_path: Path) -> Any:
    with bench(tmp_path / "data", {"an1": reader()}) as made:
        yield Scene(made)


@pytest.mark.parametrize("code", [*HOLDING, *DEFECTS])
def test_a_hold_or_failure_raises_its_alarm_and_leaves_with_what_it_held(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    if code in DEFECTS:
        raised_by_a_defect(monkeypatch, code)
    HOLDING.get(code, HOLDING["not-lis02"] if code == "driver" else of_a_specimen())(scene.made)
    assert scene.look() >= {code, "held"}
    empty = StoreThread(lambda: open_store(tmp_path / "emptied"))
    empty.start()
    try:
        scene.watch._store = empty  # nothing of the analyser is held any more
        assert not scene.look() & {code, "held"}
    finally:
        empty.stop()


def test_a_stat_result_that_is_held_is_said_before_anybody_looks(scene: Scene) -> None:
    """Others within 60 s, this one at once; nothing waits for the next look."""
    of_a_specimen("O|1|S24-0028||^^^GLU|S", by=UNIT)(scene.made)
    scene.made.convert()
    scene.watch.converted(*next(alarm for alarm in scene.made.alarms if alarm[0] == "unit-contradicts"))
    assert scene.alarms.is_up("unit-contradicts", "an1")


# Not holds: what a message says besides

REMARKS: dict[str, Callable[[Bench], None]] = {
    "unknown-test": of_a_specimen(by=reader(device(test=[SODIUM]))),
    "query-unanswered": held_under(reader(), HEADER, "Q|1|^S24-0028||ALL||||||||O", END),
    "implausible-time": of_a_specimen(
        ORDER, GLU.replace("20250612102000", "00000000000000"), by=reader(device(result={"implausible": ["^0000"]}))
    ),
}


@pytest.mark.parametrize("code", REMARKS)
def test_a_remark_is_over_when_a_day_passed_without_another(scene: Scene, code: str) -> None:
    REMARKS[code](scene.made)
    assert code in scene.look()
    scene.clock.seconds += 86_399
    assert code in scene.look()
    scene.clock.seconds += 1
    assert code not in scene.look()


def test_silent(scene: Scene) -> None:
    scene.made.receive(records(HEADER, END))  # stored at the time of the real clock: long before or after
    scene.last_result = START
    assert "silent" not in scene.look()
    scene.clock.seconds += 601
    assert "silent" in scene.look()
    scene.last_result = scene.clock.now()
    assert "silent" not in scene.look()


def test_silence_is_counted_from_the_last_result_before_a_restart(scene: Scene) -> None:
    number = scene.made.receive(records(HEADER, END))
    ended = scene.made.transmission(number).ended
    assert ended is not None
    scene.clock.set_by = ended - START  # this machine's clock, as it was from the beginning
    scene.watch.host_clock.look()
    scene.clock.seconds += 601
    assert "silent" in scene.look()
    assert scene.presence.analyser("an1").last_result == ended  # type: ignore[union-attr]  # it was told
    scene.clock.seconds -= 601


def test_drift(scene: Scene) -> None:
    for _ in range(3):
        scene.watch.clock_heard("an1", 32_400)
    assert "drift" in scene.look()
    assert scene.presence.analyser("an1").clock_ahead_s == 32_400  # type: ignore[union-attr]  # it was told
    for _ in range(3):
        scene.watch.clock_heard("an1", 1)
    assert "drift" not in scene.look()


def test_drift_is_not_judged_by_a_clock_that_was_moved(scene: Scene) -> None:
    scene.look()
    for _ in range(3):
        scene.watch.clock_heard("an1", 32_400)
    scene.clock.set_by = timedelta(hours=9)
    assert scene.look() == {"clock"}
    scene.clock.set_by = datetime(1970, 1, 1, tzinfo=UTC) - START
    for _ in range(3):
        scene.watch.clock_heard("an1", 32_400)
    assert scene.look() == {"clock", "clock-wrong"}


def test_clock_and_clock_wrong(scene: Scene) -> None:
    scene.clock.set_by = datetime(1970, 1, 1, tzinfo=UTC) - START
    assert scene.look() == {"clock", "clock-wrong"}
    scene.clock.set_by = timedelta()
    assert "clock-wrong" not in scene.look()
    scene.clock.seconds += 86_401
    assert "clock" not in scene.look()


# Delivery

TROUBLES: dict[str, tuple[Callable[[Troubles], None], Callable[[Troubles], None]]] = {
    "broker-refused": (lambda t: t.refused("an1", "up/an1/result", "0x87"), lambda t: _taken(t)),
    "no-subscriber": (lambda t: t.taken("an1", "up/an1/result", nobody=True), lambda t: _taken(t)),
    "blocked": (lambda t: t.blocked("an1", "m1", "blocked", "too large"), lambda t: t.filed("an1", "m1")),
    "rejected": (lambda t: t.rejected("an1", "m1"), lambda t: t.review([], [])),
    "consumer-offline": (lambda t: t.gate("ivd", START), lambda t: t.gate("ivd", None)),
    "unconfirmed": (lambda t: t.unconfirmed(START), lambda t: t.unconfirmed(None)),
    "graphics-too-large": (lambda t: t.blocked("an1", "m1", GRAPHICS, "too large"), lambda t: t.review([], [])),
    "retained-command": (lambda t: t.retained("down/order/an1"), lambda t: t.review([], [])),
    "foreign-ack": (lambda t: t.wrong_ack(Wrong.FOREIGN, ""), lambda t: t.review([], [])),
    "digest-mismatch": (lambda t: t.wrong_ack(Wrong.DIGEST, "an1"), lambda t: t.review([], [])),
}


def _taken(troubles: Troubles) -> None:
    troubles.taken("an1", "up/an1/result", nobody=False)


@pytest.mark.parametrize("code", TROUBLES)
def test_a_trouble_of_delivery(code: str) -> None:
    clock = Clock()
    alarms = Alarms(clock)
    troubles = Troubles(alarms, clock)
    cause, cure = TROUBLES[code]
    cause(troubles)
    assert [alarm.code for alarm in alarms.active()] == [code]
    troubles.review([Unfinished("m1", "an1", Route.RESULT)], [Unfinished("m1", "an1", Route.RESULT)])
    assert alarms.is_up(code, alarms.active()[-1].analyser) or code in {a.code for a in alarms.active()}
    clock.seconds += 3600
    cure(troubles)
    assert code not in {alarm.code for alarm in alarms.active()}


# Raised and cleared by tests of the part that does it: their names are looked up, and what they are about

ELSEWHERE: dict[str, tuple[str, ...]] = {
    "held": ("test_watch.py::test_held_results_raise_an_alarm_that_goes_when_they_go",),
    "interrupted": ("test_watch.py::test_an_aborted_transmission_stays_up_until_the_analyser_sends_well_again",),
    "storage": ("test_watch.py::test_a_store_that_fails_is_said_once_and_in_one_sentence",
                "test_watch.py::test_the_alarm_goes_when_storage_works_again"),
    "disk-low": ("test_watch.py::test_a_disk_that_is_nearly_full_is_said_and_sessions_are_told",),
    "link-down": ("test_link.py::test_a_port_that_is_not_there_raises_link_down_and_its_coming_clears_it",),
    "peer-refused": ("test_link.py::test_a_stranger_raises_one_alarm_and_one_line_however_often_it_knocks",),
    "connections-full": ("test_link.py::test_a_full_port_raises_an_alarm_of_its_own",),
    "nak-limit": ("test_session.py::test_six_refusals_in_a_row_raise_an_alarm_that_the_next_good_frame_clears",),
    "frame-number": (
        "test_session.py::test_a_frame_number_used_again_for_other_content_is_refused_with_its_own_alarm",
    ),
    "audit-broken": ("monitor/test_housekeeping.py::test_an_audit_chain_that_was_tampered_with_is_said",),
    "certificate-soon": ("monitor/test_certificates.py::test_a_renewed_certificate_clears_it",),
    "certificate": ("monitor/test_certificates.py::test_a_renewed_certificate_clears_it",),
    "broker-down": ("publisher/test_filing.py::test_what_was_queued_while_the_broker_was_away_is_filed_in_order_once",),
    "reconcile-refused": (
        "publisher/test_reconcile.py::test_what_cannot_be_right_does_nothing_and_is_alarmed",
        "publisher/test_reconcile.py::test_requests_that_were_refused_or_came_too_late_are_over_after_a_while",
    ),
    "reconcile-gone": (
        "publisher/test_reconcile.py::test_what_is_not_kept_any_more_is_said",
        "publisher/test_reconcile.py::test_requests_that_were_refused_or_came_too_late_are_over_after_a_while",
    ),
    "results-missing-after-restore": (
        "publisher/test_reconcile.py::"
        "test_a_management_system_that_has_more_than_the_store_raises_an_alarm_that_outlives_a_restart",
    ),
    "configuration": (
        "test_reload.py::test_a_wrong_file_changes_nothing_and_stands_as_an_alarm_until_a_good_one_is_loaded",
    ),
    "session-taken": ("publisher/test_limits.py::test_a_takeover_is_alarmed_and_not_fought",),
    "subscription-unproven": (
        "publisher/test_presence.py::test_a_subscription_the_access_list_forbids_is_noticed_although_it_was_granted",
    ),
}  # fmt: skip
# They say how the agent was started, so only another start takes them away.
UNTIL_THE_NEXT_START = {
    "weak-mode": "publisher/test_filing.py",
    "program-changed": "test_integrity.py",
    "store-restored": "../end_to_end/test_restored_store.py",
}


@pytest.mark.parametrize(("code", "names"), ELSEWHERE.items())
def test_the_tests_that_are_named_are_there_and_are_about_it(code: str, names: tuple[str, ...]) -> None:
    for name in names:
        file, _, function = name.partition("::")
        text = (TESTS / "edge_agent" / file).read_text(encoding="utf-8")
        bodies = {n.name: ast.unparse(n) for n in ast.parse(text).body if isinstance(n, ast.FunctionDef)}
        assert code in bodies[function] or code in ("certificate", "configuration")


@pytest.mark.parametrize(("code", "file"), UNTIL_THE_NEXT_START.items())
def test_what_only_another_start_takes_away_is_raised_by_a_test(code: str, file: str) -> None:
    assert f'"{code}"' in (TESTS / "edge_agent" / file).read_text(encoding="utf-8")
    assert "start" in OUTCOMES[code].over or "configuration" in OUTCOMES[code].over


def test_every_code_is_among_them() -> None:
    alone = {"silent", "drift", "clock", "clock-wrong"}
    shown = [*HOLDING, *DEFECTS, *REMARKS, *alone, *TROUBLES, *ELSEWHERE, *UNTIL_THE_NEXT_START]
    assert sorted(shown) == sorted(CODES), "a code without a cause, or two of one name"


def test_every_code_says_what_happens_meanwhile_and_when_it_is_over() -> None:
    assert set(OUTCOMES) == set(CODES)
    assert not HOLDS.keys() & ALARMS.keys()
    assert set(HOLDS) == {*HOLDING, *DEFECTS}


# What an alarm may name


@pytest.mark.parametrize(
    ("sent", "shape", "shown"),
    [
        ("GLU", None, "GLU"),
        ("HbA1c%", None, "HbA1c%"),
        ("KIM MINJUN", None, "(not shown)"),
        ("2025-06-12-00417-1017A", None, "(not shown)"),
        ("김", None, "(not shown)"),
        ("2506120417", "[0-9]{10}", "(not shown)"),
        ("2506120417", None, "2506120417"),
    ],
)
def test_a_test_is_named_only_where_it_looks_like_one(scene: Scene, sent: str, shape: str | None, shown: str) -> None:
    """Where a profile takes the code from the wrong field, it may be a specimen's id or a name."""
    under = policy(specimen_id=re.compile(shape) if shape else None, on_unknown_code="hold")
    order = "O|1|1234567890||^^^X|R" if shape else ORDER
    held_under(reader(device(test=[SODIUM]), under), HEADER, "P|1", order, GLU.replace("GLU", sent), END)(scene.made)
    scene.look()
    (alarm,) = [a for a in scene.alarms.active() if a.code == "unknown-test-held"]
    assert alarm.params == {"test": shown}


def test_no_detail_leaves_in_an_alarm_whose_sentence_does_not_name_it(scene: Scene) -> None:
    HOLDING["test-code-unclear"](scene.made)
    scene.look()
    assert all("TB" not in str(alarm.params) for alarm in scene.alarms.active())
